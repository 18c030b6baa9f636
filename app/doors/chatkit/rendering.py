"""Room 4, the door: what happens to a reply, as ChatKit's events in bytes.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from app.doors.chatkit import ids
from app.doors.chatkit.telling import (
    Error,
    Event,
    ItemAdded,
    ItemDone,
    ItemRemoved,
    ItemUpdated,
    PartAdded,
    PartDelta,
    PartDone,
    encode_events,
    error_of,
)
from app.doors.chatkit.views import OutputText, view_answer
from app.http.events import BARE_KEEP_ALIVE, Rendering
from chatcore import (
    ReplyDelta,
    ReplyRestarted,
    SessionId,
    Turn,
    TurnEnded,
    TurnEvent,
    TurnFailed,
    TurnId,
    TurnLost,
    TurnOpened,
    TurnStatus,
)

_STILL_WRITTEN = Error("The answer is still being written. Try again to see it.", allow_retry=True)


class ChatKitRendering(Rendering):
    """One stream.

    The answer's item appears with its first words: until then the frontend shows that it waits,
    and nothing need be taken back if none come. A new attempt takes the item away, and its first
    words bring it back.

    Args:
        opening: The events before the answer.
        session_id: Whose thread.
        turn_id: Whose answer.
        created_at: When it was asked for.
    """

    headers: Mapping[str, str] = {}
    keep_alive = BARE_KEEP_ALIVE

    def __init__(
        self,
        *opening: Event,
        session_id: SessionId,
        turn_id: TurnId,
        created_at: datetime,
    ) -> None:
        self._opening = opening
        self._thread_id = ids.thread_id_of(session_id)
        self._item_id = ids.reply_item_id(turn_id)
        self._created_at = created_at
        self._is_begun = False

    def encode(self, event: TurnEvent) -> bytes:
        """Return an event."""
        match event:
            case ReplyDelta():
                delta = ItemUpdated(self._item_id, PartDelta(event.text))
                return encode_events(*self._begin(), delta)
            case TurnOpened():
                return encode_events(*self._opening)
            case ReplyRestarted():
                return encode_events(*self._take_back())
            case TurnEnded():
                return encode_events(*self._end(event.turn))

    def encode_lost(self, error: TurnLost) -> bytes:
        """Return that the thread is gone."""
        return encode_events(*self._take_back(), error_of(error.code))

    def come_back(self) -> bytes:
        """Return that there is more; asking for it again joins the same turn."""
        return encode_events(_STILL_WRITTEN)

    def _begin(self) -> tuple[Event, ...]:
        if self._is_begun:
            return ()
        self._is_begun = True
        added = view_answer(
            item_id=self._item_id,
            thread_id=self._thread_id,
            text=None,
            created_at=self._created_at,
        )
        return ItemAdded(added), ItemUpdated(self._item_id, PartAdded(OutputText("")))

    def _take_back(self) -> tuple[Event, ...]:
        if not self._is_begun:
            return ()
        self._is_begun = False
        return (ItemRemoved(self._item_id),)

    def _end(self, turn: Turn) -> tuple[Event, ...]:
        """Return the end: the reply as it is stored, which may be less than was sent."""
        events = self._take_back() if turn.reply is None else self._done(turn)
        if turn.status is TurnStatus.FAILED:
            return *events, error_of(turn.error_code or TurnFailed.code)
        return events

    def _done(self, turn: Turn) -> tuple[Event, ...]:
        assert turn.reply is not None
        text = turn.reply.content
        done = view_answer(
            item_id=self._item_id,
            thread_id=self._thread_id,
            text=text,
            created_at=turn.reply.created_at,
        )
        whole = ItemUpdated(self._item_id, PartDone(OutputText(text)))
        return *self._begin(), whole, ItemDone(done)
