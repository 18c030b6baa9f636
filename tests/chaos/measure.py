"""Aimed measurements at production's own settings: a lease of 15 seconds, a pulse of 250 ms.

May import: standard library, chatcore, tests.chaos.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from chatcore import ChatPolicy
from tests.chaos.findings import spread
from tests.chaos.measure_faults import VICTIMS, holes, pooler_faults, stalls
from tests.chaos.measure_readers import slow_readers, slow_readers_of_a_stored_reply
from tests.chaos.provider import Call, word
from tests.chaos.reading import Reading
from tests.chaos.rig import POLICY, Rig
from tests.chaos.tiers import Ground, ground
from tests.chaos.visitor import Outcome, Talk, Visitor

REAL: dict[str, Any] = {name: getattr(ChatPolicy(), name) for name in POLICY}
_IDLE_SECONDS = 60.0


async def one_key(rig: Rig) -> str:
    """One key a hundred times in parallel, over two replicas, two hundred rounds."""
    visitor, talk = rig.visitor(), Talk()
    await visitor.ask(talk, visitor.question())
    calls, posts, turns, kinds = rig.provider.calls, 0, set(), set()
    for _ in range(200):
        key, question = visitor.key(), visitor.question(words=12, pace=5)
        outcomes = await asyncio.gather(
            *(
                visitor.ask(talk, question, key=key, stream=n % 4 == 0, at=rig.slots[n % 2].address)
                for n in range(100)
            )
        )
        posts += len(outcomes)
        turns |= {outcome.turn for outcome in outcomes}
        kinds |= {outcome.kind for outcome in outcomes}
    asked = rig.provider.calls - calls
    return (
        f"{posts} posts, {len(turns)} turns, {asked} calls of the model, answers: {sorted(kinds)}"
    )


async def resumes(rig: Rig, *, batches: int = 25, turns: int = 8, readers: int = 50) -> str:
    """Readers come back from anywhere on another replica than the one that writes."""
    wrong, count = 0, 0
    delays: list[float] = []

    async def one_turn() -> None:
        nonlocal wrong, count
        visitor, talk = rig.visitor(), Talk()
        question = visitor.question(words=150, chunk=1, pace=20)
        writing = asyncio.ensure_future(visitor.ask(talk, question, at=rig.slots[0].address))
        while not talk.turns and not writing.done():
            await asyncio.sleep(0.01)
        full = "".join(word(f"{visitor.name}.1", "1", index) for index in range(150))
        followers = await asyncio.gather(*(follow(visitor, talk, full) for _ in range(readers)))
        outcome = await writing
        assert outcome.reading is not None
        reached = {place: moment for _, place, moment in outcome.reading.timeline}
        for reading, is_right in followers:
            count += 1
            wrong += not is_right
            delays.extend(
                moment - reached[place]
                for _, place, moment in reading.timeline[1:]
                if place in reached
            )

    async def follow(visitor: Visitor, talk: Talk, full: str) -> tuple[Reading, bool]:
        await asyncio.sleep(random.random() * 2.5)
        start = random.randint(0, 400)
        leave_at = start + random.randint(50, 600)
        reading = await visitor.follow(
            talk, talk.turns[0], after=f"1.{start}", leave_at=leave_at, at=rig.slots[1].address
        )
        if reading is None:
            return Reading(), False
        text = reading.runs[-1][2]
        is_right = reading.fault is None and text and full[start : start + len(text)] == text
        return reading, bool(is_right)

    for _ in range(batches):
        await asyncio.gather(*(one_turn() for _ in range(turns)))
    return f"{count} resumes, {wrong} wrong; later than on the writing replica by: {spread(delays)}"


async def stops(rig: Rig, *, each: int = 250) -> str:
    """Stop from the same and from another replica, then send at once."""
    closed: dict[str, float] = {}

    def note(call: Call) -> None:
        if call.closed is not None:
            closed[call.turn] = call.closed

    rig.provider.listeners.append(note)
    took: dict[str, list[float]] = {"same": [], "other": []}
    refused = 0

    async def one(which: str) -> None:
        nonlocal refused
        visitor, talk = rig.visitor(), Talk()
        here = rig.slots[0].address
        question = visitor.question(words=400, pace=20)
        outcome = await visitor.ask(talk, question, leave_at=60, at=here)
        turn = outcome.turn or ""
        began = time.monotonic()
        at = here if which == "same" else rig.slots[1].address
        await visitor.stop(talk, turn, at=at)
        after = await visitor.ask(talk, visitor.question(words=2), at=rig.route())
        refused += after.kind != "answer"
        for _ in range(1000):
            if turn in closed:
                took[which].append(closed[turn] - began)
                return
            await asyncio.sleep(0.01)

    for _ in range(each // 10):
        await asyncio.gather(*(one(which) for which in ("same", "other") for _ in range(10)))
    rig.provider.listeners.remove(note)
    return (
        f"{2 * each} stops, {refused} sends refused afterwards; provider's connection closed after "
        f"{spread(took['same'])} (same replica), {spread(took['other'])} (other replica)"
    )


async def kills(rig: Rig, *, sessions: int = 40) -> str:
    """From SIGKILL to the first new text at a reader on another replica, lease 15 seconds."""
    began: list[float] = []
    readings = await _interrupt(rig, sessions, lambda: _kill(rig, began))
    return f"{spread(_first_new(readings, began[0]))} of {sessions} readers"


async def hand_overs(rig: Rig, *, sessions: int = 50) -> str:
    """From SIGTERM to the first new text at a reader that comes back, drain of one second."""
    began: list[float] = []
    readings = await _interrupt(rig, sessions, lambda: _term(rig, began), at=0)
    return f"{spread(_first_new(readings, began[0]))} of {sessions} readers, drain 1 s included"


async def many_streams(rig: Rig) -> str:
    """Two hundred streams at once on a pool of two connections."""

    async def one() -> Outcome:
        visitor = rig.visitor()
        question = visitor.question(words=100, chunk=2, pace=60)
        return await visitor.ask(Talk(), question, at=rig.slots[0].address)

    began = time.monotonic()
    outcomes = await asyncio.gather(*(one() for _ in range(200)))
    took = time.monotonic() - began
    whole = sum(outcome.kind == "answer" for outcome in outcomes)
    gaps = [
        after[2] - before[2]
        for outcome in outcomes
        if outcome.reading is not None
        for before, after in pairwise(outcome.reading.timeline)
    ]
    return (
        f"{whole} of 200 whole, each 3 s long, all within {took:.1f} s; from piece to piece, "
        f"sent every 0.06 s: {spread(gaps)}"
    )


async def idle(rig: Rig) -> str:
    """Statements of a process that has nothing to do, in the mode for sleeping databases."""
    visitor = rig.visitor()
    await visitor.ask(Talk(), visitor.question())
    await asyncio.sleep(75)
    before = rig.slots[0].proxy.statements
    await asyncio.sleep(_IDLE_SECONDS)
    sent = rig.slots[0].proxy.statements - before
    return f"{sent} statements in {_IDLE_SECONDS:.0f} idle seconds"


async def _interrupt(
    rig: Rig, sessions: int, strike: Callable[[], Awaitable[None]], *, at: int = 1
) -> list[Reading]:
    """Have one replica write long answers, readers on another (or the same), and strike."""
    visitors = [(rig.visitor(), Talk()) for _ in range(sessions)]
    first = await asyncio.gather(
        *(
            visitor.ask(
                talk,
                visitor.question(words=160, chunk=1, pace=250),
                leave_at=20,
                at=rig.slots[0].address,
            )
            for visitor, talk in visitors
        )
    )
    reading = [
        asyncio.ensure_future(_read_on(rig, visitor, talk, outcome, at))
        for (visitor, talk), outcome in zip(visitors, first, strict=True)
    ]
    await asyncio.sleep(1)
    await strike()
    return list(await asyncio.gather(*reading))


async def _read_on(rig: Rig, visitor: Visitor, talk: Talk, outcome: Outcome, at: int) -> Reading:
    """Read until there is some text of a second attempt, coming back wherever that takes."""
    place, slot = None, at
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        found = await visitor.follow(
            talk, outcome.turn or "", after=place, at=rig.slots[slot].address, until_attempt=2
        )
        if found is not None:
            if any(attempt == 2 for attempt, _, _ in found.timeline):
                return found
            place = found.position
        slot = 1
        await asyncio.sleep(0.02)
    return Reading()


async def _kill(rig: Rig, began: list[float]) -> None:
    began.append(time.monotonic())
    await rig.end(rig.slots[0])


async def _term(rig: Rig, began: list[float]) -> None:
    began.append(time.monotonic())
    await rig.end(rig.slots[0], signal.SIGTERM, within=30)


def _first_new(readings: Sequence[Reading], began: float) -> list[float]:
    firsts = ([m for attempt, _, m in reading.timeline if attempt == 2] for reading in readings)
    return [moments[0] - began for moments in firsts if moments]


# Here the model is never at fault, and a machine that is busy shall not make it look so.
_VICTIMS: dict[str, Any] = {
    "replicas": 1 + VICTIMS,
    "settings": {"LLM_TIMEOUT_SECONDS": "30"},
}
MEASURES: dict[str, tuple[Callable[[Rig], Awaitable[str]], dict[str, Any]]] = {
    "one key, 100 in parallel": (one_key, {}),
    "resumes on another replica": (resumes, {}),
    "stop, then send": (stops, {}),
    "killed, lease of 15 s": (kills, {}),
    "handed over": (hand_overs, {"drain_seconds": 1.0}),
    "200 streams, pool of 2": (many_streams, {"settings": {"DATABASE_POOL_SIZE": "2"}}),
    "database black-holed for 5 s": (partial(holes, seconds=5, rounds=2), _VICTIMS),
    "database black-holed for 30 s": (partial(holes, seconds=30, rounds=2), _VICTIMS),
    "database black-holed for 120 s": (partial(holes, seconds=120, rounds=1), _VICTIMS),
    "event loop blocked for 5 s": (partial(stalls, seconds=5, rounds=3), _VICTIMS),
    "event loop blocked for 20 s": (partial(stalls, seconds=20, rounds=3), _VICTIMS),
    "pooler killed and paused": (
        pooler_faults,
        {"replicas": 3, "settings": {"DATABASE_POOLER": "transaction"}},
    ),
    "500 slow readers": (slow_readers, {"replicas": 1, "send_bytes": 4096}),
    "500 slow readers of a stored reply": (
        slow_readers_of_a_stored_reply,
        {"replicas": 1, "send_bytes": 4096},
    ),
    "idle": (idle, {"settings": {"SWEEP": "idle-off"}, "policy": {"idle_sweep_seconds": None}}),
}
"""Every measurement: what to do, and on which rig."""


async def run_measure(folder: Path, *, only: str | None = None) -> dict[str, str]:
    """Measure one after the other, and write a page about it."""
    results: dict[str, str] = {}
    async with ground(folder) as here:
        for number, (name, (measure, options)) in enumerate(MEASURES.items()):
            if only is None or only in name:
                results[name] = await _measured(here, number, measure, options)
                print(f"{name}: {results[name]}", flush=True)  # noqa: T201
                lines = [f"| {name} | {result} |" for name, result in results.items()]
                table = ["| measurement | result |", "| --- | --- |", *lines]
                (folder / "report.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    return results


async def _measured(
    here: Ground,
    number: int,
    measure: Callable[[Rig], Awaitable[str]],
    options: dict[str, Any],
) -> str:
    options = dict(options)
    rig = Rig(
        here.folder / f"measure-{number}",
        postgres=here.postgres,
        forks=here.forks,
        database=f"measure_{number}",
        replicas=options.pop("replicas", 2),
        policy=REAL | options.pop("policy", {}),
        **options,
    )
    try:
        await rig.open()
        return await measure(rig)
    finally:
        await rig.close()
