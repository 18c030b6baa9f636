"""Fixtures of the tests of the ChatKit door.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.doors.chatkit.frontend import Frontend
from tests.http.door import VISITOR_A, Door, open_door
from tests.http.sockets import Place, serving

GRACE_SECONDS = 0.9


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Give the application on memory adapters, with a short grace."""
    async with open_door(LOG_LEVEL="debug", LLM_MAX_ATTEMPTS="2") as opened:
        opened.app.state.chatkit_grace_seconds = GRACE_SECONDS
        yield opened


@pytest.fixture
async def served(door: Door) -> AsyncIterator[Place]:
    """Give the same application behind a real server on a loopback socket."""
    async with serving(door.app) as (place, _):
        yield place


@pytest.fixture
def page(served: Place) -> Frontend:
    """Give the page of a visitor."""
    return Frontend(served, VISITOR_A)


@pytest.fixture
def anybody(served: Place) -> Frontend:
    """Give the page of nobody in particular."""
    return Frontend(served)
