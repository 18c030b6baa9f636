"""Past capacity: new questions are refused, and nothing else is.

May import: standard library, httpx, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.http.door import VISITOR_A, Dictation, Door, bearer, open_door, problem_of

KEY = {"Idempotency-Key": "k" * 16}
LATE = {"OVERLOAD_LAG_SECONDS": "0.02"}
BLOCKED_SECONDS = 0.25
PATIENCE_SECONDS = 5.0


@pytest.fixture
async def narrow() -> AsyncIterator[Door]:
    """Give the application with room for one turn, which nothing but that can make refuse."""
    async with open_door(MAX_RUNNING_TURNS="1", OVERLOAD_LAG_SECONDS="0") as opened:
        yield opened


async def begun(door: Door, **fields: Any) -> tuple[Dictation, asyncio.Task[httpx.Response]]:
    """Begin a turn that waits for its words."""
    dictation = door.llm.dictate()
    door.llm.asked.clear()
    asking = asyncio.create_task(door.client.post("/chat", json={"message": "long", **fields}))
    await door.llm.asked.wait()
    return dictation, asking


def is_refusal(answer: httpx.Response) -> bool:
    """Tell whether this is the refusal, having checked its form."""
    if answer.status_code != 503:
        return False
    problem = problem_of(answer)
    assert (problem["code"], problem["retryable"]) == ("service_overloaded", True)
    assert not {"turn_id", "session_id"} & problem.keys()
    assert answer.headers["retry-after"] in {"1", "2", "3"}
    return True


async def test_a_full_process_refuses_new_questions(narrow: Door) -> None:
    """503 with Retry-After, however it is asked; what was refused is not stored."""
    first = await narrow.ask("earlier")
    dictation, asking = await begun(narrow)
    path = f"/sessions/{first['session_id']}/messages/{first['message_id']}"
    for address, body in (
        ("/chat", {"message": "x"}),
        ("/chat", {"message": "x", "stream": True}),
        ("/chat", {"message": "x", "session_id": first["session_id"]}),
        (f"{path}/regenerate", {}),
        (f"{path}/regenerate", {"stream": True}),
        (f"{path}/edit", {"message": "x"}),
    ):
        assert is_refusal(await narrow.client.post(address, json=body)), address
    page = (await narrow.client.get(f"/sessions/{first['session_id']}/messages")).json()
    assert [each["superseded_by"] for each in page["items"]] == [None, None]
    assert len(narrow.repository._kept) == 2
    dictation.say("at last")
    dictation.end()
    assert (await asking).json()["response"] == "at last"


async def test_nothing_else_is_refused(narrow: Door) -> None:
    """Health, looking, following, renaming, stopping and erasing go on while a process is full."""
    _, asking = await begun(narrow)
    asking.cancel()
    ((_, session_id),) = narrow.repository._kept
    session = f"/sessions/{session_id}"
    [question] = (await narrow.client.get(f"{session}/messages")).json()["items"]
    turn = f"{session}/turns/{question['turn_id']}"
    assert is_refusal(await narrow.client.post("/chat", json={"message": "x"}))
    for address in ("/health", "/health/ready", "/sessions", session, turn):
        assert (await narrow.client.get(address)).status_code == 200, address
    assert (await narrow.client.patch(session, json={"title": "t"})).status_code == 200
    following = asyncio.create_task(narrow.client.get(f"{turn}/events"))
    await asyncio.sleep(0)
    assert (await narrow.client.post(f"{turn}/stop")).json()["status"] == "stopped"
    assert "event: stopped" in (await following).text
    assert (await narrow.client.delete(session)).status_code == 204


async def test_a_refused_key_is_unused(narrow: Door) -> None:
    """G2: who repeats a refused question with its key, even another question, is answered."""
    dictation, asking = await begun(narrow)
    refused = await narrow.client.post("/chat", json={"message": "one"}, headers=KEY)
    assert is_refusal(refused)
    dictation.end()
    await asking
    async with asyncio.timeout(PATIENCE_SECONDS):
        while is_refusal(
            answer := await narrow.client.post("/chat", json={"message": "another"}, headers=KEY)
        ):
            await asyncio.sleep(0.001)
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


async def test_a_crowd_is_told_different_times(narrow: Door) -> None:
    """Retry-After is one to three seconds, each of them for some."""
    dictation, asking = await begun(narrow)
    told = set()
    for _ in range(100):
        answer = await narrow.client.post("/chat", json={"message": "x"})
        assert is_refusal(answer)
        told.add(answer.headers["retry-after"])
    assert told == {"1", "2", "3"}
    dictation.end()
    await asking


@asynccontextmanager
async def late() -> AsyncIterator[None]:
    """Keep the loop busy with something else, all but a moment now and then."""

    async def be_busy() -> None:
        while True:
            time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251  # this is the fault
            for _ in range(60):
                await asyncio.sleep(0)

    task = asyncio.create_task(be_busy())
    try:
        await asyncio.sleep(6 * BLOCKED_SECONDS)
        yield
    finally:
        task.cancel()


async def test_a_late_process_refuses_new_questions_only() -> None:
    """While the loop is late all questions are refused, unread; soon after that none is."""
    async with open_door(**LATE) as door:
        first = await door.ask("earlier")
        session = f"/sessions/{first['session_id']}"
        message = f"{session}/messages/{first['message_id']}"
        turn = f"{session}/turns/{first['turn_id']}"
        async with late():
            for address in ("/chat", f"{message}/regenerate", f"{message}/edit"):
                assert is_refusal(await door.client.post(address, content=b"no JSON")), address
            for address in ("/health", "/health/ready", "/sessions", session, turn):
                assert (await door.client.get(address)).status_code == 200, address
            assert (await door.client.post(f"{turn}/stop")).status_code == 200
            assert (await door.client.options("/chat")).status_code == 204
        async with asyncio.timeout(PATIENCE_SECONDS):
            while is_refusal(await door.client.post("/chat", json={"message": "later"})):
                await asyncio.sleep(0.05)
        assert [line["event"] for line in door.log_lines()].count("overloaded") == 1
        assert len(door.repository._kept) == 2


async def test_strangers_are_told_nothing_else() -> None:
    """G11: a refusal is the same for whoever asks, and for whatever session."""
    async with open_door(**LATE) as door:
        mine = await door.client.post("/chat", json={"message": "x"}, headers=bearer(VISITOR_A))
        bodies = [{"message": "x", "session_id": mine.json()["session_id"]}, {"message": "x"}]
        async with late():
            answers = [await door.client.post("/chat", json=body) for body in bodies]
        assert all(is_refusal(answer) for answer in answers)
        shown = [{**problem_of(answer), "request_id": ""} for answer in answers]
        assert shown[0] == shown[1]
