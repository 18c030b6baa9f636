"""The service with a page, on memory adapters and a real socket, in the loop of the tests.

May import: standard library, chatcore, structlog, tests.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from chatcore import Quote
from tests.browser.wire import Wire
from tests.http.door import Dictation, Door, ServedLLM, open_door
from tests.http.sockets import serving


@dataclass(frozen=True)
class Site:
    """A service, what is behind it, and the way to it."""

    door: Door
    wire: Wire

    @property
    def address(self) -> str:
        """Where the browser finds it."""
        return self.wire.address

    @property
    def llm(self) -> ServedLLM:
        """The model, which says what it is told to."""
        return self.door.llm

    def quotes(self) -> list[Quote]:
        """Return all passages that questions were stored with."""
        sessions = self.door.repository._kept.values()
        return [m.quote for kept in sessions for m in kept.messages() if m.quote is not None]

    def dictate(self) -> Dictation:
        """Return what the next call of the model answers, as it is said."""
        return self.door.llm.dictate()


@asynccontextmanager
async def open_site(**settings: str) -> AsyncIterator[Site]:
    """Run a service with these settings."""
    async with (
        _logging_as_before(),
        open_door(**settings) as door,
        serving(door.app) as (place, _),
        Wire(place) as wire,
    ):
        yield Site(door, wire)


@asynccontextmanager
async def _logging_as_before() -> AsyncIterator[None]:
    """Undo what the service does to the process's logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
