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
    AbandonedTurn,
    Admission,
    Beat,
    ChatPolicy,
    LLMRateLimited,
    LLMReply,
    LLMUnavailable,
    NewTurn,
    OwnerId,
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
)
from tests.builders import ANNA, SlowToMoveOn, bench, until_running


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
    with pytest.raises(ServiceStopping):
        await late


class AttemptlessRepository(FlakyRepository):
    """Cannot record a further attempt."""

    async def next_attempt(
        self,
        ref: TurnRef,
        *,
        error_code: str,
        request_digest: str,
        template: str,
        stream: bool,
        now: datetime,
    ) -> TurnRef:
        raise StorageUnavailable


async def test_store_that_is_away_for_a_retry_locks_nothing() -> None:
    """G7: if a further attempt cannot be recorded, the turn still ends, as soon as that can be."""
    llm = ScriptedLLM([LLMUnavailable("down"), "never asked"])
    made = bench(llm, repository=AttemptlessRepository(1))
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert (failure.value.code, len(llm.requests)) == ("llm_unavailable", 1)


async def test_deadline_while_an_attempt_is_recorded() -> None:
    """G7: a deadline that passes while an attempt is being recorded still ends the turn."""
    llm = ScriptedLLM([LLMRateLimited("wait", retry_after_seconds=0.05), "too late"])
    policy = ChatPolicy(deadline_seconds=0.15)
    made = bench(llm, repository=SlowToMoveOn(), policy=policy)
    with pytest.raises(TurnFailed) as failure:
        await made.service.send(ANNA, "hello")
    assert failure.value.code == "llm_timeout"


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


async def test_reply_outlives_a_long_outage() -> None:
    """G1: who waits is told the turn's id after a while; the reply is stored when that works."""
    made = bench(
        ScriptedLLM(["kept"]),
        repository=FlakyRepository(2),
        policy=ChatPolicy(storage_patience_seconds=0.1),
    )
    with pytest.raises(StorageUnavailable) as unavailable:
        await made.service.send(ANNA, "hello")
    told = unavailable.value
    await made.service.close(timeout_seconds=5)
    assert told.session_id is not None
    assert told.turn_id is not None
    turn = await made.service.turn(ANNA, SessionId(told.session_id), TurnId(told.turn_id))
    assert turn.reply is not None
    assert turn.reply.content == "kept"


class CountingRepository(InMemoryChatRepository):
    """Counts signs of life and looks for the dead."""

    beats = sweeps = 0

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        self.beats += 1
        return await super().beat(beats, lease_seconds=lease_seconds)

    async def abandoned(
        self, *, limit: int, session: tuple[OwnerId, SessionId] | None = None
    ) -> tuple[AbandonedTurn, ...]:
        self.sweeps += 1
        return await super().abandoned(limit=limit, session=session)


async def test_nothing_running_nothing_sent() -> None:
    """The pulse asks the store only while a turn runs, and once for all of them."""
    repository = CountingRepository()
    llm = ScriptedLLM(lambda _: ScriptedAnswer((0.3, "done")))
    policy = ChatPolicy(lease_seconds=1.0, pulse_seconds=0.05)
    made = bench(llm, repository=repository, policy=policy)
    await asyncio.gather(*[made.service.send(ANNA, "hello") for _ in range(10)])
    during = repository.beats
    await asyncio.sleep(0.2)
    assert 1 <= during <= 4
    assert repository.beats == during


async def test_sleeping_databases_are_left_alone() -> None:
    """With idle sweeps off, a process that has had no work sends nothing after its start."""
    repository = CountingRepository()
    policy = ChatPolicy(sweep_seconds=0.02, idle_sweep_seconds=None)
    made = bench(repository=repository, policy=policy)
    await made.service.start()
    await asyncio.sleep(0.1)
    assert repository.sweeps == 1
    await made.service.send(ANNA, "hello")
    await asyncio.sleep(0.1)
    assert repository.sweeps >= 3
    await made.service.close(timeout_seconds=0)
