"""Beside the rooms: single runs, and what many of them say together.

May import: standard library, benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.errors import BenchmarkError

DISTURBED_SHARE = 0.3
"""CPU that others used meanwhile, in cores, above which a run counts as disturbed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """CPU milliseconds that were used up to a moment, or between two."""

    app: float
    postgres: float
    provider: float
    machine: float

    def since(self, before: Used) -> Used:
        """Return what was used from then until now."""
        return Used(
            app=self.app - before.app,
            postgres=self.postgres - before.postgres,
            provider=self.provider - before.provider,
            machine=self.machine - before.machine,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one system.

    Attributes:
        turns: Requests that were answered in full, the warm-up included.
        turns_per_s: After the warm-up.
        p50: Of whole answers, in milliseconds; so are the others. -1 where nothing was timed.
        ttft_p50: To the first token.
        gap_p99: Between two tokens.
        app_ms: CPU milliseconds of the application's processes a turn; so are the next two.
        others_share: CPU that others used meanwhile, the kernel's interrupts included, in cores.
        rss_mib: Memory of the application's processes at the end.
    """

    system: str
    profile: str
    round: int
    turns: int
    errors: int
    first_error: str
    turns_per_s: float
    p50: float
    p95: float
    p99: float
    tokens: int
    ttft_p50: float
    ttft_p99: float
    gap_p99: float
    app_ms: float
    postgres_ms: float
    load_ms: float
    others_share: float
    rss_mib: float

    @property
    def is_disturbed(self) -> bool:
        """Whether somebody else used so much CPU that times and throughput say little."""
        return self.others_share > DISTURBED_SHARE

    def checked(self) -> Sample:
        """Return itself.

        Raises:
            BenchmarkError: It has errors, or nothing was answered.
        """
        if self.errors or not self.turns:
            raise BenchmarkError(
                f"{self.system}, {self.profile}: {self.errors} errors in {self.turns} turns; "
                f"the first: {self.first_error or 'nothing was answered'}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Spread:
    """What several runs gave."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        ordered = sorted(values)
        return cls(median(ordered), ordered[0], ordered[-1])


Value = Callable[[Sample], float]
_COUNTS = ("turns", "errors", "turns_per_s", "tokens")
_TIMES = ("p50", "p95", "p99", "ttft_p50", "ttft_p99", "gap_p99")


def make_sample(
    loads: Sequence[Mapping[str, Any]],
    used: Used,
    *,
    system: str,
    profile: str,
    round_: int,
    rss_mib: float,
) -> Sample:
    """Return one sample of what load generators printed that ran at the same time.

    Counts are added up; of times the worst is taken.
    """
    counts: dict[str, Any] = {name: sum(load[name] for load in loads) for name in _COUNTS}
    times: dict[str, Any] = {name: float(max(load[name] for load in loads)) for name in _TIMES}
    load_ms = sum(load["load_cpu_ms"] for load in loads)
    wall_ms = max(load["wall_s"] for load in loads) * 1000
    others_ms = used.machine - used.app - used.postgres - used.provider - load_ms
    each = 1 / max(1, counts["turns"])
    return Sample(
        system=system,
        profile=profile,
        round=round_,
        first_error=next((load["first_error"] for load in loads if load["first_error"]), ""),
        app_ms=used.app * each,
        postgres_ms=used.postgres * each,
        load_ms=load_ms * each,
        others_share=others_ms / wall_ms,
        rss_mib=rss_mib,
        **counts,
        **times,
    )


def of(samples: Iterable[Sample], system: str, profile: str) -> list[Sample]:
    """Return one system's runs of one profile, by round."""
    found = [each for each in samples if each.system == system and each.profile == profile]
    return sorted(found, key=lambda each: each.round)


def ratio(over: Sequence[Sample], under: Sequence[Sample], value: Value) -> Spread:
    """Return how many times one is of the other, taken round by round.

    Raises:
        BenchmarkError: They have no round in common.
    """
    rounds = {each.round: value(each) for each in under}
    found = [value(each) / rounds[each.round] for each in over if each.round in rounds]
    if not found:
        raise BenchmarkError("two systems that are to be compared have no round in common")
    return Spread.of(found)
