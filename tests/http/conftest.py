"""Fixtures of the tests of the door.

May import: standard library, pytest, structlog, tests.http, uvicorn.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
import uvicorn

from tests.http.door import Door, open_door


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
async def served(door: Door) -> AsyncIterator[tuple[str, int]]:
    """Give the same application behind a real server on a loopback socket."""
    bound = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        door.app, lifespan="off", log_config=None, access_log=False, server_header=False, ws="none"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:  # uvicorn offers nothing to wait for
        await asyncio.sleep(0.01)
    yield bound.getsockname()[:2]
    server.should_exit = True
    await task
