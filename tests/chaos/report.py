"""One page about a run: what was done, what was found, how sure one may be.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from tests.chaos.checker import CLAUSES, Violation
from tests.chaos.evidence import Evidence
from tests.chaos.failpoints import FAILPOINTS
from tests.chaos.faults import Nemesis

_PACKAGES = ("asyncpg", "SQLAlchemy", "litestar", "uvicorn", "uvloop", "aiohttp", "msgspec")
_SAME_MOMENT_SECONDS = 0.25


@dataclass
class Summary:
    """What is known of a run so far.

    Attributes:
        violations: Promises that were not kept.
        shortfalls: Why the run proves less than it should.
        hand_overs: Seconds from a kill to the first new text of the turns that were hit.
    """

    command: str
    seed: int
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    shortfalls: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    hand_overs: list[float] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    caught: dict[str, list[str]] = field(default_factory=dict)
    accepted: int = 0
    calls: int = 0
    crashes: int = 0
    starts_refused: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept, and the run saw what it was to see."""
        return not self.violations and not self.shortfalls

    def planted(self, caught: Mapping[str, list[str]], false_alarms: Iterable[str]) -> None:
        """Note what became of the planted bugs."""
        self.caught.update(caught)
        self.shortfalls += [
            f"planted bug not caught: {name}" for name, by in caught.items() if not by
        ]
        self.violations += false_alarms

    def add(
        self,
        evidence: Evidence,
        nemesis: Nemesis,
        found: Iterable[Violation],
        *,
        deeds: Counter[str],
        seconds: float,
        crashes: int,
        faults: Mapping[str, int],
        starts_refused: int,
        segment: str,
    ) -> None:
        """Note what became of a segment."""
        self.violations += [f"{segment}: {violation}" for violation in found]
        self.seconds += seconds
        self.crashes += crashes
        self.starts_refused += starts_refused
        self.done += nemesis.done
        self.hits += nemesis.hits
        self.deeds += deeds
        self.faults += Counter(faults)
        self.outages += nemesis.outages
        self.calls += len(evidence.calls)
        self.accepted += len({record["turn"] for record in evidence.by_kind["accepted"]})
        turns = evidence.dump.turns.values()
        self.statuses += Counter(
            turn.status + (f" ({turn.error_code})" if turn.error_code else "") for turn in turns
        )
        self.attempts += Counter(turn.attempt for turn in turns)
        self.records += Counter(record["kind"] for record in evidence.history)
        self.refusals += Counter(
            f"{record['status']} {record['code']}" for record in evidence.by_kind["refused"]
        )
        self.hand_overs += hand_overs(evidence, nemesis.kills)

    def require(self, *, kills: int = 0, each_failpoint: int) -> None:
        """Note where the run fell short of what it was to see."""
        killed = self.done["sigkill"] + sum(self.hits.values())
        if killed < kills:
            self.shortfalls.append(f"{killed} kills, {kills} wanted")
        for point in FAILPOINTS:
            if self.hits[point] < each_failpoint:
                self.shortfalls.append(f"failpoint {point} was met {self.hits[point]} times")


def hand_overs(evidence: Evidence, kills: Iterable[tuple[str, float]]) -> list[float]:
    """Return how long readers of killed replicas' turns had no new text: from kill to first text.

    Only turns that were being answered when their replica was killed, and were taken over.
    """
    killed: dict[str, float] = dict(kills)
    for line in evidence.diary:
        if line["do"] == "hit" and line["action"] == "kill":
            killed[line["replica"]] = line["at"]
    found = []
    for (turn, attempt), calls in evidence.calls_of.items():
        moment = killed.get(calls[0]["replica"])
        closed = calls[0]["closed"]
        following = evidence.calls_of.get((turn, attempt + 1))
        if moment is None or closed is None or following is None or not following[0]["first"]:
            continue
        if abs(closed - moment) < _SAME_MOMENT_SECONDS:
            found.append(following[0]["first"] - moment)
    return found


def write_report(path: Path, summary: Summary) -> None:
    """Write the page."""
    path.write_text("\n".join(_lines(summary)) + "\n", encoding="utf-8")


def _lines(summary: Summary) -> Iterable[str]:
    yield from (
        "# Chaos run",
        "",
        f"`{summary.command}`",
        "",
        _where(summary),
        "",
        _outcome(summary),
        "",
        *(f"- {violation}" for violation in summary.violations[:100]),
        *(f"- falls short: {shortfall}" for shortfall in summary.shortfalls),
        "",
        "| fault | times | violation rate at most (95 %) |",
        "| --- | --- | --- |",
    )
    faults = dict(summary.done) | {"failpoint kills": sum(summary.hits.values())}
    for name, count in sorted(faults.items(), key=lambda item: -item[1]):
        yield f"| {name} | {count} | {_bound(count)} |"
    yield ""
    yield f"After a kill, until the turn's first new text: {_quantiles(summary.hand_overs)}."
    yield f"PostgreSQL away after a crash: {_quantiles(summary.outages)}."
    yield f"Starts refused because the database was away: {summary.starts_refused}."
    yield ""
    for title, counts in (
        ("Failpoints", summary.hits),
        ("Faults of the model", summary.faults),
        ("Turns", summary.statuses),
        ("Attempts a turn took", summary.attempts),
        ("What clients did", summary.deeds),
        ("What they saw", summary.records),
        ("Refusals", summary.refusals),
    ):
        listed = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items(), key=str))
        yield f"**{title}.** {listed}"
        yield ""
    yield "| planted bug | caught by |"
    yield "| --- | --- |"
    for name, clauses in sorted(summary.caught.items()):
        yield f"| {name} | {', '.join(clauses) or 'nothing'} |"


def _where(summary: Summary) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"Seed {summary.seed}; {summary.seconds / 60:.1f} minutes under load on {os.cpu_count()} "
        f"cores, {platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"{versions}."
    )


def _outcome(summary: Summary) -> str:
    each = summary.calls / max(1, summary.accepted)
    return (
        f"**{len(summary.violations)} violations** of {len(CLAUSES)} clauses in "
        f"{summary.accepted} accepted turns (rate at most {_bound(summary.accepted)}, 95 %); "
        f"{summary.calls} calls of the model, {each:.3f} a turn."
    )


def _bound(count: int) -> str:
    return f"{300 / count:.3f} %" if count else "nothing known"


def _quantiles(values: list[float]) -> str:
    if not values:
        return "no sample"
    ordered = sorted(values)
    middle, late = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {middle:.2f} s, p99 {late:.2f} s, longest {ordered[-1]:.2f} s, n={len(ordered)}"
