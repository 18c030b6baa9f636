"""Room 4, the door: a reply, whole or while it is written.

May import: standard library, app, chatcore, litestar, msgspec.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.http import wire
from app.http.event_stream import EventStream
from app.http.views import ChatReply
from chatcore import Answer, TurnReader

_encode = msgspec.json.Encoder().encode
_REPLAYED = (b"idempotent-replayed", b"true")


class JsonReply(Response[ChatReply]):
    """A stored reply, encoded straight to bytes.

    Args:
        view: What is shown.
        repeated: Whether it is said again.
    """

    def __init__(self, view: ChatReply, *, repeated: bool) -> None:
        super().__init__(view)
        self._is_repeated = repeated

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **_: Any) -> ASGIResponse:
        """Return what sends it."""
        return _Ready(_encode(self.content), repeated=self._is_repeated)


class _Ready(ASGIResponse):
    """Bytes to send; nothing of what Litestar's own can add applies, and it takes time."""

    def __init__(self, body: bytes, *, repeated: bool) -> None:
        self.body = body
        self._is_repeated = repeated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self.body)).encode()),
            *([_REPLAYED] if self._is_repeated else ()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def show_reply(reply: Answer | TurnReader) -> Response[ChatReply]:
    """Return a stored reply as JSON, or one that is read while it is written as a stream."""
    if isinstance(reply, TurnReader):
        return EventStream(reply)
    return JsonReply(wire.view_reply(reply), repeated=reply.repeated)
