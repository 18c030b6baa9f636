"""Room 1, the hexagon: the life of one turn in this process, from its question to its stored end.

May import: standard library, chatcore.errors, chatcore.failure_codes,
chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio

from chatcore.errors import ChatError, StorageUnavailable, TurnLost
from chatcore.failure_codes import INTERNAL_ERROR
from chatcore.model.ids import MessageId
from chatcore.model.turn import TurnEnd
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.turn_observer import TurnObserver
from chatcore.turns.asking import Asking
from chatcore.turns.ending import Ending, ended_with, stopped_with_part
from chatcore.turns.handing_over import HandingOver
from chatcore.turns.running import Cut, CutShort, RunningTurn
from chatcore.turns.running_turns import RunningTurns
from chatcore.turns.watching import Watcher


class Life:
    """Asks, and stores what came of it.

    Args:
        turns: Those that run here.
        asking: Asks the model.
        ending: Stores ends.
        watcher: Looks after the readers of turns that are lost.
        handing_over: Gives away the turns that are to go on elsewhere.
        clock: Tells the time.
        ids: Makes the replies' ids.
        observer: Is told what happens.
    """

    def __init__(
        self,
        turns: RunningTurns,
        *,
        asking: Asking,
        ending: Ending,
        watcher: Watcher,
        handing_over: HandingOver,
        clock: Clock,
        ids: IdSource,
        observer: TurnObserver,
    ) -> None:
        self._turns = turns
        self._asking = asking
        self._ending = ending
        self._watcher = watcher
        self._handing_over = handing_over
        self._clock = clock
        self._ids = ids
        self._observer = observer

    async def run(self, turn: RunningTurn) -> None:
        """Run a turn that is among the running ones to its end; readers learn of it."""
        try:
            stored = await self._ending.store(turn, await self._ask(turn))
        except TurnLost:
            self._lose(turn)
        except CutShort:
            await self._handing_over.take(turn)
        except BaseException as error:
            # Whatever it was, nobody here goes on with it: its lease must not be renewed.
            self._turns.leave(turn)
            turn.live.fail(error if isinstance(error, ChatError) else _unknown(turn))
            self._observer.turn_broken(turn.ref, error)
            if not isinstance(error, Exception):
                raise
        else:
            self._turns.leave(turn)
            turn.live.finish(stored)

    def _lose(self, turn: RunningTurn) -> None:
        """Write nothing; those who read here go on with what the store says."""
        self._observer.turn_lost(turn.ref)
        self._turns.leave(turn)
        ref = turn.ref
        if self._turns.find(ref.owner_id, ref.turn_id) is None:
            self._watcher.watch(
                ref.owner_id, ref.session_id, ref.turn_id, attempt=ref.attempt, live=turn.live
            )

    async def _ask(self, turn: RunningTurn) -> TurnEnd:
        """Get an answer, or find out why there is none.

        Raises:
            TurnLost: It is no longer ours.
            CutShort: It is to be handed over.
        """
        try:
            answer = await self._asking.ask(turn)
        except TurnLost:
            raise
        except CutShort:
            if turn.cut_by is Cut.LOST:
                raise TurnLost(turn.ref.turn_id) from None
            if turn.cut_by is Cut.HANDED_OVER:
                raise
            return stopped_with_part(turn, reply_id=self._reply_id(), now=self._clock.now())
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled(error):
                raise
            self._observer.turn_broken(turn.ref, error)
            answer = INTERNAL_ERROR
        if turn.cut_by is Cut.LOST:
            # What came after that moment is missing from it.
            raise TurnLost(turn.ref.turn_id)
        return ended_with(answer, turn, reply_id=self._reply_id(), now=self._clock.now())

    def _reply_id(self) -> MessageId:
        return MessageId(self._ids.new_id())


def _unknown(turn: RunningTurn) -> StorageUnavailable:
    return StorageUnavailable(session_id=turn.ref.session_id, turn_id=turn.ref.turn_id)


def _is_cancelled(error: BaseException) -> bool:
    """Whether it is us who are cancelled, and not something that the model's adapter let out."""
    task = asyncio.current_task()
    is_asked = task is not None and task.cancelling() > 0
    return isinstance(error, asyncio.CancelledError) and is_asked
