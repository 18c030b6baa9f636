"""Fixtures of the tests of the OpenAI door.

May import: standard library, openai, pytest, tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from tests.doors.openai.client import client_of
from tests.http.door import VISITOR_A, VISITOR_B, Door, open_door
from tests.http.sockets import Place, serving


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Give the application without a socket; however busy this machine is, it refuses nothing."""
    async with open_door(LOG_LEVEL="debug", OVERLOAD_LAG_SECONDS="0") as opened:
        yield opened


@pytest.fixture
async def served(door: Door) -> AsyncIterator[Place]:
    """Give the same application behind a real server on a loopback socket."""
    async with serving(door.app) as (place, _):
        yield place


@pytest.fixture
async def anna(served: Place) -> AsyncIterator[AsyncOpenAI]:
    """Give OpenAI's own client, as one visitor uses it."""
    async with client_of(served, VISITOR_A) as client:
        yield client


@pytest.fixture
async def ben(served: Place) -> AsyncIterator[AsyncOpenAI]:
    """Give the same, as another visitor uses it."""
    async with client_of(served, VISITOR_B) as client:
        yield client
