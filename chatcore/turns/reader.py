"""Room 1, the hexagon: one reader of one reply.

May import: standard library, chatcore.errors, chatcore.failure_codes,
chatcore.model, chatcore.turns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from chatcore.errors import InvalidInput, TurnFailed
from chatcore.failure_codes import RETRYABLE_TURN_CODES
from chatcore.model.event import (
    ReplyDelta,
    ReplyPosition,
    ReplyRestarted,
    TurnEnded,
    TurnEvent,
    TurnOpened,
)
from chatcore.model.ids import SessionId, TurnId
from chatcore.model.message import TurnStatus
from chatcore.model.turn import Answer, Turn
from chatcore.turns.live_reply import LiveReply

PIECE_MAX_CHARS = 16_384
"""Longest text of one event, in code points: what a reader who reads nothing costs."""


class TurnReader(AsyncIterator[TurnEvent]):
    """Reads a reply while it is written, or afterwards: `async for event in reader`.

    Always one `TurnOpened` first and one `TurnEnded` last. It holds nothing but its place, so it
    may be left at any time; leaving does not stop the turn (guarantee G5). Close it when done, or
    use it in a `with` statement: nobody watches turns of other processes that nobody reads.

    Waiting for an event may raise, after all text known here:

        ServiceStopping: The process is shutting down; the turn goes on elsewhere. Come back there.
        StorageUnavailable: The end cannot be stored or seen for now. Come back later.
        TurnLost: The session was erased.

    Attributes:
        repeated: Whether an idempotency key had named this turn before.
    """

    def __init__(
        self,
        live: LiveReply,
        *,
        session_id: SessionId,
        turn_id: TurnId,
        repeated: bool = False,
        after: ReplyPosition | None = None,
    ) -> None:
        """Begin to read.

        Raises:
            InvalidInput: The reply never had this place.
        """
        _require_place(live, after)
        self.session_id = session_id
        self.turn_id = turn_id
        self.repeated = repeated
        self._live = live
        self._after = after
        self._attempt = live.attempt if after is None else after.attempt
        self._offset = 0 if after is None else after.offset
        self._is_opened = False
        self._is_ended = False
        self._is_closed = False
        live.readers += 1

    @property
    def is_over(self) -> bool:
        """Whether the turn has ended and its end was seen before: there is nothing to read."""
        return self._live.end is not None and self._after is not None and self._after.has_end

    @property
    def readers(self) -> int:
        """How many read this reply in this process, with this one until it is closed."""
        return self._live.readers

    @property
    def position(self) -> ReplyPosition:
        """How far this reader has come."""
        return ReplyPosition(self._attempt, self._offset, self._is_ended)

    async def next_event(self, *, within_seconds: float | None = None) -> TurnEvent | None:
        """Wait for the next event.

        Args:
            within_seconds: Longest wait; None: for as long as it takes.

        Returns:
            The event; None if there was none in that time, or the end was read already.
        """
        while not self._is_ended:
            event = self._next_now()
            if event is not None:
                return event
            try:
                await self._live.changed(within_seconds=within_seconds)
            except TimeoutError:
                return None
        return None

    async def answer(self) -> Answer:
        """Wait for the end and return the whole reply.

        Raises:
            TurnFailed: No whole reply came; the question is kept with its failed turn.
            TurnLost: The session was erased meanwhile.
            ServiceStopping: The process is shutting down.
            StorageUnavailable: The store did not answer.
        """
        with self:
            async for event in self:
                if isinstance(event, TurnEnded):
                    return answer_of(event.turn, repeated=self.repeated)
        raise AssertionError("unreachable: the end is always read or raises")

    def close(self) -> None:
        """Stop reading."""
        if not self._is_closed:
            self._is_closed = True
            self._live.readers -= 1

    def __enter__(self) -> Self:
        """Read."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop reading."""
        self.close()

    def __aiter__(self) -> Self:
        """Read event by event."""
        return self

    async def __anext__(self) -> TurnEvent:
        """Return the next event."""
        event = await self.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    def _next_now(self) -> TurnEvent | None:
        """Return what there is to tell by now, if anything."""
        live = self._live
        if not self._is_opened:
            self._is_opened = True
            return TurnOpened(
                session_id=self.session_id, turn_id=self.turn_id, repeated=self.repeated
            )
        if live.attempt != self._attempt:
            self._attempt, self._offset = live.attempt, 0
            return ReplyRestarted(self.position)
        if live.end is not None:
            return self._next_of_ended(live.end)
        if text := live.since(self._offset, limit=PIECE_MAX_CHARS):
            return self._delta(text)
        if live.trouble is not None:
            # Many readers raise the same one: it must not collect all their frames.
            raise live.trouble.with_traceback(None)
        return None

    def _next_of_ended(self, turn: Turn) -> TurnEvent:
        stored = _stored_text(turn)
        if self._offset < len(stored):
            return self._delta(stored[self._offset : self._offset + PIECE_MAX_CHARS])
        self._is_ended = True
        return TurnEnded(turn, ReplyPosition(turn.attempt, len(stored), has_end=True))

    def _delta(self, text: str) -> ReplyDelta:
        self._offset += len(text)
        return ReplyDelta(text, self.position)


def answer_of(turn: Turn, *, repeated: bool) -> Answer:
    """Return what an ended turn brought; one that was stopped may have brought nothing.

    Raises:
        TurnFailed: It failed.
    """
    if turn.status is TurnStatus.FAILED:
        code = turn.error_code or TurnFailed.code
        raise TurnFailed(
            session_id=turn.session_id,
            turn_id=turn.id,
            code=code,
            retryable=code in RETRYABLE_TURN_CODES,
            repeated=repeated,
        )
    return Answer(turn=turn, reply=turn.reply, repeated=repeated)


def _stored_text(turn: Turn) -> str:
    return "" if turn.reply is None else turn.reply.content


def _require_place(live: LiveReply, after: ReplyPosition | None) -> None:
    if after is None:
        return
    is_known = after.attempt <= live.attempt
    if is_known and live.end is not None and live.end.status is TurnStatus.COMPLETED:
        is_current = after.attempt == live.attempt
        is_known = not is_current or after.offset <= len(_stored_text(live.end))
    if not is_known:
        raise InvalidInput("after", "is not a place in this reply")
