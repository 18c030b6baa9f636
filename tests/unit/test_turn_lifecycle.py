"""Turns when something goes wrong around them: bugs, a store that is away, erasing, closing, death.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from adapters.memory import InMemoryChatRepository, ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    Admission,
    ChatPolicy,
    LLMRateLimited,
    LLMReply,
    LLMUnavailable,
    NewTurn,
    PreparedRequest,
    ServiceStopping,
    SessionId,
    StorageUnavailable,
    Turn,
    TurnEnd,
    TurnFailed,
    TurnId,
    TurnLost,
    TurnRef,
    TurnStatus,
)
from tests.builders import ANNA, bench, until_running

KEY = "0123456789abcdef"
NO_PULSE = ChatPolicy(lease_seconds=3600)
"""Of a process that dies before its first sign of life."""


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
    dead = bench(hanging, repository=repository, policy=NO_PULSE)
    waiting = asyncio.create_task(dead.service.send(ANNA, "hello", idempotency_key=KEY))
    await until_running(hanging)
    now[0] = 3601.0
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
    dead = bench(hanging, repository=repository, policy=NO_PULSE)
    waiting = asyncio.create_task(dead.service.send(ANNA, "hello"))
    await until_running(hanging)
    alive = bench(repository=repository, first_id=1000)
    assert await alive.service.recover() == 0
    now[0] = 3601.0
    assert await alive.service.recover() == 1
    waiting.cancel()
    await dead.service.close(timeout_seconds=0.01)
    [session] = (await alive.service.sessions(ANNA)).items
    [question] = (await alive.service.messages(ANNA, session.id)).items
    assert question.turn_status is TurnStatus.FAILED


class AttemptlessRepository(FlakyRepository):
    """Cannot record a further attempt."""

    async def next_attempt(
        self, ref: TurnRef, *, error_code: str, request_digest: str, now: datetime
    ) -> TurnRef:
        raise StorageUnavailable


async def test_store_that_is_away_for_a_retry_locks_nothing() -> None:
    """G7: if a further attempt cannot be recorded, the turn still ends, as soon as that can be."""
    llm = ScriptedLLM([LLMUnavailable("down"), "never asked"])
    made = bench(llm, repository=AttemptlessRepository(1))
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert (failure.value.code, len(llm.requests)) == ("llm_unavailable", 1)


class SlowAttemptRepository(InMemoryChatRepository):
    """Records a further attempt, and takes its time to say so."""

    async def next_attempt(
        self, ref: TurnRef, *, error_code: str, request_digest: str, now: datetime
    ) -> TurnRef:
        following = await super().next_attempt(
            ref, error_code=error_code, request_digest=request_digest, now=now
        )
        await asyncio.sleep(0.2)
        return following


async def test_deadline_while_an_attempt_is_recorded() -> None:
    """G7: a deadline that passes while an attempt is being recorded still ends the turn."""
    llm = ScriptedLLM([LLMRateLimited("wait", retry_after_seconds=0.05), "too late"])
    policy = ChatPolicy(deadline_seconds=0.15)
    made = bench(llm, repository=SlowAttemptRepository(), policy=policy)
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert failure.value.code == "llm_timeout"


async def test_reply_outlives_a_long_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """G1: who waits is told the turn's id after a while; the reply is stored when that works."""
    monkeypatch.setattr("chatcore.turns.ending._PATIENCE_SECONDS", 0.1)
    repository = FlakyRepository(2)
    made = bench(ScriptedLLM(["kept"]), repository=repository)
    with pytest.raises(StorageUnavailable) as unavailable:
        await made.service.send(ANNA, "hello")
    told = unavailable.value
    await made.service.close(timeout_seconds=5)
    assert told.session_id is not None
    assert told.turn_id is not None
    turn = await made.service.turn(ANNA, SessionId(told.session_id), TurnId(told.turn_id))
    assert turn.reply is not None
    assert turn.reply.content == "kept"


async def test_closing_tells_those_who_wait_for_another_process() -> None:
    """A repeat that waits for another process's turn is told when its own process closes."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,))])
    there = bench(llm)
    here = bench(ScriptedLLM([]), repository=there.repository, first_id=1000)
    first = asyncio.create_task(there.service.send(ANNA, "hello", idempotency_key=KEY))
    await until_running(llm)
    repeat = asyncio.create_task(here.service.send(ANNA, "hello", idempotency_key=KEY))
    await asyncio.sleep(0.01)
    await here.service.close(timeout_seconds=1)
    with pytest.raises(ServiceStopping):
        await repeat
    await there.service.close(timeout_seconds=0)
    with pytest.raises(TurnFailed):
        await first


async def test_pulse_keeps_a_long_turn_alive() -> None:
    """G7: a turn that takes longer than its lease is not taken for dead while its process lives."""
    llm = ScriptedLLM([ScriptedAnswer((0.5, "long"))])
    made = bench(llm, policy=ChatPolicy(lease_seconds=0.2))
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await asyncio.sleep(0.4)
    assert await made.service.recover() == 0
    assert (await waiting).text == "long"


async def test_pulse_stops_a_turn_that_was_lost() -> None:
    """G7: an attempt that learns it lost its turn closes the model's call and writes nothing."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,))])
    made = bench(llm, policy=ChatPolicy(lease_seconds=0.2))
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await until_running(llm)
    [session] = (await made.service.sessions(ANNA)).items
    await made.service.erase(ANNA, session.id)
    with pytest.raises(TurnLost):
        await waiting
    assert llm.running == 0
    assert made.notices == ["admitted", "lost"]


class CountingRepository(InMemoryChatRepository):
    """Counts how often leases are renewed."""

    renewals = 0

    async def renew(self, refs: Sequence[TurnRef], *, lease_seconds: float) -> frozenset[TurnId]:
        self.renewals += 1
        return await super().renew(refs, lease_seconds=lease_seconds)


async def test_nothing_running_nothing_sent() -> None:
    """The pulse asks the store only while a turn runs, and once for all of them."""
    repository = CountingRepository()
    llm = ScriptedLLM(lambda _: ScriptedAnswer((0.3, "done")))
    made = bench(llm, repository=repository, policy=ChatPolicy(lease_seconds=0.5))
    await asyncio.gather(*[made.service.send(ANNA, "hello") for _ in range(10)])
    during = repository.renewals
    await asyncio.sleep(0.3)
    assert 1 <= during <= 4
    assert repository.renewals == during
