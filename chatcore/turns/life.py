"""Room 1, the hexagon: the life of one turn in this process, from its question to its stored end.

May import: standard library, chatcore.errors, chatcore.failure_codes,
chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

from chatcore.errors import ChatError, ServiceStopping, StorageUnavailable, TurnLost
from chatcore.failure_codes import INTERNAL_ERROR
from chatcore.model.ids import MessageId
from chatcore.model.turn import TurnEnd
from chatcore.ports.clock import Clock, IdSource
from chatcore.ports.turn_observer import TurnObserver
from chatcore.turns.asking import Asking
from chatcore.turns.ending import Ending, ended_with, stopped_with_part
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
        clock: Tells the time.
        ids: Makes the replies' ids.
        observer: Is told what happens.

    Attributes:
        handed_over: Turns that were cut off for somebody else to go on with, in order.
    """

    def __init__(
        self,
        turns: RunningTurns,
        *,
        asking: Asking,
        ending: Ending,
        watcher: Watcher,
        clock: Clock,
        ids: IdSource,
        observer: TurnObserver,
    ) -> None:
        self._turns = turns
        self._asking = asking
        self._ending = ending
        self._watcher = watcher
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self.handed_over: list[RunningTurn] = []

    async def run(self, turn: RunningTurn) -> None:
        """Run a turn that is among the running ones to its end; readers learn of it."""
        try:
            stored = await self._ending.store(turn, await self._ask(turn))
        except TurnLost:
            self._lose(turn)
        except CutShort:
            self.handed_over.append(turn)
        except Exception as error:  # noqa: BLE001  # told to whoever waits
            self._turns.leave(turn)
            self._observer.turn_broken(turn.ref, error)
            turn.live.fail(error if isinstance(error, ChatError) else _unknown(turn))
        else:
            self._turns.leave(turn)
            turn.live.finish(stored)

    def tell_handed_over(self) -> None:
        """Let the readers of turns that were handed over go, now that others can have them."""
        for turn in self.handed_over:
            self._observer.turn_handed_over(turn.ref)
            ref = turn.ref
            turn.live.fail(ServiceStopping(session_id=ref.session_id, turn_id=ref.turn_id))

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
        except Exception as error:  # noqa: BLE001  # whatever broke, the turn must end
            self._observer.turn_broken(turn.ref, error)
            answer = INTERNAL_ERROR
        return ended_with(answer, turn, reply_id=self._reply_id(), now=self._clock.now())

    def _reply_id(self) -> MessageId:
        return MessageId(self._ids.new_id())


def _unknown(turn: RunningTurn) -> StorageUnavailable:
    return StorageUnavailable(session_id=turn.ref.session_id, turn_id=turn.ref.turn_id)
