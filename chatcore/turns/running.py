"""Room 1, the hexagon: a turn in flight, as its task holds it and as others see it.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from chatcore.model.prompt import Prompt
from chatcore.model.turn import Admission, Turn, TurnRef


@dataclass(frozen=True, slots=True)
class TurnHandle:
    """What whoever began a turn gets. Waiting for either must be shielded from cancellation.

    Attributes:
        admitted: The store's answer, or why it admitted nothing.
        ended: The turn as its end was stored; None if nothing was admitted, or it was a repeat.
    """

    admitted: asyncio.Future[Admission]
    ended: asyncio.Task[Turn | None]


@dataclass(slots=True, kw_only=True, eq=False)
class RunningTurn:
    """One admitted turn that waits for the model.

    Attributes:
        ref: The turn as its attempt holds it.
        started: By the monotonic clock, in seconds.
        digest: Of the latest request to the model.
    """

    ref: TurnRef
    prompt: Prompt
    started: float
    is_interrupted: bool = False
    digest: str | None = None
    _limit: asyncio.Timeout | None = None

    def limit(self, seconds: float) -> asyncio.Timeout:
        """Return the time limit for getting an answer; none is left once interrupted."""
        self._limit = asyncio.timeout(0 if self.is_interrupted else seconds)
        return self._limit

    def end_limit(self) -> None:
        """Let the end be stored, however long it takes."""
        self._limit = None

    def interrupt(self) -> None:
        """Have it end now instead of waiting for the model.

        The task is never cancelled: that could hit it while its end is being stored.
        """
        self.is_interrupted = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())


def ref_of(turn: Turn) -> TurnRef:
    """Return a turn as its latest attempt holds it."""
    return TurnRef(
        owner_id=turn.owner_id,
        session_id=turn.session_id,
        turn_id=turn.id,
        number=turn.number,
        attempt=turn.attempt,
    )
