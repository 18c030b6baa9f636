"""The heartbeat: what it writes down, when, and what it makes of the answers.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from adapters.memory import InMemoryChatRepository, ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    AbandonedTurn,
    Beat,
    ChatPolicy,
    JournalEntry,
    JournalPlace,
    LLMDelta,
    LLMEnded,
    LLMEvent,
    LLMRateLimited,
    LLMStarted,
    OwnerId,
    PreparedRequest,
    SessionId,
    StorageUnavailable,
    TurnId,
    TurnReader,
)
from tests.builders import ANNA, Bench, bench, until_running

QUICK = ChatPolicy(pulse_seconds=0.02)


class DoubtfulRepository(InMemoryChatRepository):
    """Stores beats, and loses the answers to as many of them as it is told to."""

    doubts = 0

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Beat, float]] = []

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        await asyncio.sleep(0.005)
        self.seen += [(beat, lease_seconds) for beat in beats]
        held = await super().beat(beats, lease_seconds=lease_seconds)
        if self.doubts:
            self.doubts -= 1
            raise StorageUnavailable
        return held


async def journal_of(made: Bench, reader: TurnReader) -> str:
    """Return what the journal holds."""
    place = JournalPlace(
        owner_id=ANNA,
        session_id=reader.session_id,
        turn_id=reader.turn_id,
        attempt=1,
        offset=0,
    )
    [entry] = await made.repository.read([place])
    return entry.text


async def test_piece_in_doubt_is_sent_again_as_it_was() -> None:
    """G6: text whose storing got no answer is in the journal once, and what follows after it."""
    repository = DoubtfulRepository()
    repository.doubts = 3
    steps: list[str | float] = []
    for letter in "abcdefgh":
        steps += [letter, 0.03]
    made = bench(ScriptedLLM([ScriptedAnswer((*steps, HANG))]), repository=repository, policy=QUICK)
    reader = await made.service.stream(ANNA, "hello")
    await asyncio.sleep(0.5)
    assert await journal_of(made, reader) == "abcdefgh"
    first = [beat for beat, _ in repository.seen[:4]]
    assert len({(beat.start, beat.text) for beat in first}) == 1
    await made.service.close(timeout_seconds=0)


async def test_handing_over_writes_down_everything() -> None:
    """G7: with a piece in doubt, that one goes first; all of the text is there when it is given."""
    repository = DoubtfulRepository()
    answer = ScriptedAnswer(("in doubt", 0.1, ", and after it", HANG))
    made = bench(ScriptedLLM([answer]), repository=repository, policy=QUICK)
    repository.doubts = 1_000_000
    reader = await made.service.stream(ANNA, "hello")
    await asyncio.sleep(0.2)
    repository.doubts = 0
    await made.service.close(timeout_seconds=0)
    assert await journal_of(made, reader) == "in doubt, and after it"
    assert repository.seen[-1][1] == 0.0
    assert len(await repository.abandoned(limit=5)) == 1


class SlowRepository(InMemoryChatRepository):
    """Takes its time to answer a beat, long enough for the turn to go on to its next attempt."""

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        await asyncio.sleep(0.2)
        held = await super().beat(beats, lease_seconds=lease_seconds)
        await asyncio.sleep(0.2)
        return held


@pytest.mark.parametrize("pause", [0.05, 0.3])
async def test_beat_that_crosses_a_new_attempt_loses_nothing(pause: float) -> None:
    """G7: an answer about the attempt before is not taken for the loss of the turn."""
    failing = ScriptedAnswer(("wrong", pause, LLMRateLimited("slower", retry_after_seconds=0.01)))
    llm = ScriptedLLM([failing, ScriptedAnswer(("right", 1.2))])
    made = bench(llm, repository=SlowRepository(), policy=QUICK)
    reader = await made.service.stream(ANNA, "hello")
    assert (await reader.answer()).text == "right"
    assert made.notices == ["admitted", "retrying", "completed"]


async def test_nobody_beats_after_handing_over() -> None:
    """G7: a heartbeat that waits its turn does not take back what is given away."""
    repository = DoubtfulRepository()
    made = bench(ScriptedLLM([ScriptedAnswer(("half", HANG))]), repository=repository, policy=QUICK)
    await made.service.stream(ANNA, "hello")
    assert isinstance(made.llm, ScriptedLLM)
    await until_running(made.llm)
    pulse = made.service._runner._pulse
    [turn] = pulse._turns
    turn.renewed -= 60
    beating = asyncio.create_task(pulse.release([turn]))
    later = asyncio.create_task(pulse._write(pulse._turns, 15.0, only_news=True))
    await asyncio.sleep(0)
    turn.live.append(", and a late word")
    await asyncio.gather(beating, later)
    assert [lease for _, lease in repository.seen][-1] == 0.0
    await made.service.close(timeout_seconds=0)


class PickyRepository(InMemoryChatRepository):
    """Cannot take one particular text, and says so in its own way."""

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        if any("poison" in beat.text for beat in beats):
            raise ZeroDivisionError
        return await super().beat(beats, lease_seconds=lease_seconds)


async def test_one_bad_turn_does_not_stop_the_heart_of_the_others() -> None:
    """G7: a turn whose news the store cannot take is let go; the others stay alive."""
    answers = {
        "good": ScriptedAnswer(("long", 0.4, " and well")),
        "bad": ScriptedAnswer(("poison", HANG)),
    }
    llm = ScriptedLLM(lambda prompt: answers[prompt.messages[-1].content])
    policy = ChatPolicy(pulse_seconds=0.02, lease_seconds=0.3, sweep_seconds=60)
    made = bench(llm, repository=PickyRepository(), policy=policy)
    good = await made.service.stream(ANNA, "good")
    await made.service.stream(ANNA, "bad")
    await asyncio.sleep(0.2)
    assert made.notices == ["admitted", "admitted", "broken", "lost"]
    assert await made.repository.abandoned(limit=5) == ()
    assert (await good.answer()).text == "long and well"
    await made.service.close(timeout_seconds=0)


class StumblingRepository(InMemoryChatRepository):
    """Has a bug that shows the first time a turn is followed, and the first time one is sought."""

    reads = sweeps = 0

    async def read(self, places: Sequence[JournalPlace]) -> tuple[JournalEntry, ...]:
        self.reads += 1
        if self.reads == 1:
            raise ZeroDivisionError
        return await super().read(places)

    async def abandoned(
        self, *, limit: int, session: tuple[OwnerId, SessionId] | None = None
    ) -> tuple[AbandonedTurn, ...]:
        self.sweeps += 1
        if self.sweeps == 2:
            raise ZeroDivisionError
        return await super().abandoned(limit=limit, session=session)


async def test_loops_survive_a_bug() -> None:
    """G6, G7: whoever follows and whoever sweeps goes on after a fault, which is reported."""
    repository = StumblingRepository()
    policy = ChatPolicy(pulse_seconds=0.02, sweep_seconds=0.02, idle_sweep_seconds=0.02)
    there = bench(
        ScriptedLLM([ScriptedAnswer(("slow", 0.2, "ly"))]), repository=repository, policy=policy
    )
    here = bench(ScriptedLLM([]), repository=repository, policy=policy, first_id=1000)
    await here.service.start()
    reader = await there.service.stream(ANNA, "hello")
    follower = await here.service.follow(ANNA, reader.session_id, reader.turn_id)
    assert (await follower.answer()).text == "slowly"
    while repository.sweeps < 5:
        await asyncio.sleep(0.01)
    errors = here.observer.errors + there.observer.errors
    assert [type(error) for error in errors] == [ZeroDivisionError, ZeroDivisionError]
    for made in (here, there):
        await made.service.close(timeout_seconds=0)


class SloppyLLM(ScriptedLLM):
    """Breaks the port's promise: its text cannot be stored."""

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        yield LLMStarted("sloppy")
        yield LLMDelta("a\x00b\ud83d")
        yield LLMEnded("stop", "sloppy", None)


async def test_text_that_cannot_be_stored_is_repaired() -> None:
    """G14: an adapter that hands on what no store can take spoils nothing."""
    made = bench(SloppyLLM())
    answer = await (await made.service.stream(ANNA, "hello")).answer()
    assert answer.text == "a\ufffdb\ufffd"
