"""Faults of the parts around a turn, and answers that come at the worst moment.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from adapters.memory import (
    InMemoryChatRepository,
    RecordingTurnObserver,
    ScriptedLLM,
    SequentialIds,
    TickingClock,
)
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    Admission,
    Beat,
    ChatPolicy,
    ChatService,
    LLMDelta,
    LLMEnded,
    LLMEvent,
    LLMRateLimited,
    LLMReply,
    LLMStarted,
    NewTurn,
    PreparedRequest,
    ServiceStopping,
    SessionId,
    StorageUnavailable,
    TakenTurn,
    TurnEnded,
    TurnFailed,
    TurnId,
    TurnRef,
)
from chatcore.turns.running import Cut
from tests.builders import ANNA, BEN, SlowToMoveOn, bench, until_running

KEY = "0123456789abcdef"
QUICK = ChatPolicy(pulse_seconds=0.02, sweep_seconds=0.02, idle_sweep_seconds=0.02)
FAILING = ScriptedAnswer(("wrong", 0.01, LLMRateLimited("slower", retry_after_seconds=0.01)))


@pytest.mark.parametrize("lease_seconds", [15.0, 0.15])
async def test_turn_is_not_lost_on_its_way_to_the_next_attempt(lease_seconds: float) -> None:
    """G7: while an attempt is being recorded, neither heartbeat nor sweep nor repeat takes it away.

    Also if the lease ends meanwhile.
    """
    policy = ChatPolicy(
        pulse_seconds=0.02,
        sweep_seconds=0.02,
        idle_sweep_seconds=0.02,
        lease_seconds=lease_seconds,
        max_attempts=3,
    )
    llm = ScriptedLLM([FAILING, "right"])
    made = bench(llm, repository=SlowToMoveOn(), policy=policy)
    await made.service.start()
    first = asyncio.create_task(made.service.send(ANNA, "hello", idempotency_key=KEY))
    while "retrying" not in made.notices:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    repeat = await made.service.send(ANNA, "hello", idempotency_key=KEY)
    assert ((await first).text, repeat.text) == ("right", "right")
    assert made.notices == ["admitted", "retrying", "repeated", "completed"]
    await made.service.close(timeout_seconds=0)


class LeakyLLM(ScriptedLLM):
    """Lets out a cancellation that nobody asked for."""

    async def complete(self, request: PreparedRequest) -> LLMReply:
        await asyncio.sleep(0.01)
        raise asyncio.CancelledError


async def test_cancellation_that_nobody_asked_for() -> None:
    """G7: it ends the turn like any other fault, instead of leaving it to nobody."""
    made = bench(LeakyLLM())
    async with asyncio.timeout(2):
        with pytest.raises(TurnFailed) as failure:
            await made.service.send(ANNA, "hello")
    assert failure.value.code == "internal_error"
    assert made.notices == ["admitted", "broken", "failed"]


async def test_task_that_is_cancelled_leaves_nothing_behind() -> None:
    """G7: whatever ends the task, its readers are told and its lease is renewed no more."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,))])
    made = bench(llm)
    reader = await made.service.stream(ANNA, "hello")
    await until_running(llm)
    running = made.service._runner.turns.find(ANNA, reader.turn_id)
    assert running is not None
    assert running.task is not None
    running.task.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(StorageUnavailable):
            await reader.answer()
    assert made.service._runner.turns.find(ANNA, reader.turn_id) is None
    assert made.service._runner._pulse._turns == set()


class LateLLM(ScriptedLLM):
    """Has its last words ready at the very moment it is told."""

    def __init__(self) -> None:
        super().__init__([])
        self.go_on = asyncio.get_running_loop().create_future()

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        yield LLMStarted("late")
        yield LLMDelta("Never ")
        await self.go_on
        yield LLMDelta("do that.")
        yield LLMEnded("stop", "late", None)


async def test_nothing_is_completed_without_its_last_words() -> None:
    """G1: a turn that was let go while its last words came is not stored without them."""
    llm = LateLLM()
    made = bench(llm)
    reader = await made.service.stream(ANNA, "hello")
    while reader.position.offset == 0:
        await reader.next_event()
    running = made.service._runner.turns.find(ANNA, reader.turn_id)
    assert running is not None
    llm.go_on.set_result(None)
    running.cut(Cut.LOST)
    await asyncio.sleep(0.05)
    turn = await made.repository.turn(ANNA, reader.session_id, reader.turn_id)
    assert turn.reply is None
    assert made.notices == ["admitted", "lost"]
    await made.service.close(timeout_seconds=0)


class StumblingRepository(InMemoryChatRepository):
    """Cannot take anybody's heartbeat for a while, and not because of anything in it."""

    failures = 5

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        return await super().beat(beats, lease_seconds=lease_seconds)


async def test_fault_of_the_store_costs_no_turn() -> None:
    """G7: if no turn's news can be taken, none of them is to blame, and all go on."""
    llm = ScriptedLLM(lambda _: ScriptedAnswer(("long", 0.3, " and well")))
    made = bench(llm, repository=StumblingRepository(), policy=QUICK)
    readers = [await made.service.stream(ANNA, "hello") for _ in range(4)]
    answers = await asyncio.gather(*[reader.answer() for reader in readers])
    assert {answer.text for answer in answers} == {"long and well"}
    assert "lost" not in made.notices


class LoudObserver(RecordingTurnObserver):
    """Breaks its promise: it raises whatever it is told."""

    def __getattribute__(self, name: str) -> object:
        if name.startswith(("turn_", "attempt_", "loop_")):
            raise ZeroDivisionError
        return super().__getattribute__(name)


async def test_observers_decide_nothing() -> None:
    """An observer that raises holds nobody up."""
    service = ChatService(
        repository=InMemoryChatRepository(),
        llm=ScriptedLLM([LLMRateLimited("slower", retry_after_seconds=0.01), "well"]),
        clock=TickingClock(),
        ids=SequentialIds(1),
        observer=LoudObserver(),
    )
    async with asyncio.timeout(3):
        assert (await service.send(ANNA, "hello")).text == "well"
        await service.close(timeout_seconds=1)


class OneStuckRepository(InMemoryChatRepository):
    """Takes very long over taking turns over."""

    async def take_over(
        self,
        ref: TurnRef,
        *,
        template: str,
        stream: bool,
        lease_seconds: float,
        now: datetime,
    ) -> TakenTurn:
        await asyncio.sleep(5)
        raise StorageUnavailable


async def test_one_turn_holds_up_no_other_follower() -> None:
    """G6: who follows a healthy turn does not wait for one that cannot be taken over."""
    now = [0.0]
    repository = OneStuckRepository(monotonic=lambda: now[0])
    policy = ChatPolicy(pulse_seconds=0.02, idle_sweep_seconds=None)
    steps = [step for letter in "abcdefghij" for step in (letter, 0.03)]
    there = bench(
        ScriptedLLM([ScriptedAnswer((HANG,)), ScriptedAnswer(tuple(steps))]),
        repository=repository,
        policy=policy,
    )
    here = bench(ScriptedLLM([]), repository=repository, policy=policy, first_id=1000)
    dead = await there.service.stream(ANNA, "dead")
    there.service._runner._pulse._turns.clear()
    now[0] = 100.0
    live = await there.service.stream(BEN, "live")
    stuck = await here.service.follow(ANNA, dead.session_id, dead.turn_id)
    follower = await here.service.follow(BEN, live.session_id, live.turn_id)
    gaps, last = [], asyncio.get_running_loop().time()
    async for event in follower:
        gaps.append(asyncio.get_running_loop().time() - last)
        last += gaps[-1]
        if isinstance(event, TurnEnded):
            break
    assert max(gaps) < 2
    stuck.close()
    for made in (here, there):
        await made.service.close(timeout_seconds=0)


class SlowToAdmit(InMemoryChatRepository):
    """Admits at once, and says so after everybody else has gone home."""

    async def admit(self, new: NewTurn) -> Admission:
        admission = await super().admit(new)
        await asyncio.sleep(2.5)
        return admission


async def test_latecomers_are_handed_over_too() -> None:
    """G7: a turn whose admission is answered after closing is given away at once, and told."""
    repository = SlowToAdmit()
    made = bench(ScriptedLLM(["never asked"]), repository=repository)
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await asyncio.sleep(0.01)
    await made.service.close(timeout_seconds=0)
    async with asyncio.timeout(3):
        with pytest.raises(ServiceStopping):
            await waiting
    assert isinstance(made.llm, ScriptedLLM)
    assert made.llm.requests == []
    assert len(await repository.abandoned(limit=5)) == 1
    assert made.service._runner._pulse._turns == set()


class LateAnswer(InMemoryChatRepository):
    """Admits at once, and says so when the lease is over and others have looked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        super().__init__(monotonic=lambda: self.now)

    async def admit(self, new: NewTurn) -> Admission:
        admission = await super().admit(new)
        self.now += 100
        assert self.meanwhile is not None
        await self.meanwhile()
        turn = await self.turn(new.owner_id, new.session_id, new.turn_id)
        return replace(admission, turn=replace(turn, attempts=()))


@pytest.mark.parametrize("is_over", [True, False])
async def test_turn_taken_over_before_its_admission_is_known(is_over: bool) -> None:
    """G7: a turn that others run or have ended by then is read, not asked for once more."""
    repository = LateAnswer()
    theirs = ScriptedAnswer(("the", 0 if is_over else 0.3, "irs"))
    other = bench(ScriptedLLM([theirs]), repository=repository, policy=QUICK, first_id=1000)
    made = bench(ScriptedLLM(["never asked"]), repository=repository, policy=QUICK)

    async def meanwhile() -> None:
        await other.service.start()
        while ("completed" if is_over else "taken over") not in other.notices:
            await asyncio.sleep(0)

    repository.meanwhile = meanwhile
    async with asyncio.timeout(5):
        answer = await made.service.send(ANNA, "hello")
    assert (answer.text, answer.repeated) == ("theirs", False)
    assert isinstance(made.llm, ScriptedLLM)
    assert made.llm.requests == []
    for one in (made, other):
        await one.service.close(timeout_seconds=0)


async def test_stopped_turn_is_not_asked_for_again() -> None:
    """G5: a stop that comes while the next attempt is recorded is in time for its call."""
    llm = ScriptedLLM([FAILING, "never asked"])
    made = bench(llm, repository=SlowToMoveOn())
    reader = await made.service.stream(ANNA, "hello")
    while "retrying" not in made.notices:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    turn = await made.service.stop(ANNA, reader.session_id, reader.turn_id)
    assert (turn.status.value, len(llm.requests)) == ("stopped", 1)


async def test_dead_turns_are_shared_out() -> None:
    """G7: a process that starts after an outage leaves some of the dead turns to the others."""
    now = [0.0]
    repository = InMemoryChatRepository(monotonic=lambda: now[0])
    dead = bench(
        ScriptedLLM(lambda _: ScriptedAnswer((HANG,))),
        repository=repository,
        policy=ChatPolicy(pulse_seconds=3600),
    )
    for _ in range(40):
        await dead.service.stream(ANNA, "hello")
    now[0] = 100.0
    alive = bench(
        ScriptedLLM(lambda _: ScriptedAnswer((HANG,))),
        repository=repository,
        policy=ChatPolicy(sweep_seconds=3600),
        first_id=1000,
    )
    await alive.service.start()
    assert alive.notices.count("taken over") == 25
    for made in (alive, dead):
        await made.service.close(timeout_seconds=0)


async def test_readers_share_no_frames() -> None:
    """An error that many readers meet does not grow with each of them."""
    made = bench(ScriptedLLM([ScriptedAnswer((HANG,))]))
    reader = await made.service.stream(ANNA, "hello")
    others = [
        await made.service.follow(ANNA, SessionId(reader.session_id), TurnId(reader.turn_id))
        for _ in range(50)
    ]
    await made.service.close(timeout_seconds=0)
    depths = []
    for each in (reader, *others):
        with pytest.raises(ServiceStopping) as stopping:
            await each.answer()
        depths.append(len(stopping.traceback))
    assert depths[-1] == depths[0]
