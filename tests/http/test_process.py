"""What a serving process does to itself.

May import: standard library, app, litestar, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.types import Receive, Scope, Send

from app.process import OpenRequests, drain_on_signals, relax_garbage_collector
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
    await drain_on_signals(door.app.state.lifecycle, OpenRequests(never))()
    await door.ask()
    signal.raise_signal(number)
    await asyncio.sleep(0.01)
    assert heard == [number]
    answer = await door.client.post("/chat", json={"message": "x"})
    assert (answer.status_code, problem_of(answer)["code"]) == (503, "service_stopping")
    assert (await door.client.get("/health/ready")).status_code == 503


async def test_what_is_open_after_the_drain_is_cut_off(door: Door, heard: list[int]) -> None:
    """A client that is merely slow does not keep the process: its request ends with the drain."""
    requests = OpenRequests(never)
    await drain_on_signals(door.app.state.lifecycle, requests)()
    scope: Any = {"type": "http"}
    hanging = asyncio.create_task(requests(scope, nothing, ignore))
    await asyncio.sleep(0.01)
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    done, _ = await asyncio.wait([hanging], timeout=5)
    assert done == {hanging}
    assert hanging.cancelled()


async def test_what_ended_is_not_cut_off() -> None:
    """Nothing of a request stays behind: its task may be doing something else by then."""
    requests = OpenRequests(at_once)
    scope: Any = {"type": "http"}
    await requests(scope, nothing, ignore)
    requests.cut_off()
    await asyncio.sleep(0.01)  # here this very task would be cancelled


async def at_once(_: Scope, __: Receive, ___: Send) -> None:
    """Be done."""


async def never(_: Scope, __: Receive, ___: Send) -> None:
    """Answer nothing, for ever."""
    await asyncio.Event().wait()


async def nothing() -> Any:
    """Receive nothing."""


async def ignore(_: Any) -> None:
    """Send nothing."""


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
