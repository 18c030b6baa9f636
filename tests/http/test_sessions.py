"""Sessions, messages and turns over HTTP.

May import: standard library, chatcore, pytest, tests.http.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from chatcore import LLMTimeout
from tests.http.door import UNKNOWN_ID, VISITOR_A, Door, bearer, problem_of

A = bearer(VISITOR_A)


async def ask(door: Door, message: str, session_id: str | None = None) -> dict[str, Any]:
    """Ask as visitor A."""
    body = {"message": message, "session_id": session_id}
    answer = await door.client.post("/chat", json=body, headers=A)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_sessions_come_latest_first_in_pages(door: Door) -> None:
    """Walking by cursors gives every session once, the latest activity first."""
    made = [(await ask(door, f"question {number}"))["session_id"] for number in range(5)]
    await ask(door, "again", made[1])
    seen, after = [], None
    while True:
        query = {"limit": 2} | ({"after": after} if after else {})
        page = (await door.client.get("/sessions", params=query, headers=A)).json()
        assert len(page["items"]) <= 2
        assert "notice" not in page
        seen += [item["session_id"] for item in page["items"]]
        after = page["next_cursor"]
        if after is None:
            break
    assert seen == [made[1], made[4], made[3], made[2], made[0]]


async def test_the_shared_owner_has_no_list(door: Door) -> None:
    """Without a credential the page is empty, and a notice says why and what to do."""
    await door.ask()
    answer = await door.client.get("/sessions")
    page = answer.json()
    assert answer.status_code == 200
    assert (page["items"], page["next_cursor"]) == ([], None)
    assert "visitor token" in page["notice"]


async def test_a_session_is_shown_whole(door: Door) -> None:
    """A session shows its id, title and times."""
    session_id = (await ask(door, "What is a robot?"))["session_id"]
    body = (await door.client.get(f"/sessions/{session_id}", headers=A)).json()
    assert body.keys() == {"session_id", "title", "created_at", "updated_at"}
    assert (body["session_id"], body["title"]) == (session_id, "What is a robot?")
    assert datetime.fromisoformat(body["created_at"]).tzinfo is not None


async def test_renaming_changes_the_title(door: Door) -> None:
    """A new title is shown from then on."""
    session_id = (await ask(door, "x"))["session_id"]
    path = f"/sessions/{session_id}"
    answer = await door.client.patch(path, json={"title": "Robots"}, headers=A)
    assert (answer.status_code, answer.json()["title"]) == (200, "Robots")
    assert (await door.client.get(path, headers=A)).json()["title"] == "Robots"


@pytest.mark.parametrize("title", ["", "   ", "x" * 201, "a\x00b", 7, None])
async def test_a_wrong_title_changes_nothing(door: Door, title: Any) -> None:
    """G14: a title that cannot be accepted is refused by name."""
    session_id = (await ask(door, "x"))["session_id"]
    path = f"/sessions/{session_id}"
    answer = await door.client.patch(path, json={"title": title}, headers=A)
    assert answer.status_code == 422
    assert problem_of(answer)["errors"][0]["field"] == "title"
    assert (await door.client.get(path, headers=A)).json()["title"] == "x"


async def test_erasing_leaves_nothing_to_find(door: Door) -> None:
    """G12: after 204 the session is like one that never was, also for a second erasing."""
    body = await ask(door, "x")
    path = f"/sessions/{body['session_id']}"
    answer = await door.client.delete(path, headers=A)
    assert (answer.status_code, answer.content) == (204, b"")
    for method, url in [
        ("GET", path),
        ("DELETE", path),
        ("GET", f"{path}/messages"),
        ("GET", f"{path}/turns/{body['turn_id']}"),
    ]:
        assert (await door.client.request(method, url, headers=A)).status_code == 404


async def test_messages_are_paged_both_ways(door: Door) -> None:
    """Without a cursor the newest page comes; cursors go back to the first and on to the last."""
    session_id = (await ask(door, "q1"))["session_id"]
    for number in (2, 3):
        await ask(door, f"q{number}", session_id)
    path = f"/sessions/{session_id}/messages"

    async def page(**query: Any) -> dict[str, Any]:
        found: dict[str, Any] = (await door.client.get(path, params=query, headers=A)).json()
        return found

    newest = await page(limit=2)
    assert [item["position"] for item in newest["items"]] == [5, 6]
    assert (newest["has_older"], newest["has_newer"]) == (True, False)
    middle = await page(limit=2, before=newest["older_cursor"])
    assert [item["position"] for item in middle["items"]] == [3, 4]
    assert middle["has_newer"] is True
    oldest = await page(limit=2, before=middle["older_cursor"])
    assert [item["position"] for item in oldest["items"]] == [1, 2]
    assert (oldest["has_older"], oldest["older_cursor"]) == (False, None)
    on = await page(limit=10, after=oldest["newer_cursor"])
    assert [item["position"] for item in on["items"]] == [3, 4, 5, 6]
    nothing_yet = await page(after=on["newer_cursor"])
    assert (nothing_yet["items"], nothing_yet["newer_cursor"]) == ([], on["newer_cursor"])


async def test_a_message_is_shown_whole(door: Door) -> None:
    """A message shows who said what, where it stands and how its turn is."""
    body = await ask(door, "hello")
    page = (await door.client.get(f"/sessions/{body['session_id']}/messages", headers=A)).json()
    question, reply = page["items"]
    assert question["role"] == "user"
    assert reply == {
        "message_id": body["message_id"],
        "position": 2,
        "role": "assistant",
        "content": body["response"],
        "selected_text": None,
        "turn_id": body["turn_id"],
        "turn_status": "completed",
        "superseded_by": None,
        "created_at": body["timestamp"],
        "feedback": None,
    }


async def test_a_turn_shows_its_attempts(door: Door) -> None:
    """A turn shows its status, its reply, and every call of the model with its cost."""
    body = await ask(door, "hello")
    path = f"/sessions/{body['session_id']}/turns/{body['turn_id']}"
    turn = (await door.client.get(path, headers=A)).json()
    assert (turn["status"], turn["number"], turn["response"]) == ("completed", 1, body["response"])
    assert turn["usage"] == body["usage"]
    (attempt,) = turn["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["model"]) == (1, "completed", "scripted")


async def test_a_failed_turn_keeps_its_question(door: Door) -> None:
    """The problem names turn and session; both show what happened."""
    door.llm.script(LLMTimeout("nothing came"))
    answer = await door.client.post("/chat", json={"message": "x"}, headers=A)
    problem = problem_of(answer)
    path = f"/sessions/{problem['session_id']}"
    turn = (await door.client.get(f"{path}/turns/{problem['turn_id']}", headers=A)).json()
    assert (turn["status"], turn["error_code"]) == ("failed", "llm_timeout")
    assert (turn["message_id"], turn["response"]) == (None, None)
    page = (await door.client.get(f"{path}/messages", headers=A)).json()
    assert [(item["content"], item["turn_status"]) for item in page["items"]] == [("x", "failed")]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/sessions?after=%s", "after"),
        ("/sessions/{id}/messages?after=%s", "after"),
        ("/sessions/{id}/messages?before=%s", "before"),
    ],
)
@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "1",
        "!!!!",
        "A" * 34,
        "A" * 12,
        "é",
        "bQAAAAAAAAAA",
        "z" * 5000,
        "bf________8",
        "bQAAAAAAAAAD=",
        "bQAA!AAAAAAAD!!!",
        "eAAAAAAAAAAB",
    ],
)
async def test_a_wrong_cursor_is_refused(door: Door, path: str, field: str, cursor: str) -> None:
    """G14: what no list gave out is refused by name, for every list."""
    session_id = (await ask(door, "x"))["session_id"]
    url = path.replace("{id}", session_id) % cursor
    answer = await door.client.get(url, headers=A)
    assert answer.status_code == 422
    assert [error["field"] for error in problem_of(answer)["errors"]] == [field]


async def test_cursors_of_one_list_are_refused_by_the_other(door: Door) -> None:
    """A cursor belongs to its kind of list."""
    session_id = (await ask(door, "x"))["session_id"]
    await ask(door, "y")
    sessions = (await door.client.get("/sessions?limit=1", headers=A)).json()
    path = f"/sessions/{session_id}/messages"
    messages = (await door.client.get(path, headers=A)).json()
    for url, cursor in [(path, sessions["next_cursor"]), ("/sessions", messages["newer_cursor"])]:
        answer = await door.client.get(url, params={"after": cursor}, headers=A)
        assert answer.status_code == 422


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "", "9" * 40])
@pytest.mark.parametrize("list_path", ["/sessions", "/sessions/{id}/messages"])
async def test_a_wrong_limit_is_refused(door: Door, list_path: str, limit: str) -> None:
    """A page holds 1 to 100 items."""
    session_id = (await ask(door, "x"))["session_id"]
    url = list_path.replace("{id}", session_id)
    answer = await door.client.get(url, params={"limit": limit}, headers=A)
    assert answer.status_code == 422
    assert [error["field"] for error in problem_of(answer)["errors"]] == ["limit"]


@pytest.mark.parametrize("limit", ["0", "101", "-1"])
async def test_a_wrong_limit_is_refused_without_a_credential(door: Door, limit: str) -> None:
    """What cannot be a page is refused also where there is nothing to list."""
    answer = await door.client.get("/sessions", params={"limit": limit})
    assert (answer.status_code, problem_of(answer)["code"]) == (422, "invalid_request")


async def test_both_cursors_at_once_are_refused(door: Door) -> None:
    """`before` and `after` together mean nothing."""
    session_id = (await ask(door, "x"))["session_id"]
    path = f"/sessions/{session_id}/messages"
    cursor = (await door.client.get(path, headers=A)).json()["newer_cursor"]
    answer = await door.client.get(path, params={"before": cursor, "after": cursor}, headers=A)
    assert answer.status_code == 422


async def test_a_turn_of_another_session_is_not_found(door: Door) -> None:
    """A turn is looked for in its session only."""
    one, two = await ask(door, "x"), await ask(door, "y")
    for session_id, turn_id in [
        (one["session_id"], two["turn_id"]),
        (one["session_id"], UNKNOWN_ID),
        ("nonsense", one["turn_id"]),
        (one["session_id"], "nonsense"),
    ]:
        answer = await door.client.get(f"/sessions/{session_id}/turns/{turn_id}", headers=A)
        assert (answer.status_code, problem_of(answer)["code"]) == (404, "turn_not_found")
