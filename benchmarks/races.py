"""Beside the rooms: systems side by side, in turn: a b c a b c.

May import: standard library, benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import correctness
from benchmarks.machine import rss_mib
from benchmarks.profiles import Profile, open_streams, slow_streams
from benchmarks.rig import App, Rig, await_load, pause
from benchmarks.samples import Sample, Spread
from benchmarks.systems import ALL, System

GAP_MS = 100.0
"""A slow stream is held if, of all gaps, the 99th percentile is below this,"""
LATE_MS = 250.0
"""and if, of all first tokens, the 99th percentile is less than this late."""
FEW_STREAMS, MANY_STREAMS = 20, 220

_TOKENS_A_SECOND = 50
_STEP = 1.2


def line_up(rig: Rig, systems: Sequence[System] = ALL) -> list[App]:
    """Start systems, see that they do the work, and warm them up.

    Raises:
        BenchmarkError: One of them does not.
    """
    apps = [rig.start(system) for system in systems]
    for app in apps:
        correctness.check(rig, app)
        rig.warm_up(app)
    return apps


def race(
    rig: Rig,
    apps: Sequence[App],
    profile: Profile,
    *,
    rounds: range,
    seconds: float | None = None,
) -> list[Sample]:
    """Measure every system once a round."""
    return [
        rig.measure([app], profile, round_=round_, seconds=seconds)
        for round_ in rounds
        for app in apps
    ]


def most_streams(rig: Rig, apps: Sequence[App], *, rounds: int) -> dict[str, Spread]:
    """Return how many slow streams each system holds, with one process."""
    found: dict[str, list[int]] = {app.system.name: [] for app in apps}
    for round_ in range(1, rounds + 1):
        for app in apps:
            before = found[app.system.name]
            guess = int(before[-1] / _STEP) if before else _guess(rig, app)
            before.append(_most(rig, app, guess, round_))
    return {name: Spread.of(counts) for name, counts in found.items()}


def memory(rig: Rig, systems: Sequence[System] = ALL, *, rounds: int) -> dict[str, list[Spread]]:
    """Return each system's memory at rest in MiB, and what an open stream adds to it in KiB.

    A process gives little back once it had it: every round has fresh ones.
    """
    idle: dict[str, list[float]] = {system.name: [] for system in systems}
    each: dict[str, list[float]] = {system.name: [] for system in systems}
    for _ in range(rounds):
        for system in systems:
            app = rig.start(system)
            pause(1.0)
            idle[system.name].append(rss_mib(app.program.pid))
            rig.warm_up(app)
            few, many = (_with_open(rig, app, n) for n in (FEW_STREAMS, MANY_STREAMS))
            each[system.name].append((many - few) * 1024 / (MANY_STREAMS - FEW_STREAMS))
            rig.stop(app)
    return {name: [Spread.of(idle[name]), Spread.of(each[name])] for name in idle}


def is_held(sample: Sample, latency_ms: float) -> bool:
    """Tell whether all streams came as they should.

    The gaps alone prove nothing: where a server is late, its clients wait for first tokens instead.
    """
    is_late = sample.ttft_p99 >= latency_ms + LATE_MS
    return sample.gap_p99 < GAP_MS and not is_late and not sample.errors


def _guess(rig: Rig, app: App) -> int:
    """Return four fifths of what the CPU could bear if a token's cost stayed as it is for a few."""
    few = rig.measure([app], slow_streams(FEW_STREAMS), round_=0, keep=False)
    app_ms_a_token = few.app_ms * few.turns / few.tokens
    return max(1, int(0.8 * 1000 / _TOKENS_A_SECOND / app_ms_a_token))


def _most(rig: Rig, app: App, guess: int, round_: int) -> int:
    if _holds(rig, app, guess, round_):
        while _holds(rig, app, more := int(guess * _STEP) + 1, round_):
            guess = more
        return guess
    while guess > 1 and not _holds(rig, app, guess := int(guess / _STEP), round_):
        pass
    return guess


def _holds(rig: Rig, app: App, streams: int, round_: int) -> bool:
    profile = slow_streams(streams)
    sample = rig.measure([app], profile, round_=round_, may_fail=True)
    return is_held(sample, profile.latency_ms)


def _with_open(rig: Rig, app: App, streams: int) -> float:
    """Return the memory in use while so many streams are open."""
    profile = open_streams(streams)
    rig.configure_provider(profile.provider)
    load = rig.load(app, profile, seconds=profile.seconds)
    pause(profile.seconds)
    found = rss_mib(app.program.pid)
    await_load(load, profile.seconds)
    return found
