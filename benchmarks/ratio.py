"""Beside the rooms: the short check that chatcore stays far below the peer.

May import: standard library, benchmarks.

CPU a turn is the figure that other work on the machine spoils least; taken round by round, its
ratio hardly moves.
"""

from __future__ import annotations

from benchmarks.profiles import STREAM, TURN
from benchmarks.races import line_up, race
from benchmarks.report import spread
from benchmarks.rig import Rig
from benchmarks.samples import Sample, Spread, of, ratio
from benchmarks.systems import CHATCORE, PEER

LEAST = 5.0
ROUNDS = 3
SECONDS = 1.2


def check_ratio(rig: Rig, *, least: float, rounds: int, seconds: float) -> bool:
    """Compare JSON and streamed turns with the peer's, print what was found, and judge it.

    What falls short is measured once more, as often: one disturbed round must not decide.
    """
    apps = line_up(rig, (PEER, CHATCORE))
    is_good = True
    for profile in (TURN, STREAM):
        samples = race(rig, apps, profile, rounds=range(rounds), seconds=seconds)
        found = compare(samples, profile.name)
        if found.median < least:
            again = range(rounds, 2 * rounds)
            samples += race(rig, apps, profile, rounds=again, seconds=seconds)
            found = compare(samples, profile.name)
        falls_short = found.median < least
        verdict = f", which is below {least:g}" if falls_short else ""
        print(f"{profile.name}: the peer needs {spread(found)} times the CPU of chatcore{verdict}")
        is_good = is_good and not falls_short
    return is_good


def compare(samples: list[Sample], profile: str) -> Spread:
    """Return how many times of chatcore's CPU the peer needs, round by round."""
    theirs, ours = (of(samples, each.name, profile) for each in (PEER, CHATCORE))
    return ratio(theirs, ours, lambda each: each.app_ms)
