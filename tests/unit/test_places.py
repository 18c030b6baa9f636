"""How many turns run in one process, and what becomes of those that are too many.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio

import pytest

from adapters.memory import InMemoryChatRepository, ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    Admission,
    ChatPolicy,
    LLMError,
    LLMRejected,
    NewTurn,
    ServiceOverloaded,
    StorageUnavailable,
    TurnFailed,
    TurnReader,
    TurnStatus,
)
from tests.builders import ANNA, BEN, Bench, bench, until_running

KEY = "0123456789abcdef"
ONE = ChatPolicy(max_running_turns=1, pulse_seconds=0.02, sweep_seconds=0.02)
LATER_SECONDS = ONE.lease_seconds + 1
LONG_SECONDS = 5.0


class GatedRepository(InMemoryChatRepository):
    """Takes questions when it may, and says how many wait."""

    def __init__(self) -> None:
        super().__init__()
        self.may_admit = asyncio.Event()
        self.waiting = 0

    async def admit(self, new: NewTurn) -> Admission:
        self.waiting += 1
        await self.may_admit.wait()
        return await super().admit(new)


class AwayRepository(InMemoryChatRepository):
    """Takes no question while it is away."""

    is_away = True

    async def admit(self, new: NewTurn) -> Admission:
        if self.is_away:
            raise StorageUnavailable
        return await super().admit(new)


class Heirs:
    """A process that died with running turns, and one with few places, on one store."""

    def __init__(
        self,
        *answers: str | ScriptedAnswer,
        places: int = 1,
        attempts: int = 2,
        sweep_seconds: float = 0.02,
    ) -> None:
        self.now = 0.0
        self.repository = InMemoryChatRepository(monotonic=lambda: self.now)
        self.dead = bench(
            ScriptedLLM(lambda _: ScriptedAnswer((HANG,))),
            repository=self.repository,
            policy=ChatPolicy(max_attempts=attempts, pulse_seconds=LONG_SECONDS),
        )
        self.llm = ScriptedLLM(list(answers))
        self.here = bench(
            self.llm,
            repository=self.repository,
            policy=ChatPolicy(
                max_running_turns=places, pulse_seconds=0.02, sweep_seconds=sweep_seconds
            ),
            first_id=1000,
        )

    async def leave(self, count: int) -> list[TurnReader]:
        """Begin turns, and die."""
        readers = [await self.dead.service.stream(BEN, f"left {n}") for n in range(count)]
        self.dead.service._runner._pulse._turns.clear()
        return readers

    def let_leases_end(self) -> None:
        """Let time pass for all leases but those that are renewed afterwards."""
        self.now += LATER_SECONDS

    async def status(self, reader: TurnReader) -> TurnStatus:
        """Return how a turn stands."""
        return (await self.here.service.turn(BEN, reader.session_id, reader.turn_id)).status

    async def until_ended(self, readers: list[TurnReader], status: TurnStatus) -> None:
        """Wait until all of these turns have ended like this."""
        async with asyncio.timeout(LONG_SECONDS):
            while {await self.status(reader) for reader in readers} != {status}:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End both."""
        for made in (self.here, self.dead):
            await made.service.close(timeout_seconds=0)


async def no_session(made: Bench) -> bool:
    """Tell whether nothing at all is stored for Anna."""
    return (await made.service.sessions(ANNA)).items == ()


async def test_what_is_refused_is_nowhere() -> None:
    """G2: a refusal stores nothing; the key is unused, and does its work once there is room."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,)), "in time"])
    made = bench(llm, policy=ONE)
    running = await made.service.stream(BEN, "long")
    await until_running(llm)
    with pytest.raises(ServiceOverloaded) as refused:
        await made.service.send(ANNA, "one too many", idempotency_key=KEY)
    assert (refused.value.code, refused.value.retryable) == ("service_overloaded", True)
    assert await no_session(made)
    assert made.notices == ["admitted"]
    await made.service.stop(BEN, running.session_id, running.turn_id)
    answer = await until_admitted(made, "one too many", idempotency_key=KEY)
    assert answer == "in time"
    await made.service.close(timeout_seconds=1)


async def until_admitted(made: Bench, text: str, *, idempotency_key: str | None = None) -> str:
    """Ask until it is answered: the end is seen a moment before the place is free."""
    async with asyncio.timeout(LONG_SECONDS):
        while True:
            try:
                sent = made.service.send(ANNA, text, idempotency_key=idempotency_key)
                return (await sent).text
            except ServiceOverloaded:
                await asyncio.sleep(0.001)


async def test_admissions_in_flight_count() -> None:
    """Questions that the store has not answered yet have their places: all at once get no more."""
    repository = GatedRepository()
    policy = ChatPolicy(max_running_turns=3)
    made = bench(ScriptedLLM(lambda _: "answered"), repository=repository, policy=policy)
    asked = [asyncio.create_task(made.service.send(ANNA, f"question {n}")) for n in range(8)]
    async with asyncio.timeout(LONG_SECONDS):
        while sum(each.done() for each in asked) < 5 or repository.waiting < 3:
            await asyncio.sleep(0)
    repository.may_admit.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, ServiceOverloaded) for each in found) == 5
    assert repository.waiting == 3
    assert len((await made.service.sessions(ANNA)).items) == 3
    await made.service.close(timeout_seconds=1)


async def test_places_come_back_whatever_the_end() -> None:
    """A place is free again after an answer, a failure, a refusal by the store, and a repeat."""
    repository = AwayRepository()
    answers: list[str | LLMError] = ["done", LLMRejected(), "and on"]
    made = bench(ScriptedLLM(answers), repository=repository, policy=ONE)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await made.service.send(ANNA, "away")
        await until_all_free(made)
    repository.is_away = False
    for _ in range(3):
        assert (await made.service.send(ANNA, "asked", idempotency_key=KEY)).text == "done"
        await until_all_free(made)
    with pytest.raises(TurnFailed):
        await made.service.send(ANNA, "fails")
    await until_all_free(made)
    assert (await made.service.send(ANNA, "next")).text == "and on"
    await made.service.close(timeout_seconds=1)


async def until_all_free(made: Bench) -> None:
    """Wait until no place is taken."""
    places = made.service._runner.turns.places
    async with asyncio.timeout(LONG_SECONDS):
        while places._taken:
            await asyncio.sleep(0)
    assert places.is_any_free


async def test_no_limit() -> None:
    """Without a number as many run as come."""
    llm = ScriptedLLM(lambda _: ScriptedAnswer((HANG,)))
    made = bench(llm, policy=ChatPolicy(max_running_turns=None))
    for number in range(1500):
        await made.service.stream(ANNA, f"question {number}")
    assert made.service._runner.turns.places.is_any_free
    await made.service.close(timeout_seconds=0)


async def test_takes_over_what_there_is_room_for() -> None:
    """G7: of three abandoned turns a process with two places runs two; the third waits its turn."""
    heirs = Heirs(ScriptedAnswer((HANG,)), ScriptedAnswer((HANG,)), "at last", places=2)
    readers = await heirs.leave(3)
    heirs.let_leases_end()
    assert await heirs.here.service._runner.sweeper.sweep() == 2
    assert await heirs.here.service._runner.sweeper.sweep() == 0
    while heirs.llm.running < 2:
        await asyncio.sleep(0)
    one, _ = heirs.here.service._runner.turns._by_id.values()
    await heirs.here.service.stop(BEN, one.ref.session_id, one.ref.turn_id)
    async with asyncio.timeout(LONG_SECONDS):
        while TurnStatus.COMPLETED not in [await heirs.status(reader) for reader in readers]:
            await heirs.here.service._runner.sweeper.sweep()
            await asyncio.sleep(0.01)
    await heirs.close()


async def test_new_questions_do_not_starve_abandoned_turns() -> None:
    """G7: however many ask, the next places of a full process go to the turns that were left."""
    heirs = Heirs(*[ScriptedAnswer((0.02, "quick"))] * 10_000, places=2, sweep_seconds=0.2)
    readers = await heirs.leave(3)
    crowd = [asyncio.create_task(keep_asking(heirs.here)) for _ in range(20)]
    while heirs.here.service._runner.turns.places.is_any_free:
        await asyncio.sleep(0)
    heirs.let_leases_end()
    await heirs.until_ended(readers, TurnStatus.COMPLETED)
    for each in crowd:
        each.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    await heirs.close()


async def keep_asking(made: Bench) -> None:
    """Ask without end, at once again after an answer or a refusal."""
    while True:
        try:
            await made.service.send(ANNA, "me first")
        except ServiceOverloaded:
            await asyncio.sleep(0)


async def test_a_full_process_ends_what_cannot_go_on() -> None:
    """G7: turns without an attempt left need no place: they fail while all places are taken."""
    heirs = Heirs(ScriptedAnswer((HANG,)), attempts=1)
    readers = await heirs.leave(2)
    await heirs.here.service.stream(ANNA, "long")
    heirs.let_leases_end()
    await heirs.until_ended(readers, TurnStatus.FAILED)
    with pytest.raises(ServiceOverloaded):
        await heirs.here.service.send(ANNA, "one too many")
    await heirs.close()


async def test_nothing_is_kept_for_long() -> None:
    """Places that were kept are for everybody again once the abandoned turns are seen to."""
    heirs = Heirs(ScriptedAnswer((HANG,)), "for Anna")
    [left] = await heirs.leave(1)
    first = await heirs.here.service.stream(ANNA, "long")
    heirs.let_leases_end()
    places = heirs.here.service._runner.turns.places
    async with asyncio.timeout(LONG_SECONDS):
        while not places._kept:
            await asyncio.sleep(0.005)
    # Somebody else sees to it.
    await heirs.here.service.stop(BEN, left.session_id, left.turn_id)
    await heirs.here.service.stop(ANNA, first.session_id, first.turn_id)
    assert await until_admitted(heirs.here, "next") == "for Anna"
    await heirs.close()


async def test_lost_race_for_a_turn_costs_no_place() -> None:
    """A turn that another process was quicker to take leaves the place free."""
    heirs = Heirs()
    [left] = await heirs.leave(1)
    heirs.let_leases_end()
    found = await heirs.repository.abandoned(limit=1)
    await heirs.here.service.stop(BEN, left.session_id, left.turn_id)
    sweeper = heirs.here.service._runner.sweeper
    assert not await sweeper._see_to(found[0].ref, may_go_on=True)
    assert not heirs.here.service._runner.turns.places._taken
    await heirs.close()


@pytest.mark.parametrize("most", [0, -1])
def test_a_limit_below_one_is_none(most: int) -> None:
    """A process that may run nothing is a mistake; no limit is None."""
    with pytest.raises(ValueError, match="max_running_turns"):
        ChatPolicy(max_running_turns=most)
