"""Room 1, the hexagon: the tasks that turns live in.

May import: standard library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Keeps a hold of tasks, so that none is collected while it runs."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start a task of its own."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def wait(self, *, timeout_seconds: float) -> None:
        """Wait until all have ended, or for so long."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_seconds)
