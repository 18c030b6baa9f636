"""G11: strangers see nothing, and learn nothing from how they are refused.

May import: standard library, chatcore, pytest, tests.http.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from chatcore import SessionNotFound
from tests.http.door import UNKNOWN_ID, VISITOR_A, VISITOR_B, Door, bearer, problem_of

REQUESTS = [
    ("GET", "/sessions/{id}", None),
    ("PATCH", "/sessions/{id}", {"title": "mine"}),
    ("DELETE", "/sessions/{id}", None),
    ("GET", "/sessions/{id}/messages", None),
    ("GET", "/sessions/{id}/messages?limit=1", None),
    ("GET", "/sessions/{id}/turns/{turn}", None),
    ("GET", "/sessions/{id}/turns/{turn}/events", None),
    ("GET", "/sessions/{id}/turns/{turn}/events?after=1.3.end", None),
    ("POST", "/sessions/{id}/turns/{turn}/stop", None),
    ("POST", "/sessions/{id}/messages/{message}/regenerate", None),
    ("POST", "/sessions/{id}/messages/{message}/regenerate", {"stream": True}),
    ("POST", "/sessions/{id}/messages/{message}/edit", {"message": "x"}),
    ("PUT", "/sessions/{id}/messages/{message}/feedback", {"rating": "down", "comment": "x"}),
    ("PUT", "/sessions/{id}/messages/{message}/feedback", {"rating": None}),
    ("POST", "/chat", {"message": "x", "session_id": "{id}"}),
    ("POST", "/chat", {"message": "x", "session_id": "{id}", "stream": True}),
]
STRANGERS = {"another visitor": bearer(VISITOR_B), "nobody": {}}


async def owned_by_a(door: Door) -> dict[str, str]:
    """Return the ids of a session, a turn and a message of visitor A."""
    answer = await door.client.post("/chat", json={"message": "x"}, headers=bearer(VISITOR_A))
    names = {"id": "session_id", "turn": "turn_id", "message": "message_id"}
    return {name: answer.json()[field] for name, field in names.items()}


def filled(text: str, ids: dict[str, str]) -> str:
    """Return an address, or a field, with ids in it."""
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text


async def refusal(
    door: Door, request: tuple[str, str, Any], ids: dict[str, str], headers: dict[str, str]
) -> tuple[bytes, list[tuple[str, str]]]:
    """Return body and headers of the 404 that a request gets."""
    method, path, body = request
    sent = body and {k: filled(v, ids) if isinstance(v, str) else v for k, v in body.items()}
    answer = await door.client.request(
        method, filled(path, ids), json=sent, headers=headers | {"x-request-id": "same"}
    )
    assert answer.status_code == 404
    return answer.content, sorted(answer.headers.multi_items())


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("request_", REQUESTS, ids=str)
async def test_foreign_unknown_and_malformed_are_alike(
    door: Door, request_: tuple[str, str, Any], stranger: str
) -> None:
    """A foreign, an unknown, an erased and a malformed id get the same bytes and headers."""
    ids = await owned_by_a(door)
    erased = (await owned_by_a(door))["id"]
    await door.client.delete(f"/sessions/{erased}", headers=bearer(VISITOR_A))
    answers = [
        await refusal(door, request_, ids | {"id": session_id}, STRANGERS[stranger])
        for session_id in (ids["id"], UNKNOWN_ID, erased, "malformed", "x" * 36)
    ]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    "request_", [one for one in REQUESTS if "{turn}" in one[1] or "{message}" in one[1]], ids=str
)
async def test_a_part_of_another_session(door: Door, request_: tuple[str, str, Any]) -> None:
    """In one's own session, a foreign turn or message is like an unknown or a malformed one."""
    theirs = await owned_by_a(door)
    answer = await door.client.post("/chat", json={"message": "x"}, headers=bearer(VISITOR_B))
    mine = answer.json()["session_id"]
    answers = [
        await refusal(
            door, request_, {"id": mine, "turn": turn, "message": message}, bearer(VISITOR_B)
        )
        for turn, message in (
            (theirs["turn"], theirs["message"]),
            (UNKNOWN_ID, UNKNOWN_ID),
            ("malformed", "malformed"),
        )
    ]
    assert all(answer == answers[0] for answer in answers)


async def test_nothing_a_stranger_did_changed_anything(door: Door) -> None:
    """After all refusals the owner's session is as it was, and the model was asked nothing."""
    ids = await owned_by_a(door)
    path = f"/sessions/{ids['id']}/messages"
    before = (await door.client.get(path, headers=bearer(VISITOR_A))).content
    for request_ in REQUESTS:
        await refusal(door, request_, ids, bearer(VISITOR_B))
    assert (await door.client.get(path, headers=bearer(VISITOR_A))).content == before
    assert len(door.llm.requests) == 1


async def test_lists_hold_only_ones_own(door: Door) -> None:
    """A visitor's list never holds another's session."""
    await owned_by_a(door)
    page = (await door.client.get("/sessions", headers=bearer(VISITOR_B))).json()
    assert page["items"] == []


@pytest.mark.parametrize(
    "credential",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer undefined",
        "Basic dXNlcjpwYXNz",
        "visitor-" + "a" * 32,
        "Bearer visitor-" + "a" * 31,
        "Bearer visitor-" + "a" * 505,
        "Bearer VISITOR-" + "a" * 32,
        "Bearer visitor-" + "a" * 31 + " b",
        "Bearer visitor-" + "a" * 31 + '"',
        "Bearer sk-" + "a" * 40,
    ],
)
@pytest.mark.parametrize(("method", "path", "body"), [*REQUESTS, ("GET", "/sessions", None)])
async def test_other_credentials_are_refused(
    door: Door, method: str, path: str, body: Any, credential: str
) -> None:
    """A credential that is neither absent nor a visitor token is a 401 on every route."""
    headers = {"authorization": credential}
    answer = await door.client.request(method, path, json=body, headers=headers)
    assert (answer.status_code, problem_of(answer)["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert door.repository.is_empty


async def test_two_credentials_are_refused(door: Door) -> None:
    """Of two credentials none counts."""
    given = [("authorization", f"Bearer {token}") for token in (VISITOR_A, VISITOR_B)]
    assert (await door.client.get("/sessions", headers=given)).status_code == 401


async def test_a_refused_credential_is_refused_before_the_body_is_read(door: Door) -> None:
    """401 comes before anything is said about the body."""
    answer = await door.post_raw(b"not json", authorization="Bearer x")
    assert answer.status_code == 401


async def test_the_scheme_may_be_written_in_any_case(door: Door) -> None:
    """`bearer` is the same scheme as `Bearer`, and the same token the same owner."""
    session_id = (await owned_by_a(door))["id"]
    headers = {"authorization": f"bEARER  {VISITOR_A}"}
    assert (await door.client.get(f"/sessions/{session_id}", headers=headers)).status_code == 200


def test_a_404_never_names_the_id() -> None:
    """The error's id stays inside: it is what tells a foreign one from an unknown one."""
    assert "0199" not in str(SessionNotFound(UUID(UNKNOWN_ID)))
