"""Fixtures of the tests of the AI SDK door.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.doors.ai_sdk.pages import Browser
from tests.doors.node.harness import process, projects
from tests.doors.node.harness.process import NodeProcess
from tests.http.door import Door, open_door
from tests.http.sockets import Place, serving

USE_CHAT = projects.PROJECTS / "harness" / "use_chat.mjs"


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Give the application without a socket."""
    async with open_door() as opened:
        yield opened


@pytest.fixture
async def served(door: Door) -> AsyncIterator[Place]:
    """Give the same application behind a real server on a loopback socket."""
    async with serving(door.app) as (place, _):
        yield place


@pytest.fixture(scope="session", params=["ai6", "ai7"])
def program(request: pytest.FixtureRequest) -> Iterator[NodeProcess]:
    """Give a program that pages live in, with each version of the client."""
    node = projects.node()
    with process.kept(node, projects.placed(request.param, USE_CHAT)) as running:
        yield running


@pytest.fixture
async def browser(served: Place, program: NodeProcess) -> AsyncIterator[Browser]:
    """Give pages made with each version of the client."""
    opened = Browser(program, served)
    yield opened
    await opened.close()
