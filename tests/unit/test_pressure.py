"""How late an event loop is, and what share of new questions is refused for that.

May import: standard library, app, chatcore, pytest, uvloop.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from app.http.pressure import Pressure
from chatcore import ServiceOverloaded

LIMIT_SECONDS = 0.1
USUAL_SECONDS = 0.25
BLOCKED_SECONDS = 0.45
"""How long the loop stands still at a time."""
RECOVERY_SECONDS = 2.0

Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def run(request: pytest.FixtureRequest) -> Run:
    """Give what runs a test on the loop of the standard library, and on the one we serve with."""
    make: Callable[[], AbstractEventLoop] = request.param

    def run(test: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(test)

    return run


def refused_of(pressure: Pressure, count: int) -> int:
    """Return how many of so many questions are refused now."""
    refused = 0
    for _ in range(count):
        try:
            pressure.relieve()
        except ServiceOverloaded:
            refused += 1
    return refused


async def stand_still(seconds: float, *, times: int) -> None:
    """Block the loop, let everything run that waits, and block it again."""
    for _ in range(times):
        time.sleep(seconds)  # noqa: ASYNC251  # this is the fault
        for _ in range(3):
            await asyncio.sleep(0)


def test_rises_refuses_and_recovers(run: Run) -> None:
    """A loop that is always late refuses everybody in a second, and nobody soon afterwards."""

    async def test() -> None:
        pressure = Pressure(LIMIT_SECONDS)
        async with pressure.measured():
            await asyncio.sleep(0.3)
            assert pressure.lag_seconds < LIMIT_SECONDS
            assert refused_of(pressure, 100) == 0
            await stand_still(BLOCKED_SECONDS, times=8)
            assert pressure.lag_seconds > 2 * LIMIT_SECONDS
            assert refused_of(pressure, 100) == 100
            began = time.monotonic()
            while refused_of(pressure, 100):
                await asyncio.sleep(0.01)
            assert time.monotonic() - began < RECOVERY_SECONDS

    run(test())


@pytest.mark.parametrize("seconds", [0.6, 2.0])
def test_a_hiccup_refuses_nobody(run: Run, seconds: float) -> None:
    """One long collection of garbage, or one blocked call, is no overload, however long.

    A machine that stands still beside it makes two of them, and proves nothing: again, then.
    """

    async def refused() -> int | None:
        refused, pressure = 0, Pressure(USUAL_SECONDS)
        async with pressure.measured():
            if not await passes(0.15):
                return None
            await stand_still(seconds, times=1)
            for _ in range(50):
                refused += refused_of(pressure, 10)
                if not await passes(0.01):
                    return None
            assert 0 < pressure.lag_seconds < USUAL_SECONDS
        return refused

    async def test() -> None:
        for _ in range(10):
            if (found := await refused()) is not None:
                break
        assert found == 0

    run(test())


async def passes(seconds: float) -> bool:
    """Sleep; return whether the machine let us go on in time."""
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return time.monotonic() - began < seconds + 0.1


def test_no_rhythm_goes_unnoticed(run: Run) -> None:
    """A loop that stands still for as long as the timer waits is found late all the same."""

    async def test() -> None:
        pressure = Pressure(USUAL_SECONDS)
        found = []
        async with pressure.measured():
            for _ in range(20):
                await stand_still(0.1, times=1)
                found.append(pressure.lag_seconds)
        assert max(found[10:]) > 0.02

    run(test())


def test_zero_never_refuses(run: Run) -> None:
    """With a limit of 0 nothing is measured and nothing refused."""

    async def test() -> None:
        pressure = Pressure(0)
        async with pressure.measured():
            await stand_still(BLOCKED_SECONDS, times=4)
            assert refused_of(pressure, 100) == 0

    run(test())


def test_ends_when_the_service_does(run: Run) -> None:
    """Afterwards no timer is left, so that a process can end and a loop can be closed."""

    async def test() -> None:
        pressure = Pressure(LIMIT_SECONDS)
        async with pressure.measured():
            await asyncio.sleep(0.15)
        before = pressure.lag_seconds
        await stand_still(BLOCKED_SECONDS, times=4)
        assert pressure.lag_seconds == before

    run(test())


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [(0, 0, 0), (1, 0, 0), (1.25, 150, 350), (1.5, 400, 600), (1.75, 650, 850), (2, 1000, 1000)],
)
def test_the_share_grows(limits: float, least: int, most: int) -> None:
    """None up to the limit, all from twice the limit on, and in between as much as it is beyond."""
    pressure = Pressure(USUAL_SECONDS)
    pressure.lag_seconds = limits * USUAL_SECONDS
    assert least <= refused_of(pressure, 1000) <= most


def test_asking_costs_nothing() -> None:
    """While nothing is late a question costs a comparison: far less than a microsecond or two."""
    pressure = Pressure(USUAL_SECONDS)
    count = 100_000
    began = time.process_time()
    for _ in range(count):
        pressure.relieve()
    assert (time.process_time() - began) / count < 2e-6
