"""Room 4, the door: work that nobody keeps ends when who asked for it leaves.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from litestar import Request

from app.http.event_stream import until_left
from app.http.problems import Refused
from chatcore import LLMEvent

T = TypeVar("T")


async def while_there(request: Request[Any, Any, Any], work: Coroutine[Any, Any, T]) -> T:
    """Return what comes of some work, unless the client leaves before that: then end it.

    Raises:
        Refused: It left; nobody reads the answer.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.create_task(until_left(request.receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refused("bad_request")
    finally:
        leaving.cancel()
        task.cancel()
        # Its resources are free when this is over.
        await asyncio.wait({task, leaving})
        _ = task.cancelled() or task.exception()


class Pump:
    """Reads a model's answer in a task of its own, since its limits belong to one task.

    It reads ahead of a slow client as far as the answer goes, which is not further than the longest
    answer there may be: a client that does not read must not hold a call of the model open.

    Args:
        events: The answer.
    """

    def __init__(self, events: AsyncGenerator[LLMEvent, None]) -> None:
        self._events = events
        self._queue: asyncio.Queue[LLMEvent | Exception] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(), name="answer that is not kept")

    async def next_event(self, *, within_seconds: float | None = None) -> LLMEvent | None:
        """Return the next event; None if there was none in that time.

        Raises:
            Exception: Whatever the answer ended with.
        """
        try:
            async with asyncio.timeout(within_seconds):
                found = await self._queue.get()
        except TimeoutError:
            return None
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        """End the call of the model, if it goes on."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    self._queue.put_nowait(event)
        except Exception as error:  # noqa: BLE001  # whoever reads gets it
            self._queue.put_nowait(error)
