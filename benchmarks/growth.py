"""Beside the rooms: what chatcore costs when there is much, and when there are many of it.

May import: standard library, benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from benchmarks.filling import Group, fill
from benchmarks.profiles import TURN
from benchmarks.rig import Rig
from benchmarks.samples import Sample, Spread, of, ratio
from benchmarks.systems import CHATCORE

SECONDS = 2.5
_ALONE = ("-c", "1", "-w", "0.3")  # one at a time: the long session is one session
_REPLICAS_CONNECTIONS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that is asked, at one size.

    Attributes:
        options: Of the load generator.
        smallest: The name of the step that it is compared with.
    """

    name: str
    options: tuple[str, ...]
    smallest: str


def growth(rig: Rig, *, rounds: int) -> list[Step]:
    """Measure turns and pages at all sizes, and return the steps; the samples are the rig's."""
    app = rig.start(CHATCORE)
    few = _visitors_group("few", digit=1, sessions=10, messages=10)
    many = _visitors_group("many", digit=2, sessions=10_000, messages=10)
    long = _visitors_group("long", digit=3, sessions=1, messages=10_000)
    longest = _visitors_group("longest", digit=4, sessions=1, messages=1_000_000)
    fill(rig.postgres, app.database, few, many, long, longest)
    rig.warm_up(app)
    sizes = {"10": ("many", many), "10,000": ("long", long), "1,000,000": ("longest", longest)}
    steps = _steps_of_one(rig, sizes)
    pages = {f"{n:,} of the owner": name for n, name in ((10, "few"), (10_000, "many"))}
    steps += [
        Step(
            name=f"page of 10 sessions, {size}",
            options=("-g", "-u", "/sessions?limit=10", "-e", '"items"', *_header(name)),
            smallest=f"page of 10 sessions, {next(iter(pages))}",
        )
        for size, name in pages.items()
    ]
    for round_ in range(1, rounds + 1):
        for step in steps:
            options = (*_ALONE, *step.options)
            rig.measure(
                [app], TURN, round_=round_, seconds=SECONDS, options=options, name=step.name
            )
    rig.stop(app)
    return steps


def replicas(rig: Rig, *, most: int, rounds: int, seconds: float | None) -> list[str]:
    """Measure 1 to `most` processes on one database, and return the profiles' names."""
    apps = [rig.start(CHATCORE)]
    apps += [rig.start(CHATCORE, database=apps[0].database) for _ in range(1, most)]
    for app in apps:
        rig.warm_up(app)
    names = [f"{count} process{'es' * (count > 1)}" for count in range(1, most + 1)]
    for round_ in range(1, rounds + 1):
        for count, name in enumerate(names, start=1):
            options = ("-c", str(_REPLICAS_CONNECTIONS // count))
            rig.measure(
                apps[:count], TURN, round_=round_, seconds=seconds, options=options, name=name
            )
    for app in apps:
        rig.stop(app)
    return names


def times_the_smallest(samples: Sequence[Sample], step: Step) -> tuple[Spread, Spread]:
    """Return how many times of the smallest size a step takes: latency, and CPU of all."""
    here, there = (of(samples, CHATCORE.name, name) for name in (step.name, step.smallest))
    return (
        ratio(here, there, lambda each: each.p50),
        ratio(here, there, lambda each: each.app_ms + each.postgres_ms),
    )


def _steps_of_one(rig: Rig, sizes: dict[str, tuple[str, Group]]) -> list[Step]:
    steps = []
    for kind, options in (
        ("turn", ()),
        ("page of 10 messages", ("-g", "-u", "/sessions/%S/messages?limit=10", "-e", '"items"')),
    ):
        for size, (name, group) in sizes.items():
            sessions = str(group.write_ids(rig.folder / f"sessions-{group.digit}"))
            steps.append(
                Step(
                    name=f"{kind}, {size} in the session",
                    options=(*options, "-S", sessions, *_header(name)),
                    smallest=f"{kind}, {next(iter(sizes))} in the session",
                )
            )
    return steps


def _token(name: str) -> str:
    return f"visitor-{name:x<32}"


def _header(name: str) -> tuple[str, str]:
    return ("-H", f"Authorization: Bearer {_token(name)}")


def _visitors_group(name: str, *, digit: int, sessions: int, messages: int) -> Group:
    owner = f"visitor:{sha256(_token(name).encode()).hexdigest()}"
    return Group(owner=owner, digit=digit, sessions=sessions, messages=messages)
