"""Turns whose process dies, stalls or closes: who goes on with them, and what readers see.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from adapters.memory import InMemoryChatRepository, ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    AbandonedTurn,
    ChatPolicy,
    OwnerId,
    ReplyDelta,
    ReplyPosition,
    ServiceStopping,
    SessionBusy,
    SessionId,
    StorageUnavailable,
    TurnEnded,
    TurnFailed,
    TurnId,
    TurnReader,
    TurnStatus,
)
from tests.builders import ANNA, Bench, bench, until_running

KEY = "0123456789abcdef"
QUICK = ChatPolicy(pulse_seconds=0.02, sweep_seconds=0.02, idle_sweep_seconds=0.02)
LEASE = QUICK.lease_seconds


class Pair:
    """Two processes on one store, whose clock only we move."""

    def __init__(self, *first: ScriptedAnswer, policy: ChatPolicy = QUICK) -> None:
        self.now = 0.0
        repository = InMemoryChatRepository(monotonic=lambda: self.now)
        self.llm = ScriptedLLM(list(first))
        self.there = bench(self.llm, repository=repository, policy=policy)
        self.here = bench(
            ScriptedLLM(lambda _: "from here"), repository=repository, policy=policy, first_id=1000
        )

    def kill(self) -> None:
        """Let the first process say nothing any more, and its leases run out."""
        pulse = self.there.service._runner._pulse
        pulse._turns.clear()
        self.now += LEASE + 1

    async def close(self) -> None:
        """End both."""
        for made in (self.there, self.here):
            await made.service.close(timeout_seconds=0)


async def texts(made: Bench, reader: TurnReader) -> list[str]:
    """Return all that was said in the session."""
    page = await made.service.messages(ANNA, reader.session_id)
    return [message.content for message in page.items]


async def test_successor_answers() -> None:
    """G7: another process finds the turn, asks again as attempt 2, and stores its answer alone."""
    pair = Pair(ScriptedAnswer(("half", HANG)))
    reader = await pair.there.service.stream(ANNA, "hello")
    await until_running(pair.llm)
    await asyncio.sleep(0.05)
    pair.kill()
    await pair.here.service.start()
    follower = await pair.here.service.follow(ANNA, reader.session_id, reader.turn_id)
    answer = await follower.answer()
    assert (answer.text, answer.turn.attempt) == ("from here", 2)
    turn = await pair.here.service.turn(ANNA, reader.session_id, reader.turn_id)
    outcomes = [attempt.outcome.value for attempt in turn.attempts]
    assert outcomes == ["abandoned", "completed"]
    assert pair.here.notices[:2] == ["taken over", "completed"]
    assert await texts(pair.here, reader) == ["hello", "from here"]
    await pair.close()


async def test_touch_is_enough() -> None:
    """G7: where nobody sweeps, whoever follows the turn has it taken over."""
    pair = Pair(
        ScriptedAnswer((HANG,)),
        policy=ChatPolicy(pulse_seconds=0.02, sweep_seconds=60, idle_sweep_seconds=None),
    )
    reader = await pair.there.service.stream(ANNA, "hello")
    await until_running(pair.llm)
    pair.kill()
    follower = await pair.here.service.follow(ANNA, reader.session_id, reader.turn_id)
    async with asyncio.timeout(5):
        assert (await follower.answer()).text == "from here"
    await pair.close()


async def test_next_question_finds_the_dead_turn() -> None:
    """G3, G7: a send that meets a dead turn has it taken over, and waits for its turn like any."""
    pair = Pair(
        ScriptedAnswer((HANG,)), policy=ChatPolicy(pulse_seconds=0.02, idle_sweep_seconds=None)
    )
    reader = await pair.there.service.stream(ANNA, "hello")
    await until_running(pair.llm)
    pair.kill()
    with pytest.raises(SessionBusy) as busy:
        await pair.here.service.send(ANNA, "next", session_id=reader.session_id)
    assert busy.value.turn_id == reader.turn_id
    follower = await pair.here.service.follow(ANNA, reader.session_id, reader.turn_id)
    assert (await follower.answer()).text == "from here"
    answer = await pair.here.service.send(ANNA, "next", session_id=reader.session_id)
    assert answer.text == "from here"
    await pair.close()


async def test_no_attempt_left() -> None:
    """G7: with no attempt left the turn fails at once, its part kept; the next send is admitted."""
    pair = Pair(
        ScriptedAnswer(("half", HANG)), policy=ChatPolicy(pulse_seconds=0.02, max_attempts=1)
    )
    reader = await pair.there.service.stream(ANNA, "hello", idempotency_key=KEY)
    await until_running(pair.llm)
    await asyncio.sleep(0.05)
    pair.kill()
    answer = await pair.here.service.send(ANNA, "next", session_id=reader.session_id)
    assert answer.text == "from here"
    turn = await pair.here.service.turn(ANNA, reader.session_id, reader.turn_id)
    assert (turn.status, turn.error_code) == (TurnStatus.FAILED, "turn_interrupted")
    assert await texts(pair.here, reader) == ["hello", "half", "next", "from here"]
    with pytest.raises(TurnFailed) as failure:
        await pair.here.service.send(ANNA, "hello", idempotency_key=KEY)
    assert (failure.value.code, failure.value.repeated) == ("turn_interrupted", True)
    await pair.close()


async def test_zombie_changes_nothing() -> None:
    """G7: who lost its turn while it slept closes the call, writes nothing; its readers go on."""
    pair = Pair(ScriptedAnswer(("half", HANG)))
    reader = await pair.there.service.stream(ANNA, "hello")
    await until_running(pair.llm)
    await asyncio.sleep(0.05)
    pair.now += LEASE + 1  # It slept for so long; then its heart beats on.
    pulse = pair.there.service._runner._pulse
    sleeping, pulse._turns = pulse._turns, set()
    follower = await pair.here.service.follow(ANNA, reader.session_id, reader.turn_id)
    assert (await follower.answer()).text == "from here"
    for turn in sleeping:
        turn.renewed -= LEASE
        pulse.add(turn)
    events = [event async for event in reader]
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["TurnOpened", "ReplyDelta", "ReplyRestarted", "ReplyDelta", "TurnEnded"]
    assert isinstance(events[3], ReplyDelta)
    assert events[3].text == "from here"
    assert pair.llm.running == 0
    assert pair.there.notices == ["admitted", "lost"]
    assert await texts(pair.here, reader) == ["hello", "from here"]
    await pair.close()


async def test_reader_who_knows_more_than_the_zombie() -> None:
    """G6: who has read a newer attempt elsewhere is served by the process that slept through it."""
    pair = Pair(ScriptedAnswer(("half", HANG)))
    pair.here.llm.script(ScriptedAnswer(("from", 0.2, " here")))  # type: ignore[attr-defined]
    reader = await pair.there.service.stream(ANNA, "hello")
    await until_running(pair.llm)
    pulse = pair.there.service._runner._pulse
    pair.kill()
    place = (ANNA, reader.session_id, reader.turn_id)
    follower = await pair.here.service.follow(*place)
    while follower.position != ReplyPosition(2, 4):
        await follower.next_event()
    woken = await pair.there.service.follow(*place, after=follower.position)
    events = [event async for event in woken]
    text = "".join(event.text for event in events if isinstance(event, ReplyDelta))
    assert text == " here"
    assert pair.llm.running == 0
    assert pulse._turns == set()
    own = [type(event).__name__ async for event in reader]
    assert own.count("ReplyRestarted") == 1
    await pair.close()


async def test_watched_turn_is_known_to_be_newer() -> None:
    """G6: what the store has just said of a turn counts more than what was last seen of it."""
    pair = Pair()
    watcher = pair.there.service._runner.watcher
    place = (ANNA, SessionId(UUID(int=1)), TurnId(UUID(int=2)))
    assert watcher.watch(*place, attempt=1).attempt == 1
    assert watcher.watch(*place, attempt=3).attempt == 3
    assert watcher.watch(*place, attempt=2).attempt == 3
    await pair.close()


async def test_start_survives_a_store_that_is_away() -> None:
    """A process that starts while the store restarts looks for dead turns as soon as it answers."""
    repository = AwayRepository()
    policy = ChatPolicy(sweep_seconds=0.02, idle_sweep_seconds=None)
    made = bench(repository=repository, policy=policy)
    await made.service.start()
    while repository.looks < 3:
        await asyncio.sleep(0.01)
    await made.service.close(timeout_seconds=0)


class AwayRepository(InMemoryChatRepository):
    """Does not answer the first two times somebody looks for dead turns."""

    looks = 0

    async def abandoned(
        self, *, limit: int, session: tuple[OwnerId, SessionId] | None = None
    ) -> tuple[AbandonedTurn, ...]:
        self.looks += 1
        if self.looks < 3:
            raise StorageUnavailable
        return await super().abandoned(limit=limit, session=session)


async def test_own_late_heartbeat_is_no_death() -> None:
    """G7: a process that was stalled does not take its own running turns over."""
    pair = Pair(ScriptedAnswer(("slow", 0.2, " but alive")))
    reader = await pair.there.service.stream(ANNA, "hello")
    await until_running(pair.llm)
    pair.now += LEASE + 1
    assert await pair.there.service._runner.sweeper.sweep() == 0
    assert (await reader.answer()).text == "slow but alive"
    await pair.close()


async def test_pulse_keeps_a_long_turn_alive() -> None:
    """G7: a turn that takes longer than its lease is not taken for dead while its process lives."""
    llm = ScriptedLLM([ScriptedAnswer((0.5, "long"))])
    made = bench(llm, policy=ChatPolicy(lease_seconds=0.2, pulse_seconds=0.02))
    waiting = asyncio.create_task(made.service.send(ANNA, "hello"))
    await asyncio.sleep(0.4)
    assert await made.repository.abandoned(limit=10) == ()
    assert (await waiting).text == "long"


async def test_closing_hands_over() -> None:
    """G7: what cannot finish is given away at once, text and all; its readers are told to leave."""
    pair = Pair(ScriptedAnswer(("half", HANG)))
    reader = await pair.there.service.stream(ANNA, "hello")
    await until_running(pair.llm)
    await pair.there.service.close(timeout_seconds=0.01)
    with pytest.raises(ServiceStopping) as stopping:
        await reader.answer()
    assert stopping.value.turn_id == reader.turn_id
    assert pair.llm.running == 0
    assert pair.there.notices == ["admitted", "handed over"]
    [found] = await pair.there.repository.abandoned(limit=10)
    assert (found.ref.turn_id, found.may_go_on) == (reader.turn_id, True)
    follower = await pair.here.service.follow(ANNA, reader.session_id, reader.turn_id)
    assert isinstance([event async for event in follower][-1], TurnEnded)
    assert await texts(pair.here, reader) == ["hello", "from here"]
    await pair.close()


async def test_closing_tells_those_who_wait_for_another_process() -> None:
    """A repeat that waits for another process's turn is told when its own process closes."""
    pair = Pair(ScriptedAnswer((HANG,)))
    first = asyncio.create_task(pair.there.service.send(ANNA, "hello", idempotency_key=KEY))
    await until_running(pair.llm)
    repeat = asyncio.create_task(pair.here.service.send(ANNA, "hello", idempotency_key=KEY))
    await asyncio.sleep(0.01)
    await pair.here.service.close(timeout_seconds=1)
    with pytest.raises(ServiceStopping):
        await repeat
    await pair.there.service.close(timeout_seconds=0)
    with pytest.raises(ServiceStopping):
        await first


async def test_turn_that_comes_home() -> None:
    """G7: a turn lost while we slept, whose new holder died too, is ours again: one call goes on.

    The old attempt still runs here when the new one begins: it adds nothing to what is read.
    """
    llm = ScriptedLLM([ScriptedAnswer(("old", 0.1, " tail", HANG)), ScriptedAnswer((0.2, "new"))])
    policy = ChatPolicy(pulse_seconds=0.02, idle_sweep_seconds=None, max_attempts=3)
    pair = Pair(policy=policy)
    made = bench(llm, repository=pair.there.repository, policy=policy, first_id=2000)
    reader = await made.service.stream(ANNA, "hello")
    await until_running(llm)
    await asyncio.sleep(0.05)
    [own] = made.service._runner._pulse._turns
    pair.now += LEASE + 1
    await pair.here.repository.keep_template(made.service._runner._template.value)
    await pair.here.repository.take_over(
        own.ref, template="t", stream=True, lease_seconds=1, now=made.service._clock.now()
    )
    pair.now += 2
    own.renewed += 60  # Its own heartbeat is not due yet, so that it has not noticed.
    assert await made.service._runner.sweeper.sweep() == 1
    events = [event async for event in reader]
    text = "".join(event.text for event in events if isinstance(event, ReplyDelta))
    assert text == "new"
    assert llm.running == 0
    turn = await made.service.turn(ANNA, reader.session_id, reader.turn_id)
    outcomes = [attempt.outcome.value for attempt in turn.attempts]
    assert outcomes == ["abandoned", "abandoned", "completed"]
    assert await texts(made, reader) == ["hello", "new"]
    await made.service.close(timeout_seconds=0)
    await pair.close()
