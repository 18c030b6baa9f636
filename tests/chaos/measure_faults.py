"""Aimed measurements of faults that last, at production's settings, each with what must hold.

May import: standard library, chatcore, tests.chaos, tests.integration.

Every one ends with the whole checker over all that was seen, sent and stored.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chatcore import ChatPolicy
from tests.chaos.findings import Findings, spread
from tests.chaos.history import read_lines
from tests.chaos.provider import Call
from tests.chaos.reading import Reading
from tests.chaos.rig import Rig, Slot
from tests.chaos.visitor import Outcome, Talk, Visitor
from tests.chaos.workload import crowd
from tests.integration.pooler import Pooler, pooling

VICTIMS = 10
LEASE_SECONDS = ChatPolicy().lease_seconds

_TURNS = 3
_PACE_SECONDS = 0.25
# Five seconds for a statement and half of one to take it back, and two for a busy machine.
_REFUSED_SECONDS = 7.5
_REFUSED = "503 storage_unavailable"
_LAST_PROBE_SECONDS = 0.5
_REPEATS_AT_ONCE = 20
_READ_SECONDS = 90.0
_MOVED_SECONDS = 20.0
_LATE_SECONDS = 7.0


@dataclass
class Watched:
    """A turn that a fault meets, with a reader here, where it runs, and one elsewhere.

    Attributes:
        here: What the reader saw in the end who reads where it runs.
        elsewhere: The same of the one at the replica that is spared.
        struck_at: When the fault was about to come.
        moved_at: When the latter had the first text of a second attempt.
        ended_at: When the latter saw the end.
        attempts: How each attempt ended.
    """

    visitor: Visitor
    talk: Talk
    outcome: Outcome
    slot: Slot
    here: Outcome | None = None
    elsewhere: Outcome | None = None
    struck_at: float = 0.0
    moved_at: float | None = None
    ended_at: float = 0.0
    attempts: list[str] = field(default_factory=list)


class _Model:
    """When the model had said all it said for a turn."""

    def __init__(self, rig: Rig) -> None:
        self.ended: dict[tuple[str, str], float] = {}
        rig.provider.listeners.append(self._note)

    def _note(self, call: Call) -> None:
        self.ended[call.turn, call.attempt] = time.monotonic()


async def begin(rig: Rig, slots: Sequence[Slot], seconds: Sequence[float]) -> list[Watched]:
    """Have each replica answer several questions, and return when all of them are under way."""

    async def one(slot: Slot, lasts: float) -> Watched:
        visitor, talk = rig.visitor(lambda: rig.slots[0].address), Talk()
        words = round(lasts / _PACE_SECONDS)
        question = visitor.question(words=words, chunk=1, pace=round(1000 * _PACE_SECONDS))
        outcome = await visitor.ask(talk, question, leave_at=20, at=slot.address)
        assert outcome.turn is not None, outcome
        return Watched(visitor, talk, outcome, slot)

    return list(await asyncio.gather(*(one(slot, lasts) for slot in slots for lasts in seconds)))


async def watch(rig: Rig, turn: Watched, *, moves: bool, within: float) -> None:
    """Read a turn to its end, from where it runs and from elsewhere."""
    give_up = time.monotonic() + within
    visitor, talk, outcome = turn.visitor, turn.talk, turn.outcome
    there = rig.slots[0].address

    async def elsewhere() -> None:
        came = outcome
        while moves and turn.moved_at is None and time.monotonic() < give_up:
            after = came.reading.position if came.reading else None
            found = await visitor.follow(
                talk, outcome.turn or "", after=after, at=there, until_attempt=2
            )
            if found is not None:
                turn.moved_at = _first_of_second(found)
                came = Outcome("cut", turn=outcome.turn, reading=found)
                if not found.is_cut:
                    break
            await asyncio.sleep(0.02)
        turn.elsewhere = await visitor.see_through(talk, came, give_up=give_up, at=there)
        turn.ended_at = time.monotonic()

    async def here() -> None:
        turn.here = await visitor.see_through(talk, outcome, give_up=give_up, at=turn.slot.address)

    await asyncio.gather(elsewhere(), here())


async def look_up(rig: Rig, turns: Sequence[Watched]) -> None:
    """Note how each attempt of each turn ended, one turn after the other."""
    for turn in turns:
        seen = await turn.visitor.look(turn.talk, turn.outcome.turn or "", at=rig.slots[0].address)
        turn.attempts = [attempt["outcome"] for attempt in seen["attempts"]] if seen else []


def _first_of_second(reading: Reading) -> float | None:
    return next((moment for attempt, _, moment in reading.timeline if attempt == 2), None)


@dataclass
class _Probes:
    """Questions that were sent meanwhile: what they were told, and how soon.

    Attributes:
        refused: Those that were told no, to be sent again: visitor, question and key.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    told_at: list[tuple[float, str]] = field(default_factory=list)
    refused: list[tuple[Visitor, str, str]] = field(default_factory=list)

    async def ask(self, rig: Rig, slot: Slot) -> None:
        """Ask once."""
        visitor = rig.visitor()
        question, key = visitor.question(words=2), visitor.key()
        began = time.monotonic()
        outcome = await visitor.ask(Talk(), question, key=key, at=slot.address)
        ended = time.monotonic()
        self.took.append(ended - began)
        kind = f"{outcome.status} {outcome.code}" if outcome.code else outcome.kind
        self.kinds[kind] += 1
        self.told_at.append((ended, kind))
        if outcome.kind != "answer":
            self.refused.append((visitor, question, key))

    async def ask_until(self, rig: Rig, slot: Slot, give_up: float) -> None:
        """Ask again and again."""
        while time.monotonic() < give_up:
            await self.ask(rig, slot)
            await asyncio.sleep(0.5)

    async def repeat(self) -> tuple[int, int]:
        """Send again what was refused, with its key.

        Returns:
            How many are answered now, and how many had been carried out although refused: the
            first attempt at those was nobody's.
        """
        again, self.refused = self.refused, []

        room = asyncio.Semaphore(_REPEATS_AT_ONCE)

        async def one(visitor: Visitor, question: str, key: str) -> tuple[bool, bool]:
            talk = Talk()
            async with room:
                outcome = await visitor.ask_until_known(
                    talk, question, key=key, patience_seconds=45
                )
                seen = await visitor.look(talk, outcome.turn or "")
            return outcome.kind == "answer", seen is not None and len(seen["attempts"]) > 1

        told = await asyncio.gather(*(one(*refused) for refused in again))
        return sum(answered for answered, _ in told), sum(late for _, late in told)


@dataclass
class _Meanwhile:
    """What was asked while a hole lasted, elsewhere at that time, and right afterwards."""

    inside: _Probes = field(default_factory=_Probes)
    outside: _Probes = field(default_factory=_Probes)
    afterwards: _Probes = field(default_factory=_Probes)
    refused: int = 0
    answered: int = 0
    carried_out: int = 0


async def holes(rig: Rig, *, seconds: float, rounds: int) -> str:
    """The database is out of reach for some replicas, and nobody tells them: bytes get lost."""
    findings, model, meanwhile = Findings(), _Model(rig), _Meanwhile()
    turns: list[Watched] = []
    for _ in range(rounds):
        turns += await _one_hole(rig, findings, meanwhile, seconds)
    findings.told.append(f"{rounds * len(rig.slots[1:])} holes, {len(turns)} turns")
    await _require_ends(rig, findings, turns, moves=seconds > LEASE_SECONDS)
    _require_times(findings, model, turns, seconds=seconds, late=_LATE_SECONDS)
    _require_probes(findings, meanwhile)
    return await findings.judge(rig)


async def _one_hole(
    rig: Rig, findings: Findings, meanwhile: _Meanwhile, seconds: float
) -> list[Watched]:
    """Hide the database from all replicas but the first, and return the turns that met it."""
    victims, inside, outside = rig.slots[1:], meanwhile.inside, meanwhile.outside
    await asyncio.gather(*(outside.ask(rig, slot) for slot in rig.slots))
    # One answer ends in the hole, and its successor's after it; one right after it, one later.
    turns = await begin(rig, victims, (max(4.0, seconds - 10), seconds + 4, seconds + 12))
    watching = watch_all(rig, turns, seconds)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await asyncio.gather(
        *(slot.proxy.black_hole(seconds, silent=True) for slot in victims),
        *(inside.ask_until(rig, slot, began + seconds - _LAST_PROBE_SECONDS) for slot in victims),
        outside.ask_until(rig, rig.slots[0], began + seconds),
    )
    # Asked in it and answered, or refused as if by somebody else: neither can be.
    is_right = (
        kind == _REFUSED or (kind == "answer" and ended >= began + seconds)
        for ended, kind in inside.told_at
        if ended >= began
    )
    findings.require(all(is_right), "another answer than 503, or one too early")
    await asyncio.gather(*(meanwhile.afterwards.ask(rig, slot) for slot in victims))
    meanwhile.refused += len(inside.refused)
    answered, carried_out = await inside.repeat()
    meanwhile.answered += answered
    meanwhile.carried_out += carried_out
    await watching
    return turns


def watch_all(rig: Rig, turns: Sequence[Watched], seconds: float) -> asyncio.Future[list[None]]:
    """Begin to read turns that are about to meet a fault of so many seconds."""
    now = time.monotonic()
    for turn in turns:
        turn.struck_at = now
    moves = seconds > LEASE_SECONDS
    within = 2 * seconds + _READ_SECONDS
    return asyncio.gather(*(watch(rig, turn, moves=moves, within=within) for turn in turns))


def _require_times(
    findings: Findings, model: _Model, turns: Sequence[Watched], *, seconds: float, late: float
) -> None:
    """A turn moves soon after its lease, or ends only as much later as the fault lasts."""
    if seconds > LEASE_SECONDS:
        moved = [t.moved_at - t.struck_at for t in turns if t.moved_at is not None]
        findings.told.append(f"first new text elsewhere {spread(moved)}")
        findings.require(len(moved) == len(turns), "a turn did not move")
        findings.require(max(moved, default=0) < _MOVED_SECONDS, "a turn moved late")
        return
    later = [t.ended_at - model.ended[t.outcome.turn or "", "1"] for t in turns]
    findings.told.append(f"end seen elsewhere later than the model's by {spread(later)}")
    findings.require(max(later) < seconds + late, "an end came late")


def _require_probes(findings: Findings, meanwhile: _Meanwhile) -> None:
    inside, outside = meanwhile.inside, meanwhile.outside
    afterwards, refused = meanwhile.afterwards, meanwhile.refused
    findings.told += [
        f"questions meanwhile: {dict(inside.kinds)} after {spread(inside.took)}",
        f"elsewhere: {dict(outside.kinds)} after {spread(outside.took)}",
        f"right afterwards: {dict(afterwards.kinds)} after {spread(afterwards.took)}",
        f"{refused} refused and sent again with their keys: {meanwhile.answered} answered",
        f"{meanwhile.carried_out} of them had been carried out before",
    ]
    findings.require(refused == meanwhile.answered, "a repeat was not answered")
    findings.require(max(inside.took, default=0) < _REFUSED_SECONDS, "a 503 came late")
    findings.require(set(outside.kinds) == {"answer"}, "the spared replica refused")
    findings.require(set(afterwards.kinds) == {"answer"}, "the first question was refused")


async def _require_ends(
    rig: Rig, findings: Findings, turns: Sequence[Watched], *, moves: bool
) -> None:
    """Every turn is completed, by the attempt that was to do it, and was read so everywhere."""
    await look_up(rig, turns)
    expected = ["abandoned", "completed"] if moves else ["completed"]
    ends = Counter(tuple(turn.attempts) for turn in turns)
    findings.told.append(f"attempts {[f'{n} x {list(a)}' for a, n in ends.items()]}")
    findings.require(set(ends) == {tuple(expected)}, "a turn ended otherwise")
    for which in ("here", "elsewhere"):
        outcomes = [getattr(turn, which) for turn in turns]
        whole = sum(outcome is not None and outcome.kind == "answer" for outcome in outcomes)
        findings.told.append(f"{whole} read to the end {which}")
        findings.require(whole == len(turns), f"a reader {which} did not see the end")


async def stalls(rig: Rig, *, seconds: float, rounds: int) -> str:
    """The event loop of some replicas stands still."""
    findings, model, afterwards = Findings(), _Model(rig), _Probes()
    victims = rig.slots[1:]
    turns: list[Watched] = []
    for _ in range(rounds):
        for slot in victims:
            await rig.end(slot)
        # Each stands still as soon as all its answers are under way.
        block = {"point": "llm.mid", "nth": _TURNS, "action": "block", "seconds": seconds}
        await asyncio.gather(*(rig.start(slot, block) for slot in victims))
        these = await begin(rig, victims, (max(4.0, seconds / 3), seconds + 4, seconds + 12))
        await watch_all(rig, these, seconds)
        await asyncio.gather(*(afterwards.ask(rig, slot) for slot in victims))
        turns += these
    findings.told.append(f"{rounds * len(victims)} stalls, {len(turns)} turns")
    await _require_ends(rig, findings, turns, moves=seconds > LEASE_SECONDS)
    _require_times(findings, model, turns, seconds=seconds, late=1.0)
    findings.require(set(afterwards.kinds) == {"answer"}, "who woke up refused")
    return await findings.judge(rig)


async def pooler_faults(rig: Rig, *, each: int = 25, clients: int = 24) -> str:
    """The pooler between all replicas and PostgreSQL is killed and started, or told to wait."""
    findings, first = Findings(), _Probes()
    away: list[float] = []
    with pooling(rig.postgres.url(rig.database), pool_size=6) as pooler:
        for slot in rig.slots:
            slot.proxy.lead_to(pooler.socket_path)
        is_over = asyncio.Event()
        asking = asyncio.ensure_future(crowd(rig, clients=clients, is_over=is_over))
        try:
            for number in range(2 * each):
                await asyncio.sleep(rig.rng.uniform(0.2, 1.0))
                began = time.monotonic()
                # Every eighth of either kind lasts longer than a statement is waited for.
                lasts = rig.rng.uniform(5.5, 7.0) if number % 16 < 2 else rig.rng.uniform(0.0, 1.5)
                await (_kill if number % 2 else _pause)(pooler, lasts)
                away.append(time.monotonic() - began)
                await asyncio.gather(*(first.ask(rig, slot) for slot in rig.slots))
        finally:
            is_over.set()
            deeds = await asking
        findings.require(await rig.settle(within=60), "turns still run")
        for slot in rig.slots:
            slot.proxy.lead_to(rig.postgres.socket_path)
    findings.told += [
        f"{each} kills and {each} pauses of {spread(away)}",
        f"{rig.history.counts['accepted']} acceptances, {sum(deeds.values())} deeds of clients",
        f"first question to each afterwards: {dict(first.kinds)} after {spread(first.took)}",
    ]
    findings.require(set(first.kinds) == {"answer"}, "a first question was refused")
    alive, orphans = _taken_over(rig)
    findings.told.append(
        f"taken over: {alive} turns of processes that lived, {orphans} whose admission was answered"
        " by nobody"
    )
    findings.require(alive == 0, "a turn was taken over though its process lived")
    return await findings.judge(rig)


def _taken_over(rig: Rig) -> tuple[int, int]:
    """Count turns that were taken over: from who held them, and from nobody.

    A line that breaks between a commit and its answer leaves a turn that no process knows of.
    """
    diary = list(read_lines(rig.folder / "replicas.jsonl"))
    held = {line["turn"] for line in diary if line["do"] == "admit" and not line["repeated"]}
    taken = {line["turn"] for line in diary if line["do"] == "take_over"}
    return len(taken & held), len(taken - held)


async def _kill(pooler: Pooler, lasts: float) -> None:
    await asyncio.to_thread(pooler.kill)
    await asyncio.sleep(lasts)
    await asyncio.to_thread(pooler.start)


async def _pause(pooler: Pooler, lasts: float) -> None:
    await pooler.pause()
    await asyncio.sleep(lasts)
    await pooler.resume()
