"""What a serving process does to itself.

May import: standard library, app, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator

import pytest

from app.process import drain_on_signals, relax_garbage_collector
from tests.http.door import Door, problem_of


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Put handlers of our own in place, as a server does, and give the signals they got."""
    numbers: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda got, _: numbers.append(got))
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_begins_the_drain(
    door: Door, heard: list[int], number: signal.Signals
) -> None:
    """The first signal closes admission at once, and the server's own handler gets it too."""
    await drain_on_signals(door.app.state.lifecycle)()
    await door.ask()
    signal.raise_signal(number)
    await asyncio.sleep(0.01)
    assert heard == [number]
    answer = await door.client.post("/chat", json={"message": "x"})
    assert (answer.status_code, problem_of(answer)["code"]) == (503, "service_stopping")
    assert (await door.client.get("/health/ready")).status_code == 503


def test_collections_become_rare() -> None:
    """The garbage collector runs less often than by default, and skips what was there."""
    before = gc.get_threshold()
    try:
        relax_garbage_collector()
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
