"""Room 4, the door: a kept response while it is written, or any time later.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.doors.openai.errors import Wrong
from app.doors.openai.response_events import CELL_CHARS, FIRST_TEXT, ResponseEvents, cells_seen
from app.doors.openai.views import Facts, view_response
from app.http.event_stream import EventStream
from app.http.events import BARE_KEEP_ALIVE, Rendering
from chatcore import (
    ChatService,
    OwnerId,
    ReplyDelta,
    ReplyPosition,
    ReplyRestarted,
    Turn,
    TurnEnded,
    TurnEvent,
    TurnLost,
    TurnOpened,
)

"""A comment without an empty line after it: the only form that every client's parser takes."""

_GOES_ON = (
    "stream_interrupted",
    "The response goes on: stream it again, starting after this sequence number.",
)
_RESTARTED = (
    "stream_restarted",
    "The model began its answer anew; what was streamed of it counts no more: stream it all again.",
)
_LOST = ("response_not_found", "The response was deleted meanwhile.")


class ResponseRendering(Rendering):
    """The events of a response, numbered.

    Args:
        facts: What is known of it.
        after: Number of the last event that the reader has seen; -1: none.
    """

    headers: Mapping[str, str] = {}
    keep_alive = BARE_KEEP_ALIVE

    def __init__(self, facts: Facts, *, after: int = -1) -> None:
        self._facts = facts
        self._events = ResponseEvents(view_response(facts), item_id=facts.item_id, after=after)
        self._farewell = _LOST

    def encode(self, event: TurnEvent) -> bytes:
        """Return what an event of the turn is here; most deltas are several events, or none yet.

        Raises:
            TurnLost: A new attempt began when text of the old one had been sent: this protocol
                cannot take text back, so the stream has to end.
        """
        match event:
            case ReplyDelta():
                return self._events.add(event.text)
            case TurnOpened():
                return self._events.begin()
            case ReplyRestarted():
                self._events.start_over()
                if self._events.has_sent_text:
                    self._farewell = _RESTARTED
                    raise TurnLost(self._facts.turn_id)
                return b""
            case TurnEnded():
                return self._end(event.turn)

    def encode_lost(self, error: TurnLost) -> bytes:
        """Return why the stream ends."""
        return self._events.break_off(*self._farewell)

    def come_back(self) -> bytes:
        """Return where to go on."""
        return self._events.break_off(*_GOES_ON)

    def _end(self, turn: Turn) -> bytes:
        text = "" if turn.reply is None else turn.reply.content
        return self._events.end(view_response(self._facts, turn), text)


async def follow_response(
    service: ChatService, owner_id: OwnerId, turn: Turn, facts: Facts, *, after: int
) -> EventStream:
    """Return the stream of a response from any event on.

    Args:
        service: Where it is read.
        owner_id: Whose response.
        turn: Its turn as it was just found.
        facts: What is known of it.
        after: Number of the last event that the reader has seen; -1: none.

    Raises:
        Wrong: The reader has seen text that counts no more.
        TurnNotFound: It was deleted meanwhile.
    """
    place = None
    if after >= FIRST_TEXT:
        if turn.attempt > 1:
            # Its numbers do not tell which attempt it read, and the texts must not be mixed.
            raise Wrong("starting_after", _RESTARTED[1], code=_RESTARTED[0])
        place = ReplyPosition(turn.attempt, _chars_seen(turn, after))
    reader = await service.follow(owner_id, turn.session_id, turn.id, after=place)
    return EventStream(reader, ResponseRendering(facts, after=after))


def _chars_seen(turn: Turn, after: int) -> int:
    seen = cells_seen(after) * CELL_CHARS
    if turn.status.is_terminal:
        return min(seen, 0 if turn.reply is None else len(turn.reply.content))
    return seen
