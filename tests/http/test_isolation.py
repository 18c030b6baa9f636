"""G11: strangers see nothing, and learn nothing from how they are refused.

May import: standard library, chatcore, pytest, tests.http.
"""

from __future__ import annotations

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
    ("POST", "/chat", {"message": "x", "session_id": "{id}"}),
]
STRANGERS = {"another visitor": bearer(VISITOR_B), "nobody": {}}


async def owned_by_a(door: Door) -> tuple[str, str]:
    """Return a session and a turn of visitor A."""
    answer = await door.client.post("/chat", json={"message": "x"}, headers=bearer(VISITOR_A))
    return answer.json()["session_id"], answer.json()["turn_id"]


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_foreign_unknown_and_malformed_are_alike(
    door: Door, method: str, path: str, body: dict[str, str] | None, stranger: str
) -> None:
    """A foreign, an unknown, an erased and a malformed id get the same bytes and headers."""
    foreign, turn = await owned_by_a(door)
    erased, _ = await owned_by_a(door)
    await door.client.delete(f"/sessions/{erased}", headers=bearer(VISITOR_A))
    answers = []
    for session_id in (foreign, UNKNOWN_ID, erased, "malformed", "x" * 36):
        url = path.replace("{id}", session_id).replace("{turn}", turn)
        sent = None if body is None else body | {"session_id": session_id}
        if sent is not None and method == "PATCH":
            sent.pop("session_id")
        headers = STRANGERS[stranger] | {"x-request-id": "same"}
        answer = await door.client.request(method, url, json=sent, headers=headers)
        assert answer.status_code == 404
        answers.append((answer.content, sorted(answer.headers.multi_items())))
    assert all(answer == answers[0] for answer in answers)


async def test_nothing_a_stranger_did_changed_anything(door: Door) -> None:
    """After all refusals the owner's session is as it was."""
    session_id, turn = await owned_by_a(door)
    path = f"/sessions/{session_id}/messages"
    before = (await door.client.get(path, headers=bearer(VISITOR_A))).content
    for method, url, body in REQUESTS:
        where = url.replace("{id}", session_id).replace("{turn}", turn)
        sent = None if body is None else {k: v.replace("{id}", session_id) for k, v in body.items()}
        await door.client.request(method, where, json=sent, headers=bearer(VISITOR_B))
    assert (await door.client.get(path, headers=bearer(VISITOR_A))).content == before


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
    door: Door, method: str, path: str, body: dict[str, str] | None, credential: str
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
    session_id, _ = await owned_by_a(door)
    headers = {"authorization": f"bEARER  {VISITOR_A}"}
    assert (await door.client.get(f"/sessions/{session_id}", headers=headers)).status_code == 200


def test_a_404_never_names_the_id() -> None:
    """The error's id stays inside: it is what tells a foreign one from an unknown one."""
    assert "0199" not in str(SessionNotFound(UUID(UNKNOWN_ID)))
