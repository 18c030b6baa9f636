"""POST /chat.

May import: standard library, adapters, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from adapters.memory.llm import ScriptedAnswer
from tests.http.door import UNKNOWN_ID, VISITOR_A, VISITOR_B, Door, bearer, problem_of

LONG_KEY = "k" * 16


async def test_an_answer_has_every_field_of_the_contract(door: Door) -> None:
    """The JSON answer has exactly the nine fields of the contract."""
    body = await door.ask("What is a robot?")
    usage = body.pop("usage")
    assert body == {
        "response": "You asked: What is a robot?",
        "status": "completed",
        "session_id": "00000000-0001-7000-8000-000000000001",
        "timestamp": body["timestamp"],
        "turn_id": "00000000-0002-7000-8000-000000000002",
        "message_id": body["message_id"],
        "model": "scripted",
        "finish_reason": "stop",
    }
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_the_timestamp_is_the_stored_replys(door: Door) -> None:
    """`timestamp` is the reply's created_at, in RFC 3339 with Z."""
    body = await door.ask()
    assert body["timestamp"].endswith("Z")
    page = (await door.client.get(f"/sessions/{body['session_id']}/messages")).json()
    assert page["items"][1]["created_at"] == body["timestamp"]


async def test_a_session_goes_on(door: Door) -> None:
    """A question with a session id joins that session, and the model sees what was said."""
    first = await door.ask("one")
    second = await door.ask("two", session_id=first["session_id"])
    assert second["session_id"] == first["session_id"]
    said = [message.content for message in door.llm.requests[1].prompt.messages]
    assert said == ["one", "You asked: one", "two"]


async def test_a_session_id_in_capitals_is_the_same_id(door: Door) -> None:
    """Hexadecimal digits count the same in both cases."""
    first = await door.ask("one")
    await door.ask("two", session_id=first["session_id"].upper())


@pytest.mark.parametrize(
    "selected",
    [
        "a passage",
        {"text": "a passage"},
        {"text": "a passage", "title": "T", "url": "u", "anchor": "#a"},
    ],
    ids=["text", "object", "with source"],
)
async def test_selected_text_is_stored_typed(door: Door, selected: Any) -> None:
    """A passage comes back as an object, and reaches the model as quoted material."""
    body = await door.ask("why?", selected_text=selected)
    page = (await door.client.get(f"/sessions/{body['session_id']}/messages")).json()
    whole = selected if isinstance(selected, dict) else {"text": selected}
    expected = {"title": None, "url": None, "anchor": None} | whole
    assert page["items"][0]["selected_text"] == expected
    assert "a passage" in door.llm.requests[0].prompt.messages[-1].content


@pytest.mark.parametrize("field", ["session_id", "selected_text"])
async def test_null_is_the_same_as_leaving_out(door: Door, field: str) -> None:
    """Optional fields may be null."""
    await door.ask("hello", **{field: None})


async def test_a_repeat_with_a_key_gets_the_first_answer(door: Door) -> None:
    """G2: one key, one turn: the repeat asks no model and says that it is one."""
    headers = {"Idempotency-Key": LONG_KEY}
    first = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    again = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    assert first.json() == again.json()
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(door.llm.requests) == 1


async def test_a_bare_and_a_quoted_key_are_one_key(door: Door) -> None:
    """A key counts the same as a structured-field string, escapes undone."""
    key = 'one "good" \\ key of mine'
    quoted = '"one \\"good\\" \\\\ key of mine"'
    for header in (key, quoted, f"  {quoted} "):
        answer = await door.client.post(
            "/chat", json={"message": "x"}, headers={"Idempotency-Key": header}
        )
        assert answer.status_code == 200
    assert len(door.llm.requests) == 1


@pytest.mark.parametrize(
    "key",
    ["", '"', '""', '"open', "k" * 256, "ключ-ключ-ключ-ключ".encode(), '"bad\\escape-and-more"'],
)
async def test_what_is_no_key_is_refused(door: Door, key: str | bytes) -> None:
    """A key that is empty, too long, not printable ASCII or badly quoted changes nothing."""
    raw = key if isinstance(key, bytes) else key.encode()
    answer = await door.client.post(
        "/chat",
        json={"message": "x"},
        headers=[(b"idempotency-key", raw), (b"authorization", f"Bearer {VISITOR_A}".encode())],
    )
    assert answer.status_code == 422
    assert problem_of(answer)["errors"][0]["field"] == "Idempotency-Key"
    assert door.repository.is_empty


async def test_a_short_key_needs_a_visitor_token(door: Door) -> None:
    """For the shared owner a guessable key is refused with a hint; a visitor may use one."""
    headers = {"Idempotency-Key": "k" * 15}
    answer = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    assert answer.status_code == 422
    assert "visitor token" in problem_of(answer)["errors"][0]["reason"]
    with_token = headers | bearer(VISITOR_A)
    answer = await door.client.post("/chat", json={"message": "x"}, headers=with_token)
    assert answer.status_code == 200


async def test_a_key_with_another_question_is_refused(door: Door) -> None:
    """G2: a key never names two questions."""
    headers = {"Idempotency-Key": LONG_KEY}
    await door.client.post("/chat", json={"message": "x"}, headers=headers)
    answer = await door.client.post("/chat", json={"message": "y"}, headers=headers)
    assert (answer.status_code, problem_of(answer)["code"]) == (422, "idempotency_key_reused")


async def test_a_failed_turn_replays_as_failed(door: Door) -> None:
    """A repeat of a failed turn gets the same failure, marked as a replay."""
    door.llm.script(ScriptedAnswer((), finish_reason=None))
    headers = {"Idempotency-Key": LONG_KEY}
    first = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    again = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    assert first.status_code == again.status_code == 502
    assert problem_of(first)["turn_id"] == problem_of(again)["turn_id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_busy_session_names_its_turn(door: Door) -> None:
    """G3: a second question meets 409 with the running turn's id and when to come back."""
    session_id = (await door.ask("one"))["session_id"]
    door.llm.script(ScriptedAnswer((0.3, "slow")))
    door.llm.asked.clear()
    asking = asyncio.create_task(
        door.client.post("/chat", json={"message": "two", "session_id": session_id})
    )
    await door.llm.asked.wait()
    answer = await door.client.post("/chat", json={"message": "3", "session_id": session_id})
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (409, "session_busy")
    assert problem["retryable"] is True
    assert answer.headers["retry-after"] == "1"
    turn = await door.client.get(f"/sessions/{session_id}/turns/{problem['turn_id']}")
    assert turn.json()["status"] == "running"
    assert (await asking).json()["response"] == "slow"
    await door.ask("3", session_id=session_id)


async def test_leaving_does_not_stop_the_reply(door: Door) -> None:
    """G5: a client that goes away changes nothing; the reply is stored."""
    door.llm.script(ScriptedAnswer((0.05, "late but whole")))
    headers = {"Idempotency-Key": LONG_KEY}
    asking = asyncio.create_task(door.client.post("/chat", json={"message": "x"}, headers=headers))
    await door.llm.asked.wait()
    asking.cancel()
    answer = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    assert answer.json()["response"] == "late but whole"
    assert len(door.llm.requests) == 1


@pytest.mark.parametrize("session_id", [UNKNOWN_ID, "nonsense", "", "0" * 36, "\x00", "é" * 3000])
async def test_an_unknown_session_is_not_found(door: Door, session_id: str) -> None:
    """An id that names no session, or is none at all, is answered alike."""
    answer = await door.client.post("/chat", json={"message": "x", "session_id": session_id})
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "session_not_found")
    assert door.repository.is_empty


async def test_a_visitors_token_is_stored_only_as_its_hash(door: Door) -> None:
    """The owner of a visitor's session is made from the token's SHA-256."""
    answer = await door.client.post("/chat", json={"message": "x"}, headers=bearer(VISITOR_A))
    assert answer.status_code == 200
    owners = {owner for owner, _ in door.repository._kept}
    assert owners == {"visitor:" + hashlib.sha256(VISITOR_A.encode()).hexdigest()}


async def test_one_key_of_two_owners_is_two_keys(door: Door) -> None:
    """G2: keys belong to their owner."""
    for token in (VISITOR_A, VISITOR_B):
        headers = bearer(token) | {"Idempotency-Key": LONG_KEY}
        answer = await door.client.post("/chat", json={"message": "x"}, headers=headers)
        assert "idempotent-replayed" not in answer.headers
    assert len(door.llm.requests) == 2
