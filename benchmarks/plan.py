"""Beside the rooms: the parts of a whole run, in order, and the page they make.

May import: standard library, benchmarks.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from benchmarks import machine, report
from benchmarks.database import CLIENTS, measure_database
from benchmarks.growth import growth, replicas
from benchmarks.profiles import STREAM, TURN, TURN100, Profile, slow_streams
from benchmarks.programs import ROOT
from benchmarks.races import (
    FEW_STREAMS,
    GAP_MS,
    LATE_MS,
    MANY_STREAMS,
    line_up,
    memory,
    most_streams,
    race,
)
from benchmarks.rig import App, Rig

_PACKAGES = (
    "uvicorn",
    "uvloop",
    "httptools",
    "asyncpg",
    "SQLAlchemy",
    "openai",
    "litestar",
    "msgspec",
    "aiohttp",
    "fastapi",
    "sqlmodel",
    "pydantic",
)
_TITLES = {
    "turn": "A turn as JSON: 32 at a time, a model that answers at once",
    "stream": "A streamed turn: 16 at a time, 100 tokens as fast as they come",
    "turn100": f"100 chats at once, a model that takes {TURN100.latency_ms:.0f} ms: "
    "what is added to its time",
}
_HEAVY_ROUNDS = 3
"""Rounds, at most, of what takes long or is measured in more steps than one."""


class Plan:
    """One whole run.

    Attributes:
        sections: Of the report, so far.
    """

    def __init__(self, rig: Rig, *, rounds: int, seconds: float | None) -> None:
        self._rig = rig
        self._rounds = rounds
        self._few = min(rounds, _HEAVY_ROUNDS)
        self._seconds = seconds
        self._apps: list[App] = []
        self.sections: list[str] = []

    def run(self, name: str) -> None:
        """Run one part; `PARTS` has the names, and `slow:N` is one.

        Raises:
            BenchmarkError: There is no such part, or a run failed.
        """
        began = time.monotonic()
        if found := re.fullmatch(r"slow:(\d+)", name):
            self._race(slow_streams(int(found[1])), f"{found[1]} slow streams")
        else:
            PARTS[name](self)
        print(f"{name}: {time.monotonic() - began:.0f} seconds", file=sys.stderr, flush=True)

    def turn(self) -> None:
        """JSON turns."""
        self._race(TURN, _TITLES["turn"])

    def stream(self) -> None:
        """Streamed turns."""
        self._race(STREAM, _TITLES["stream"])

    def turn100(self) -> None:
        """What is added to a slow model's time."""
        samples = race(self._rig, self._line(), TURN100, rounds=self._all(), seconds=self._seconds)
        title, latency_ms = _TITLES["turn100"], TURN100.latency_ms
        self.sections.append(report.latency_section(title, samples, TURN100.name, latency_ms))

    def streams(self) -> None:
        """How many slow streams are held."""
        rounds = min(self._few, 2)
        apps, begin = self._line(), len(self._rig.runs)
        held = most_streams(self._rig, apps, rounds=rounds)
        note = (
            "One process, 500 ms to the first token, then one each 20 ms. Held: of all gaps the "
            f"99th percentile is below {GAP_MS:.0f} ms, of all first tokens it is less than "
            f"{LATE_MS:.0f} ms late, and nothing fails. Grown by a fifth at a time."
        )
        runs = self._rig.runs[begin:]
        self.sections.append(report.streams_section("Slow streams held", held, runs, note))

    def memory(self) -> None:
        """Memory at rest, and of a stream."""
        rounds = min(self._few, 2)
        note = (
            f"Fresh processes each round. Of a stream: what {MANY_STREAMS} open streams need "
            f"beyond {FEW_STREAMS}."
        )
        found = memory(self._rig, rounds=rounds)
        self.sections.append(report.memory_section("Memory", found, note))

    def growth(self) -> None:
        """Long sessions and many of them."""
        steps = growth(self._rig, rounds=self._few)
        note = (
            "One request at a time; ratios are taken round by round. The smallest session and the "
            "smallest owner have ten messages and ten sessions; pages hold ten, so that each shows "
            "as much."
        )
        title = "When there is much: chatcore alone"
        self.sections.append(report.growth_section(title, self._rig.runs, steps, note))

    def replicas(self) -> None:
        """Several processes on one database."""
        names = replicas(self._rig, most=3, rounds=self._few, seconds=self._seconds)
        note = (
            "48 at a time, spread over the processes. All of it runs on this one machine: where "
            "processes, PostgreSQL, provider and load have used up its cores, more of them do not "
            "help; what can be seen is that a turn costs no more CPU with more processes."
        )
        title = "Several processes on one PostgreSQL"
        self.sections.append(report.replicas_section(title, self._rig.runs, names, note))

    def pgbench(self) -> None:
        """The database by itself."""
        found = measure_database(self._rig, rounds=self._few, seconds=self._seconds or 4)
        note = (
            f"pgbench with {CLIENTS} clients and prepared statements runs what a turn runs in a "
            "session of twelve messages: two statements, two commits. A small third one makes ids."
        )
        self.sections.append(report.database_section("The database alone", found, note))

    def _line(self) -> list[App]:
        """Return the systems that are compared, started when they are first needed."""
        self._apps = self._apps or line_up(self._rig)
        return self._apps

    def _all(self) -> range:
        return range(1, self._rounds + 1)

    def _race(self, profile: Profile, title: str) -> None:
        samples = race(self._rig, self._line(), profile, rounds=self._all(), seconds=self._seconds)
        self.sections.append(report.race_section(title, samples, profile.name))


PARTS: dict[str, Callable[[Plan], None]] = {
    "turn": Plan.turn,
    "stream": Plan.stream,
    "turn100": Plan.turn100,
    "streams": Plan.streams,
    "memory": Plan.memory,
    "growth": Plan.growth,
    "replicas": Plan.replicas,
    "pgbench": Plan.pgbench,
}


def page(plan: Plan, rig: Rig, *, command: str, rounds: int) -> str:
    """Return the whole report."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    head = (
        f"`{command}`, {time.strftime('%Y-%m-%d', time.gmtime())}, rounds: {rounds}{_commit()}.\n\n"
        f"{machine.describe()}. Python {platform.python_version()}, PostgreSQL "
        f"{rig.postgres.version} on a Unix socket, fsync on; {versions}.\n\n"
        "Figures are medians, with the least and the most in brackets. "
        f"{report.disturbed(rig.runs)}"
    )
    return "\n\n".join((head, *plan.sections))


def _commit() -> str:
    """Return which commit is measured, where git can tell."""
    git = shutil.which("git")
    if git is None:
        return ""

    def ask(arguments: Sequence[str]) -> str:
        command = [git, "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    commit = ask(["rev-parse", "--short", "HEAD"])
    changes = ask(["status", "--porcelain", "chatcore", "adapters", "app", "benchmarks"])
    return f", commit `{commit}`{' with changes' if changes else ''}" if commit else ""
