"""Room 4, the door: an answer that is not kept, as a stream of events.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.doors.openai.errors import log_model_failure
from app.doors.openai.leaving import Pump, while_there
from app.http.event_stream import HEADERS, KEEP_ALIVE_SECONDS, KEEP_ALIVE_STATE, Sending
from app.http.events import BARE_KEEP_ALIVE, MEDIA_TYPE
from app.logs import get_logger
from chatcore import ChatError, LLMDelta, LLMEnded

_log = get_logger("http")


class PassingRendering(Protocol):
    """How an answer that is not kept is told."""

    @abstractmethod
    def begin(self) -> bytes:
        """Return what comes first."""
        ...

    @abstractmethod
    def add(self, text: str) -> bytes:
        """Return the next piece."""
        ...

    @abstractmethod
    def end(self, ended: LLMEnded) -> bytes:
        """Return what comes last."""
        ...

    @abstractmethod
    def fail(self, error: Exception) -> bytes:
        """Return the last words of an answer that broke off."""
        ...


class PassingStream(Response[Any]):
    """An answer while it is written, to its end; the client's leaving ends it.

    Args:
        pump: Where it comes from. The stream closes it.
        rendering: What it looks like.
    """

    def __init__(self, pump: Pump, rendering: PassingRendering) -> None:
        super().__init__(None, headers=HEADERS, media_type=MEDIA_TYPE)
        self._pump = pump
        self._rendering = rendering

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:
        """Return what sends it."""
        seconds = request.app.state.get(KEEP_ALIVE_STATE, KEEP_ALIVE_SECONDS)
        return _Passing(
            self._pump, self._rendering, headers=self.headers, keep_alive_seconds=seconds
        )


async def begin_passing(
    request: Request[Any, Any, Any], pump: Pump, rendering: PassingRendering
) -> PassingStream:
    """Return the stream of an answer whose first content is there.

    Until then whatever goes wrong can still be told by a status.

    Raises:
        ChatError: There is no answer.
        Refused: The client left.
    """
    try:
        await while_there(request, pump.next_event())
    except BaseException:
        await pump.close()
        raise
    return PassingStream(pump, rendering)


class _Passing(Sending):
    """Sends what a pump brings. A client that leaves ends it, and so the call of the model."""

    def __init__(
        self,
        pump: Pump,
        rendering: PassingRendering,
        *,
        headers: dict[str, Any],
        keep_alive_seconds: float,
    ) -> None:
        super().__init__(headers=headers, keep_alive_seconds=keep_alive_seconds)
        self._pump = pump
        self._rendering = rendering
        self._is_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pump.close()

    async def next_block(self) -> tuple[bytes, bool]:
        """Return what to send next, and whether it is the last."""
        if not self._is_begun:
            self._is_begun = True
            return self._rendering.begin(), False
        try:
            event = await self._pump.next_event(within_seconds=self.keep_alive_seconds)
        except Exception as error:  # noqa: BLE001  # the answer has begun: it can only end early
            if not isinstance(error, ChatError):
                _log.error("stream_broken", error=error)
            log_model_failure(error)
            return self._rendering.fail(error), True
        if event is None:
            return BARE_KEEP_ALIVE, False
        if isinstance(event, LLMDelta):
            return self._rendering.add(event.text), False
        if isinstance(event, LLMEnded):
            return self._rendering.end(event), True
        return b"", False
