"""The runs: a short one for every commit, a long one for a release.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

import asyncio
import gzip
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import checker
from tests.chaos.evidence import Evidence, gather, take_dump
from tests.chaos.faults import VARIETY, WEIGHTS, Nemesis
from tests.chaos.forkserver import ForkServer
from tests.chaos.mutants import MUTANTS
from tests.chaos.postgres import Postgres
from tests.chaos.provider import FAULTS
from tests.chaos.report import Summary, write_report
from tests.chaos.rig import Rig
from tests.chaos.scenarios import SCENARIOS, play
from tests.chaos.visitor import Talk
from tests.chaos.workload import crowd

COMMIT_QUOTAS: dict[str, float] = {
    "sigkill": 30,
    "failpoint": 50,
    "zombie": 8,
    "stall": 4,
    "sigterm": 4,
    "postgres crash": 8,
    "backend kill": 2,
    "backends terminated": 8,
    "connections cut": 6,
    "aimed cut": 12,
    "black hole": 3,
    "delay": 2,
}
_COMMIT_SECONDS = 70.0
_COMMIT_CLIENTS = 32
_RELEASE_CLIENTS = 64
_SEGMENT_SECONDS = 300.0
_AT_ONCE = 6
_PLANTING_TRIES = 3
# Two of the replicas' clocks are an hour off.
_SKEWS = (0.0, 3600.0, 0.0, -3600.0)
_SETTLE_SECONDS = 40.0


@dataclass
class Ground:
    """What all rigs of a run stand on."""

    folder: Path
    postgres: Postgres
    forks: ForkServer


@dataclass
class Verdict:
    """What became of the planted bugs.

    Attributes:
        caught: Which clauses found each of them; empty: it got away.
        false_alarms: What was found where no bug had been planted.
    """

    caught: dict[str, list[str]] = field(default_factory=dict)
    false_alarms: list[str] = field(default_factory=list)

    @property
    def escaped(self) -> list[str]:
        """Bugs that no clause found that should have."""
        return [name for name, by in self.caught.items() if not by]


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[Ground]:
    """Start what all rigs share, and stop it at the end."""
    data = await asyncio.to_thread(_data_folder)
    forks = await ForkServer.start()
    postgres = await Postgres.start(data)
    try:
        yield Ground(folder, postgres, forks)
    finally:
        await forks.stop()
        await postgres.stop()
        await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)


async def plant(ground: Ground, *, only: str | None = None) -> Verdict:
    """Play every scenario without a bug and with each of its bugs, several at once."""
    verdict = Verdict()
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(scenario: str, mutant: str | None, again: int = 1) -> None:
        async with room:
            found = await play(
                scenario,
                folder=ground.folder / "planted",
                postgres=ground.postgres,
                forks=ground.forks,
                mutant=mutant,
                nth=again,
            )
        if mutant is None:
            verdict.false_alarms += [f"{scenario}: {violation}" for violation in found]
        else:
            clauses = {violation.clause for violation in found}
            verdict.caught[mutant] = sorted(clauses & set(MUTANTS[mutant].caught_by))

    jobs: list[tuple[str, str | None]] = [(name, None) for name in SCENARIOS]
    jobs += [(mutant.scenario, name) for name, mutant in MUTANTS.items()]
    chosen = [job for job in jobs if only is None or only in (job[1] or job[0])]
    await asyncio.gather(*(one(*job) for job in chosen))
    for again in range(2, _PLANTING_TRIES + 1):  # A race may be missed on a slow machine.
        await asyncio.gather(
            *(one(MUTANTS[name].scenario, name, again) for name in verdict.escaped)
        )
    return verdict


async def provider_faults(rig: Rig) -> None:
    """Meet every fault of the model once: whole and in parts, first attempt and all of them."""

    async def one(fault: str, *, stream: bool, on: str) -> None:
        visitor, talk = rig.visitor(), Talk()
        question = visitor.question(words=20, fault=fault, on=on)
        await visitor.ask_until_known(talk, question, stream=stream)
        await visitor.ask_until_known(talk, visitor.question(words=4))

    await asyncio.gather(
        *(one(fault, stream=stream, on="1") for fault in FAULTS for stream in (True, False)),
        *(one(fault, stream=True, on="all") for fault in FAULTS if fault != "huge"),
    )


async def segment(
    ground: Ground,
    summary: Summary,
    *,
    name: str,
    seed: int,
    seconds: float,
    clients: int,
    quotas: dict[str, float],
    each_failpoint: int = 0,
) -> None:
    """Let clients and faults loose on one database for a while, and judge what is left."""
    rig = Rig(
        ground.folder / name,
        postgres=ground.postgres,
        forks=ground.forks,
        database=name.replace("-", "_"),
        replicas=4,
        seed=seed,
        skews=_SKEWS,
    )
    crashes = ground.postgres.crashes
    try:
        await rig.open(start=False)
        await asyncio.gather(
            *(rig.start(slot, **VARIETY[slot.index % len(VARIETY)]) for slot in rig.slots)
        )
        began = time.monotonic()
        await provider_faults(rig)
        nemesis = Nemesis(rig, quotas)
        is_over = asyncio.Event()
        asking = asyncio.ensure_future(crowd(rig, clients=clients, is_over=is_over))
        await nemesis.rage(seconds=seconds)
        if each_failpoint:
            await nemesis.complete(times=each_failpoint, within=90)
        is_over.set()
        deeds = await asking
        await nemesis.calm()
        await rig.settle(within=_SETTLE_SECONDS)
        evidence = await evidence_of(rig)
        found = checker.check(evidence)
        summary.add(
            evidence,
            nemesis,
            found,
            deeds=deeds,
            seconds=time.monotonic() - began,
            crashes=ground.postgres.crashes - crashes,
            faults=rig.provider.faults,
            starts_refused=rig.counts["starts refused"],
            segment=name,
        )
    finally:
        await rig.close()


async def run_commit(folder: Path, *, seed: int) -> Summary:
    """The short run: everything once, in less than four minutes."""
    summary = Summary(command=f"python -m tests.chaos commit --seed {seed}", seed=seed)
    async with ground(folder) as here:
        verdict = await plant(here)
        summary.planted(verdict.caught, verdict.false_alarms)
        await segment(
            here,
            summary,
            name="commit",
            seed=seed,
            seconds=_COMMIT_SECONDS,
            clients=_COMMIT_CLIENTS,
            quotas=COMMIT_QUOTAS,
            each_failpoint=2,
        )
        summary.require(kills=60, each_failpoint=2)
    write_report(folder / "report.md", summary)
    return summary


async def run_release(folder: Path, *, seed: int, minutes: float) -> Summary:
    """The long run, in pieces of a few minutes that are judged one by one."""
    command = f"python -m tests.chaos release --minutes {minutes:g} --seed {seed}"
    summary = Summary(command=command, seed=seed)
    ends = time.monotonic() + minutes * 60
    async with ground(folder) as here:
        verdict = await plant(here)
        summary.planted(verdict.caught, verdict.false_alarms)
        count = max(1, round((ends - time.monotonic()) / (_SEGMENT_SECONDS + 15)))
        for index in range(count):
            left = (ends - time.monotonic()) / (count - index) - 15
            quotas = {fault: weight / count * minutes / 60 for fault, weight in WEIGHTS.items()}
            name = f"segment-{index + 1}"
            await segment(
                here,
                summary,
                name=name,
                seed=seed * 1000 + index,
                seconds=max(20.0, left),
                clients=_RELEASE_CLIENTS,
                quotas=quotas,
            )
            await asyncio.to_thread(_compress, folder / name)
            write_report(folder / "report.md", summary)
    summary.require(each_failpoint=1)
    write_report(folder / "report.md", summary)
    return summary


async def evidence_of(rig: Rig) -> Evidence:
    """Read all that a rig has left behind."""
    connection = await rig.postgres.connect(rig.database)
    try:
        dump = await take_dump(connection)
    finally:
        await connection.close()
    rig.history.flush()
    await rig.provider.come_to_rest()
    policy: dict[str, Any] = rig.policy
    return gather(
        rig.folder,
        dump,
        exits=rig.exits,
        lease_seconds=policy["lease_seconds"],
        # After its deadline a turn is given up within lease and sweep; the database is away by then
        # for seconds at times.
        longest_seconds=policy["deadline_seconds"] + policy["lease_seconds"] + 10,
    )


def _compress(folder: Path) -> None:
    for path in (*folder.glob("*.jsonl"), *folder.glob("*.json")):
        with path.open("rb") as source, gzip.open(f"{path}.gz", "wb", compresslevel=3) as target:
            shutil.copyfileobj(source, target)
        path.unlink()


def _data_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chaos-data-"))
    folder.chmod(0o755)  # The server may run as another user.
    return folder
