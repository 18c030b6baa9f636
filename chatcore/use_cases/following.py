"""Room 1, the hexagon: coming back to a turn, looking at it, stopping it.

May import: standard library, chatcore.errors, chatcore.model, chatcore.turns,
chatcore.use_cases.
"""

from __future__ import annotations

import asyncio

from chatcore.errors import StorageUnavailable
from chatcore.model.event import ReplyPosition
from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.turn import Turn
from chatcore.turns.live_reply import LiveReply
from chatcore.turns.reader import TurnReader
from chatcore.turns.runner import TurnRunner
from chatcore.turns.running import Cut
from chatcore.use_cases.parts import Parts


class FollowingUseCases:
    """Everything about turns that asks nothing.

    Args:
        parts: What it is put together from.
    """

    def __init__(self, parts: Parts) -> None:
        self._turns = parts.repository
        self._runner = parts.runner
        self._clock = parts.clock
        self._ids = parts.ids
        self._policy = parts.policy

    async def turn(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        """Return one turn with its reply and its attempts.

        Raises:
            TurnNotFound: No such turn in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        return await self._turns.turn(owner_id, session_id, turn_id)

    async def follow(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        turn_id: TurnId,
        *,
        after: ReplyPosition | None = None,
    ) -> TurnReader:
        """Read a reply from any place on, whichever process writes it, also after its end.

        Args:
            owner_id: Whose turn.
            session_id: Of which session.
            turn_id: Which turn.
            after: Where to go on; None: from the beginning.

        Returns:
            A reader; `is_over` tells that there is nothing left to read.

        Raises:
            TurnNotFound: No such turn in this session of this owner.
            InvalidInput: The reply never had this place.
            StorageUnavailable: The store did not answer.
        """
        live = _known_here(self._runner, owner_id, session_id, turn_id)
        # A reader may know more than we do: that somebody else has taken the turn over.
        if live is not None and not (after and after.attempt > live.attempt):
            return TurnReader(live, session_id=session_id, turn_id=turn_id, after=after)
        turn = await self._turns.turn(owner_id, session_id, turn_id)
        return open_reader(self._runner, turn, after=after)

    async def stop(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        """End a running turn, wherever it runs, and keep what has come of its reply.

        Returns:
            The ended turn; one that had ended before is returned as it is. The next question is
            admitted at once.

        Raises:
            TurnNotFound: No such turn in this session of this owner.
            StorageUnavailable: The store did not answer. Repeating is safe.
        """
        running = self._runner.turns.find(owner_id, turn_id)
        if running is not None and running.ref.session_id == session_id:
            running.cut(Cut.STOPPED)
            if running.task is not None:
                # Not for ever, should it hang on a store that answers us.
                await asyncio.wait([running.task], timeout=self._policy.storage_patience_seconds)
            if running.live.end is not None:
                return running.live.end
            if isinstance(running.live.trouble, StorageUnavailable):
                raise running.live.trouble
        return await self._turns.stop(
            owner_id,
            session_id,
            turn_id,
            reply_id=MessageId(self._ids.new_id()),
            now=self._clock.now(),
        )


def _known_here(
    runner: TurnRunner, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
) -> LiveReply | None:
    """Return the reply of a turn that runs or is followed here; None: the store must be asked."""
    running = runner.turns.find(owner_id, turn_id)
    if running is not None and running.ref.session_id == session_id:
        return running.live
    return runner.watcher.find(owner_id, session_id, turn_id)


def open_reader(
    runner: TurnRunner, turn: Turn, *, after: ReplyPosition | None = None, repeated: bool = False
) -> TurnReader:
    """Return a reader of a turn as it was just found in the store.

    Raises:
        InvalidInput: The reply never had this place.
    """
    is_over = turn.status.is_terminal
    live = runner.turns.ended(turn) if is_over else runner.live_of(turn)
    return TurnReader(
        live, session_id=turn.session_id, turn_id=turn.id, after=after, repeated=repeated
    )
