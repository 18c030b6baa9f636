"""Fixtures of the tests in a browser: one Chromium a process, a profile of its own for each test.

May import: standard library, playwright, pytest, pytest_asyncio, tests.browser.

All of them run in one event loop, that of the browser: `pytestmark` in each module says so.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.chat import Chat
from tests.browser.site import Site, open_site
from tests.browser.visitor import SIZES, Visitor, visiting

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Give a running Chromium, or skip where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("needs a Chromium: Debian's package chromium, see .ci/run")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        await started.close()


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> dict[str, int]:
    """Give the size of a window: each test runs on a desktop and on a phone."""
    return SIZES[request.param]


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Site]:
    """Give a service of the test's own."""
    async with open_site() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, site: Site, size: dict[str, int]) -> AsyncIterator[Visitor]:
    """Give a visitor of that service, and judge at the end what was seen."""
    async with visiting(browser, site.address, size) as came:
        yield came


@pytest_asyncio.fixture(loop_scope="session")
async def chat(visitor: Visitor) -> Chat:
    """Give the open chat in the visitor's first tab."""
    return await visitor.tab()
