"""Fixtures of the tests of the door.

May import: standard library, pytest, structlog, tests.http.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from tests.http.door import Door, open_door
from tests.http.sockets import Place, serving


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a test did to the process's logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Give the application without a socket."""
    async with open_door(LOG_LEVEL="debug") as opened:
        yield opened


@pytest.fixture
async def served(door: Door) -> AsyncIterator[Place]:
    """Give the same application behind a real server on a loopback socket."""
    async with serving(door.app) as (place, _):
        yield place
