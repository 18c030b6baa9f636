"""Room 4, the door: an answer that is a stream of events.

May import: standard library, app, chatcore, litestar.

It holds a reader and nothing else: no transaction, no queue, nothing that a framework would clean
up before the stream ends. A client that leaves ends its reader, never the turn (guarantee G5); one
that reads slowly waits in its own `send`, and gets what came meanwhile in large pieces.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.http.events import MEDIA_TYPE, NATIVE, Rendering
from app.http.problems import Refused
from app.logs import get_logger
from chatcore import ServiceStopping, StorageUnavailable, TurnEnded, TurnLost, TurnReader

KEEP_ALIVE_SECONDS = 15.0
"""Longest silence: less than the idle time after which proxies cut a connection."""
KEEP_ALIVE_STATE = "keep_alive_seconds"
"""Where the application's state may name another."""

HEADERS = {
    # Whoever transforms a stream (compresses it, for one) holds it back.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}

_log = get_logger("http")


class EventStream(Response[Any]):
    """A reply while it is written, to its end.

    Args:
        reader: Where it is read. The stream closes it.
        rendering: What events look like.
        on_leave: Called if the client leaves before the end, to do what its protocol means by that.
    """

    def __init__(
        self,
        reader: TurnReader,
        rendering: Rendering = NATIVE,
        *,
        on_leave: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        replayed = {"Idempotent-Replayed": "true"} if reader.repeated else {}
        headers = HEADERS | dict(rendering.headers) | replayed
        super().__init__(None, headers=headers, media_type=MEDIA_TYPE)
        self._reader = reader
        self._rendering = rendering
        self._on_leave = on_leave

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:
        """Return what sends it."""
        seconds = request.app.state.get(KEEP_ALIVE_STATE, KEEP_ALIVE_SECONDS)
        return _Reading(
            self._reader,
            self._rendering,
            headers=self.headers,
            keep_alive_seconds=seconds,
            on_leave=self._on_leave,
        )


class Sending(ASGIResponse):
    """Sends blocks until the last one, or until the client leaves.

    Args:
        headers: Of the answer.
        keep_alive_seconds: Longest silence.
    """

    _should_set_content_length = False

    def __init__(self, *, headers: dict[str, Any], keep_alive_seconds: float) -> None:
        super().__init__(headers=headers, media_type=MEDIA_TYPE, status_code=200)
        self.keep_alive_seconds = keep_alive_seconds
        self._is_whole = False

    @abstractmethod
    async def next_block(self) -> tuple[bytes, bool]:
        """Return what to send next, and whether it is the last; empty: nothing to be told."""

    async def on_left(self) -> None:
        """Do what it means that the client left before the end; nothing, unless overridden."""

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send what comes, and listen for the client's leaving meanwhile."""
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(_listen(receive))
                await self._send_all(send)
                listening.cancel()
        except* _ClientLeft:
            if not self._is_whole:
                await self.on_left()
                # Only somebody hears this who announced a body and is there.
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send) -> None:
        while not self._is_whole:
            block, self._is_whole = await self.next_block()
            if block or self._is_whole:
                more = not self._is_whole
                # The server waits here for a client that does not read.
                await send({"type": "http.response.body", "body": block, "more_body": more})


class _Reading(Sending):
    """Sends what a reader reads."""

    def __init__(
        self,
        reader: TurnReader,
        rendering: Rendering,
        *,
        headers: dict[str, Any],
        keep_alive_seconds: float,
        on_leave: Callable[[], Awaitable[object]] | None,
    ) -> None:
        super().__init__(headers=headers, keep_alive_seconds=keep_alive_seconds)
        self._reader = reader
        self._rendering = rendering
        self._on_leave = on_leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        with self._reader:
            await super().__call__(scope, receive, send)

    async def on_left(self) -> None:
        """Do what the protocol means by that."""
        if self._on_leave is not None:
            await self._on_leave()

    async def next_block(self) -> tuple[bytes, bool]:
        """Return what to send next, and whether it is the last."""
        try:
            event = await self._reader.next_event(within_seconds=self.keep_alive_seconds)
            if event is None:
                return self._rendering.keep_alive, False
            return self._rendering.encode(event), isinstance(event, TurnEnded)
        except TurnLost as error:
            return self._rendering.encode_lost(error), True
        except (ServiceStopping, StorageUnavailable):
            return self._rendering.come_back(), True
        except Exception as error:  # noqa: BLE001  # the answer has begun: it can only end early
            _log.error("stream_broken", error=error)
            return self._rendering.come_back(), True


async def until_left(receive: Receive) -> None:
    """Wait for the client's leaving, past what is left of its body, or until that does not come."""
    with suppress(Refused):
        while (await receive())["type"] != "http.disconnect":
            pass


class _ClientLeft(Exception):
    """Nobody reads on."""


async def _listen(receive: Receive) -> None:
    await until_left(receive)
    raise _ClientLeft
