"""The one table from error codes to answers.

May import: standard library, adapters, app, chatcore, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from uuid import UUID

import pytest

import chatcore.errors
from adapters.memory.llm import HANG, ScriptedAnswer
from app.http.problems import PROBLEMS, Refused
from chatcore import (
    ChatError,
    LLMError,
    LLMIncomplete,
    LLMRateLimited,
    LLMRejected,
    LLMTimeout,
    LLMUnavailable,
    SessionBusy,
    StorageUnavailable,
    TurnLost,
)
from chatcore.failure_codes import INTERNAL_ERROR, RETRYABLE_TURN_CODES, TURN_INTERRUPTED
from tests.http.door import Door, open_door, problem_of

SECRET_WORDS = "provider says: key sk-canary is over quota"


def error_classes(root: type[ChatError] = ChatError) -> Iterator[type[ChatError]]:
    """Yield every error class of the hexagon."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


@pytest.mark.parametrize("error", list(error_classes()), ids=lambda error: error.__name__)
def test_every_error_has_a_row(error: type[ChatError]) -> None:
    """Every error class has its row, and agrees with it about trying again."""
    row = PROBLEMS[error.code]
    assert row.status >= 400
    if error.__module__ == chatcore.errors.__name__:
        assert row.retryable == error.retryable


def test_every_code_of_a_failed_turn_has_a_row() -> None:
    """The codes that turns end with have rows that agree about trying again."""
    for code in RETRYABLE_TURN_CODES | {TURN_INTERRUPTED, INTERNAL_ERROR, LLMRejected.code}:
        assert PROBLEMS[code].retryable == (code in RETRYABLE_TURN_CODES)


@pytest.mark.parametrize("code", PROBLEMS)
def test_rows_are_sound(code: str) -> None:
    """A row has a real status and sentences; what waits is retryable."""
    row = PROBLEMS[code]
    assert HTTPStatus(row.status)
    assert row.title[0].isupper()
    assert row.detail.endswith(".")
    assert row.retry_after_seconds is None or row.retryable


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LLMUnavailable(SECRET_WORDS), 502),
        (LLMIncomplete(SECRET_WORDS), 502),
        (LLMRejected(SECRET_WORDS), 502),
        (LLMRateLimited(SECRET_WORDS), 503),
        (LLMTimeout(SECRET_WORDS), 504),
    ],
    ids=lambda value: value.code if isinstance(value, LLMError) else "",
)
async def test_model_failures(door: Door, error: LLMError, status: int) -> None:
    """A model failure has its status and names turn and session; the provider's words stay out."""
    door.llm.script(error)
    answer = await door.client.post("/chat", json={"message": "x"})
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (status, error.code)
    assert problem["retryable"] == error.retryable
    assert {"turn_id", "session_id"} <= problem.keys()
    assert ("retry-after" in answer.headers) == isinstance(error, LLMRateLimited)
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (
            StorageUnavailable("FATAL: password authentication failed for canary"),
            503,
            "storage_unavailable",
        ),
        (TurnLost(UUID(int=1)), 409, "turn_lost"),
        (RuntimeError("canary in a traceback"), 500, "internal_error"),
        (MemoryError(), 500, "internal_error"),
        (KeyError("canary"), 500, "internal_error"),
        (RecursionError("canary"), 500, "internal_error"),
        (Refused("a code nobody knows"), 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_failures_of_ours(door: Door, error: Exception, status: int, code: str) -> None:
    """Whatever breaks becomes a problem from the table, without a word of the exception."""
    door.repository.error = error
    answer = await door.client.post("/chat", json={"message": "x"})
    assert (answer.status_code, problem_of(answer)["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "canary" not in answer.text
    door.logs.flush()
    assert "canary in" not in door.stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "1"), (1, "1"), (7, "7"), (23, "23"), (600, "600")]
)
async def test_a_busy_session_says_when(door: Door, seconds: int, told: str) -> None:
    """Retry-After of `session_busy` is what the error knows, in whole seconds from 1 on."""
    door.repository.error = SessionBusy(UUID(int=7), retry_after_seconds=seconds)
    answer = await door.client.post("/chat", json={"message": "x"})
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (409, "session_busy")
    assert (answer.headers["retry-after"], problem["turn_id"]) == (told, str(UUID(int=7)))


async def test_a_stopping_service_admits_nothing() -> None:
    """Once the drain began, questions and readiness get 503 with Retry-After."""
    async with open_door() as door:
        await door.app.state.lifecycle.begin_drain()
        for answer in (
            await door.client.post("/chat", json={"message": "x"}),
            await door.client.get("/health/ready"),
        ):
            assert (answer.status_code, problem_of(answer)["code"]) == (503, "service_stopping")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await door.client.get("/health")).status_code == 200


async def test_a_turn_that_is_handed_over_is_503(door: Door) -> None:
    """Who waits for a reply when its process ends is sent elsewhere, and told which turn it is."""
    door.llm.script(ScriptedAnswer((HANG,)))
    asking = asyncio.create_task(door.client.post("/chat", json={"message": "x"}))
    await door.llm.asked.wait()
    await door.app.state.lifecycle._service.close(timeout_seconds=0)
    answer = await asking
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (503, "service_stopping")
    turn = await door.client.get(f"/sessions/{problem['session_id']}/turns/{problem['turn_id']}")
    assert turn.json()["status"] == "running"
