"""Room 4, the door: a reply, whole or while it is written.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from litestar import Response

from app.http import wire
from app.http.event_stream import EventStream
from app.http.views import ChatReply
from chatcore import Answer, TurnReader


def show_reply(reply: Answer | TurnReader) -> Response[ChatReply]:
    """Return a stored reply as JSON, or one that is read while it is written as a stream."""
    if isinstance(reply, TurnReader):
        return EventStream(reply)
    headers = {"Idempotent-Replayed": "true"} if reply.repeated else None
    return Response(wire.view_reply(reply), headers=headers)
