"""Room 1, the hexagon: gives turns away when the process closes.

May import: standard library, chatcore.errors, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from chatcore.errors import ServiceStopping, StorageUnavailable
from chatcore.ports.turn_observer import TurnObserver
from chatcore.turns.pulse import Pulse
from chatcore.turns.running import RunningTurn
from chatcore.turns.running_turns import RunningTurns

_LAST_WORDS_SECONDS = 2.0


class HandingOver:
    """Collects turns that could not finish, and gives all of them away in one call.

    Args:
        turns: Those that run here.
        pulse: Writes down what has come of them, and lets their leases go.
        observer: Is told.
    """

    def __init__(self, turns: RunningTurns, *, pulse: Pulse, observer: TurnObserver) -> None:
        self._turns = turns
        self._pulse = pulse
        self._observer = observer
        self._waiting: list[RunningTurn] = []
        self._is_finished = False

    async def take(self, turn: RunningTurn) -> None:
        """Take a turn in; one that comes late is given away by itself."""
        if self._is_finished:
            await self._give_away([turn])
        else:
            self._waiting.append(turn)

    async def finish(self) -> None:
        """Give away what was taken in."""
        self._is_finished = True
        await self._give_away(self._waiting)

    async def _give_away(self, turns: Collection[RunningTurn]) -> None:
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._pulse.release(turns)
        except (StorageUnavailable, TimeoutError):
            pass  # Their leases run out by themselves.
        except Exception as error:  # noqa: BLE001  # their readers must be let go all the same
            self._observer.loop_broken("pulse", error)
        for turn in turns:
            self._turns.leave(turn)
            self._observer.turn_handed_over(turn.ref)
            place = turn.ref
            turn.live.fail(ServiceStopping(session_id=place.session_id, turn_id=place.turn_id))
