"""Turns when something goes wrong around them: bugs, a store that is away, erasing, closing, death.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio

import pytest

from adapters.memory import InMemoryChatRepository, ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    Admission,
    LLMReply,
    NewTurn,
    PreparedRequest,
    ServiceStopping,
    StorageUnavailable,
    Turn,
    TurnEnd,
    TurnFailed,
    TurnLost,
    TurnRef,
    TurnStatus,
)
from tests.builders import ANNA, bench, until_running

KEY = "0123456789abcdef"


class BrokenLLM(ScriptedLLM):
    """A model adapter with a bug: it raises what the port does not know."""

    async def complete(self, request: PreparedRequest) -> LLMReply:
        raise ZeroDivisionError


async def test_bug_ends_the_turn() -> None:
    """A fault of ours ends the turn as internal_error, and the session is free again."""
    made = bench(BrokenLLM())
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert (failure.value.code, failure.value.retryable) == ("internal_error", False)
    assert made.notices == ["admitted", "broken", "failed"]


class FlakyRepository(InMemoryChatRepository):
    """Does not answer the first few times a turn is to be ended."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable
        return await super().finish(ref, end)


async def test_end_is_stored_when_the_store_comes_back() -> None:
    """G1: a reply is kept and stored again while the store does not answer for a moment."""
    made = bench(ScriptedLLM(["kept"]), repository=FlakyRepository(1))
    assert (await made.service.send(ANNA, "hello")).text == "kept"


async def test_erasing_during_a_turn() -> None:
    """G12: who waits for a turn of an erased session is told it is lost; nothing is written."""
    llm = ScriptedLLM([ScriptedAnswer((0.02, "late"))])
    made = bench(llm)
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await until_running(llm)
    [session] = (await made.service.sessions(ANNA)).items
    await made.service.erase(ANNA, session.id)
    with pytest.raises(TurnLost):
        await waiting
    assert (await made.service.sessions(ANNA)).items == ()
    assert made.notices == ["admitted", "lost"]


async def test_closing_lets_turns_finish() -> None:
    """Closing waits for running turns and admits nothing more."""
    llm = ScriptedLLM([ScriptedAnswer((0.02, "in time"))])
    made = bench(llm)
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await until_running(llm)
    await made.service.close(timeout_seconds=5)
    assert (await waiting).text == "in time"
    with pytest.raises(ServiceStopping):
        await made.service.send(ANNA, "too late")


async def test_closing_interrupts_what_does_not_finish() -> None:
    """Closing ends turns that take too long as turn_interrupted, with the question kept."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,))])
    made = bench(llm)
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await until_running(llm)
    await made.service.close(timeout_seconds=0.01)
    with pytest.raises(TurnFailed) as failure:
        await waiting
    assert (failure.value.code, failure.value.retryable) == ("turn_interrupted", True)
    assert llm.running == 0


async def test_repeat_of_an_abandoned_turn_is_told() -> None:
    """G7: who waits for a turn whose process died is told once its lease is over."""
    now = [0.0]
    repository = InMemoryChatRepository(monotonic=lambda: now[0])
    hanging = ScriptedLLM([ScriptedAnswer((HANG,))])
    dead = bench(hanging, repository=repository)
    waiting = asyncio.create_task(dead.service.send(ANNA, "hello", idempotency_key=KEY))
    await until_running(hanging)
    now[0] = 316.0
    alive = bench(repository=repository, first_id=1000)
    with pytest.raises(TurnFailed) as failure:
        await alive.service.send(ANNA, "hello", idempotency_key=KEY)
    assert (failure.value.code, failure.value.repeated) == ("turn_interrupted", True)
    waiting.cancel()
    await dead.service.close(timeout_seconds=0.01)


async def test_leaving_during_admission_orphans_nothing() -> None:
    """G1, G5: a caller cancelled while its question is being stored leaves no turn behind alone."""
    made = bench(ScriptedLLM(["stored"]), repository=SlowRepository())
    waiting = asyncio.create_task(made.service.send(ANNA, "one"))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await made.service.close(timeout_seconds=5)
    [session] = (await made.service.sessions(ANNA)).items
    page = await made.service.messages(ANNA, session.id)
    assert [said.content for said in page.items] == ["one", "stored"]


class SlowRepository(InMemoryChatRepository):
    """Takes its time to admit and to finish."""

    async def admit(self, new: NewTurn) -> Admission:
        admission = await super().admit(new)
        await asyncio.sleep(0.05)
        return admission

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        await asyncio.sleep(0.05)
        return await super().finish(ref, end)


async def test_closing_waits_for_what_is_being_admitted_or_stored() -> None:
    """G1: closing cuts off neither a question being admitted nor a reply being stored."""
    made = bench(ScriptedLLM(["stored"]), repository=SlowRepository())
    early = asyncio.create_task(made.service.send(ANNA, "one"))
    await asyncio.sleep(0.07)
    made.llm.script("late")  # type: ignore[attr-defined]
    late = asyncio.create_task(made.service.send(ANNA, "two"))
    await asyncio.sleep(0)
    await made.service.close(timeout_seconds=0.0)
    assert (await early).text == "stored"
    with pytest.raises(TurnFailed):
        await late


async def test_recovery_ends_abandoned_turns() -> None:
    """G7: what a dead process left running is ended when another one starts."""
    now = [0.0]
    repository = InMemoryChatRepository(monotonic=lambda: now[0])
    hanging = ScriptedLLM([ScriptedAnswer((HANG,))])
    dead = bench(hanging, repository=repository)
    waiting = asyncio.create_task(dead.service.send(ANNA, "hello"))
    await until_running(hanging)
    alive = bench(repository=repository, first_id=1000)
    assert await alive.service.recover() == 0
    now[0] = 316.0
    assert await alive.service.recover() == 1
    waiting.cancel()
    await dead.service.close(timeout_seconds=0.01)
    [session] = (await alive.service.sessions(ANNA)).items
    [question] = (await alive.service.messages(ANNA, session.id)).items
    assert question.turn_status is TurnStatus.FAILED
