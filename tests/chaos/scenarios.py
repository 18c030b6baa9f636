"""Small, aimed courses of events: each makes one kind of bug show within seconds.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import checker
from tests.chaos.checker import Violation
from tests.chaos.evidence import gather, take_dump
from tests.chaos.forkserver import ForkServer
from tests.chaos.history import read_lines
from tests.chaos.mutants import MUTANTS
from tests.chaos.postgres import Postgres
from tests.chaos.rig import Rig
from tests.chaos.visitor import Outcome, Talk, Visitor

POLICY: dict[str, Any] = {
    "lease_seconds": 1.0,
    "pulse_seconds": 0.05,
    "sweep_seconds": 0.2,
    "idle_sweep_seconds": 0.2,
    "deadline_seconds": 15.0,
}
_WAIT_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What happens, and on what.

    Attributes:
        ends: Failpoints of the replicas, the first one's first.
        tables: Statements that change the tables.
    """

    run: Callable[[Rig], Awaitable[None]]
    replicas: int = 2
    ends: tuple[dict[str, Any] | None, ...] = ()
    policy: dict[str, Any] = field(default_factory=dict)
    settle_seconds: float = 6.0
    tables: tuple[str, ...] = ()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something to become true."""
    give_up = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        await asyncio.sleep(0.01)


def has_hit(rig: Rig, point: str) -> Callable[[], bool]:
    """Return a condition: a replica has come to a failpoint."""
    path = rig.folder / "replicas.jsonl"
    return lambda: any(line["do"] == "hit" and line["point"] == point for line in read_lines(path))


def is_asked(rig: Rig, attempt: int) -> Callable[[], bool]:
    """Return a condition: the model is answering an attempt of this number."""
    return lambda: any(call.attempt == str(attempt) for call in rig.provider.running)


async def see(visitor: Visitor, talk: Talk, outcome: Outcome, *, seconds: float = 6.0) -> None:
    """See a turn through, at any replica."""
    if outcome.turn is not None:
        give_up = time.monotonic() + seconds
        await visitor.see_through(talk, outcome, give_up=give_up)


def begin(rig: Rig, *, at: int = 0, **question: object) -> tuple[Visitor, Talk, Any]:
    """Send a question to one replica, and go on while it is answered."""
    visitor, talk = rig.visitor(), Talk()
    text = visitor.question(**question)
    asking = asyncio.ensure_future(visitor.ask(talk, text, at=rig.slots[at].address))
    return visitor, talk, asking


async def zombie_finishes(rig: Rig) -> None:
    """A replica freezes right before it stores the end, and wakes while another is at it."""
    visitor, talk, asking = begin(rig, words=60, pace=20)
    await until(has_hit(rig, "finish.before"), "frozen")
    rig.slots[0].state = "frozen"
    await until(is_asked(rig, 2), "taken over")
    await asyncio.sleep(0.1)
    rig.slots[0].signal(signal.SIGCONT)
    rig.slots[0].state = "up"
    await see(visitor, talk, await asking)


async def zombie_goes_on(rig: Rig) -> None:
    """A replica freezes in the middle of an answer, and wakes while another gives one."""
    visitor, talk, asking = begin(rig, words=500, pace=15)
    await until(is_asked(rig, 1), "asked")
    await asyncio.sleep(0.3)
    rig.slots[0].signal(signal.SIGSTOP)
    rig.slots[0].state = "frozen"
    await until(is_asked(rig, 2), "taken over")
    await asyncio.sleep(0.15)
    rig.slots[0].signal(signal.SIGCONT)
    rig.slots[0].state = "up"
    await see(visitor, talk, await asking)


async def two_at_once(rig: Rig) -> None:
    """Two questions in one session at the same time, at two replicas, several times."""
    visitor, talk = rig.visitor(), Talk()
    await visitor.ask(talk, visitor.question())
    for _ in range(3):
        outcomes = await asyncio.gather(
            *(
                visitor.ask(talk, visitor.question(words=60, pace=15), at=slot.address)
                for slot in rig.slots
            )
        )
        for outcome in outcomes:
            await see(visitor, talk, outcome)


async def one_key_again(rig: Rig) -> None:
    """A question again with its key: later, at once many times, and with another text."""
    visitor, talk, key = rig.visitor(), Talk(), "key-1"
    question = visitor.question()
    for slot in rig.slots:
        await visitor.ask(talk, question, key=key, at=slot.address)
    await visitor.ask(talk, visitor.question(words=3), key=key)
    first = visitor.question(words=20, pace=10)
    outcomes = await asyncio.gather(
        *(visitor.ask(Talk(), first, key="key-2", stream=bool(n % 2)) for n in range(6))
    )
    assert {outcome.kind for outcome in outcomes} == {"answer"}, outcomes


async def killed_while_admitting(rig: Rig) -> None:
    """A replica is killed right after a question came; the client sends it again elsewhere."""
    visitor, talk = rig.visitor(), Talk()
    question = visitor.question(words=40, pace=20)
    here, there = rig.slots
    connection = await rig.postgres.connect(rig.database)
    asking = asyncio.ensure_future(visitor.ask(talk, question, key="k", at=here.address))
    while not await connection.fetchval("SELECT count(*) FROM chatcore.turns"):
        await asyncio.sleep(0.005)
    await rig.end(here)
    await connection.close()
    await asking
    # Sent from the beginning: the client has no session yet.
    await visitor.ask_until_known(Talk(), question, key="k", at=there.address, patience_seconds=4.0)


async def killed_somewhere(rig: Rig) -> None:
    """A replica comes to its end, as was arranged; another one goes on."""
    visitor, talk, asking = begin(rig, words=40, pace=20)
    outcome = await asking
    await see(visitor, talk, outcome)


async def killed_in_the_middle(rig: Rig) -> None:
    """A replica is killed in the middle of an answer."""
    visitor, talk, asking = begin(rig, words=60, pace=20)
    await until(is_asked(rig, 1), "asked")
    await asyncio.sleep(0.2)
    await rig.end(rig.slots[0])
    await see(visitor, talk, await asking, seconds=4)


async def many_stops(rig: Rig) -> None:
    """Answers that come fast are stopped from another replica, again and again."""

    async def one(visitor: Visitor) -> None:
        talk = Talk()
        for number in range(8):
            question = visitor.question(words=400, pace=2, chunk=1)
            leave_at = 600 + 40 * number
            outcome = await visitor.ask(talk, question, leave_at=leave_at, at=rig.slots[0].address)
            await visitor.stop(talk, outcome.turn or "", at=rig.slots[1].address)

    await asyncio.gather(*(one(rig.visitor()) for _ in range(6)))


async def a_stranger(rig: Rig) -> None:
    """Somebody else tries to look."""
    visitor, talk = rig.visitor(), Talk()
    outcome = await visitor.ask(talk, visitor.question())
    await rig.visitor().pry(talk.session or "", outcome.turn or "")


async def killed_in_the_second_attempt(rig: Rig) -> None:
    """The model fails once; the replica is killed when the second attempt has begun."""
    visitor, talk, asking = begin(rig, words=40, pace=20, fault="500", on=1)
    await see(visitor, talk, await asking)


async def model_cuts_off(rig: Rig) -> None:
    """The model breaks off in the middle: once, then always."""
    visitor, talk, asking = begin(rig, words=30, pace=5, fault="cut", on=1)
    await see(visitor, talk, await asking)
    await visitor.ask(talk, visitor.question(words=30, fault="cut", on="all"))
    await visitor.messages(talk)


async def killed_before_the_only_finish(rig: Rig) -> None:
    """A replica is killed shortly after it began to store the only end there can be."""
    visitor, talk, asking = begin(rig, words=60, pace=10)
    await until(has_hit(rig, "finish.before"), "answered")
    await asyncio.sleep(0.5)
    await rig.end(rig.slots[0])
    await see(visitor, talk, await asking)


async def stopped_in_the_second_attempt(rig: Rig) -> None:
    """Killed in the middle, taken over, and stopped from a third replica."""
    visitor, talk, asking = begin(rig, words=60, pace=60, chunk=1)
    outcome = await asking
    await until(is_asked(rig, 2), "taken over")
    await asyncio.sleep(0.5)
    (successor,) = {call.replica for call in rig.provider.running if call.attempt == "2"}
    third = next(slot for slot in rig.slots[1:] if slot.name != successor)
    await visitor.stop(talk, outcome.turn or "", at=third.address)
    await see(visitor, talk, outcome)


async def woken_just_in_time(rig: Rig) -> None:
    """A replica wakes after its turn was found abandoned, and before it is taken over."""
    visitor, talk, asking = begin(rig, words=300, pace=20)
    await until(is_asked(rig, 1), "asked")
    await asyncio.sleep(0.3)
    rig.slots[0].signal(signal.SIGSTOP)
    await until(has_hit(rig, "take_over.before"), "found")
    rig.slots[0].signal(signal.SIGCONT)
    await see(visitor, talk, await asking)


async def admitted_without_an_answer(rig: Rig) -> None:
    """The store's answer to a question is lost, and comes when another has taken the turn over."""
    visitor, talk, asking = begin(rig, words=200, pace=20)
    await until(is_asked(rig, 2), "taken over")
    await see(visitor, talk, await asking, seconds=10)


async def leave_in_the_middle(rig: Rig) -> None:
    """A reader leaves; nobody stops anything."""
    visitor, talk = rig.visitor(), Talk()
    question = visitor.question(words=60, pace=20)
    outcome = await visitor.ask(talk, question, leave_at=50, at=rig.slots[0].address)
    await asyncio.sleep(1)
    await see(visitor, talk, outcome)


async def no_answer_at_all(rig: Rig) -> None:
    """The model fails for good, without a word; the next question is answered."""
    visitor, talk = rig.visitor(), Talk()
    await visitor.ask(talk, visitor.question(fault="500", on="all"))
    await visitor.ask(talk, visitor.question())


async def broken_off_and_again(rig: Rig) -> None:
    """The model breaks off for good; the next question is answered."""
    visitor, talk = rig.visitor(), Talk()
    await visitor.ask(talk, visitor.question(words=30, fault="cut", on="all"))
    await visitor.ask(talk, visitor.question())


def _at(point: str, **rest: Any) -> dict[str, Any]:
    return {"point": point, **rest}


# Heartbeats that take their time to commit: a stop then often has to wait for one.
_SLOW_HEARTBEATS = (
    """CREATE FUNCTION chatcore.take_time() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$""",
    """CREATE TRIGGER take_time AFTER INSERT ON chatcore.reply_journal
    FOR EACH STATEMENT EXECUTE FUNCTION chatcore.take_time()""",
)

SCENARIOS: dict[str, Scenario] = {
    "zombie finishes": Scenario(run=zombie_finishes, ends=(_at("finish.before", action="freeze"),)),
    "zombie goes on": Scenario(run=zombie_goes_on),
    "two at once": Scenario(run=two_at_once),
    "one key again": Scenario(run=one_key_again),
    "killed while admitting": Scenario(run=killed_while_admitting),
    "killed before finish": Scenario(run=killed_somewhere, ends=(_at("finish.before"),)),
    "killed in the middle": Scenario(run=killed_in_the_middle, settle_seconds=3.0),
    "many stops": Scenario(
        run=many_stops,
        policy={"pulse_seconds": 0.01},
        tables=_SLOW_HEARTBEATS,
    ),
    "a stranger": Scenario(run=a_stranger),
    "killed in the second attempt": Scenario(
        run=killed_in_the_second_attempt, ends=(_at("llm.first_delta"),)
    ),
    "model cuts off": Scenario(run=model_cuts_off),
    "killed before the only finish": Scenario(
        run=killed_before_the_only_finish,
        ends=(_at("finish.before", action="delay"),),
        policy={"max_attempts": 1},
    ),
    "stopped in the second attempt": Scenario(
        run=stopped_in_the_second_attempt, replicas=3, ends=(_at("beat.after", nth=4),)
    ),
    "woken just in time": Scenario(
        run=woken_just_in_time, ends=(None, _at("take_over.before", action="delay", seconds=0.7))
    ),
    "admitted without an answer": Scenario(
        run=admitted_without_an_answer, ends=(_at("admit.after", action="lose", seconds=2.5),)
    ),
    "leave in the middle": Scenario(run=leave_in_the_middle),
    "no answer at all": Scenario(run=no_answer_at_all),
    "broken off and again": Scenario(run=broken_off_and_again),
}
"""Every course of events by its name."""


async def play(
    name: str,
    *,
    folder: Path,
    postgres: Postgres,
    forks: ForkServer,
    mutant: str | None = None,
    nth: int = 1,
) -> list[Violation]:
    """Play one scenario, with a planted bug or without, and return what the checker found.

    Args:
        name: Which.
        folder: Below which everything is written down.
        postgres: Where the database is made.
        forks: Who starts replicas.
        mutant: Which bug; None for none.
        nth: Which time it is played in this folder, from 1.
    """
    scenario = SCENARIOS[name]
    label = f"{mutant or f'clean {name}'} {nth}".replace(" ", "_").replace("'", "")
    policy = POLICY | scenario.policy | (MUTANTS[mutant].policy if mutant else {})
    rig = Rig(
        folder / label,
        postgres=postgres,
        forks=forks,
        database=f"s_{label}"[:60].lower(),
        replicas=scenario.replicas,
        mutant=mutant,
        policy=policy,
    )
    try:
        await rig.open(start=False)
        planted = MUTANTS[mutant].tables if mutant else ()
        await postgres.execute(rig.database, [*scenario.tables, *planted])
        ends = (*scenario.ends, *[None] * scenario.replicas)
        await asyncio.gather(
            *(
                rig.start(slot, *([end] if end else []))
                for slot, end in zip(rig.slots, ends, strict=False)
            )
        )
        try:
            await scenario.run(rig)
        except TimeoutError as error:
            rig.exits.append(f"the scenario did not come to {error}")
        await rig.settle(within=scenario.settle_seconds)
        return await judge(rig, policy)
    finally:
        await rig.close()


async def judge(rig: Rig, policy: dict[str, Any]) -> list[Violation]:
    """Read everything and check it."""
    connection = await rig.postgres.connect(rig.database)
    try:
        dump = await take_dump(connection)
    finally:
        await connection.close()
    rig.history.flush()
    await rig.provider.come_to_rest()
    evidence = gather(
        rig.folder,
        dump,
        exits=rig.exits,
        lease_seconds=policy["lease_seconds"],
        longest_seconds=policy["deadline_seconds"] + 5,
    )
    return checker.check(evidence)
