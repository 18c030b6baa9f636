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
        ended: The turn as its end was stored, or why that is not known (yet). Never done if nothing
            was admitted, or it was a repeat.
    """

    admitted: asyncio.Future[Admission]
    ended: asyncio.Future[Turn]


@dataclass(slots=True, kw_only=True, eq=False)
class RunningTurn:
    """One admitted turn that waits for the model.

    Attributes:
        ref: The turn as its attempt holds it.
        started: By the monotonic clock, in seconds.
        is_interrupted: It is to end now: the process is closing.
        is_lost: It was ended, taken over or erased by somebody else: it is to write nothing.
        digest: Of the latest request to the model.
    """

    ref: TurnRef
    prompt: Prompt
    started: float
    is_interrupted: bool = False
    is_lost: bool = False
    digest: str | None = None
    _limit: asyncio.Timeout | None = None

    def limit(self, seconds: float) -> asyncio.Timeout:
        """Return a time limit for waiting for the model; none is left once it is to end."""
        must_end = self.is_interrupted or self.is_lost
        self._limit = asyncio.timeout(0 if must_end else max(0.0, seconds))
        return self._limit

    def end_limit(self) -> None:
        """Let what follows take as long as it takes: it is about the store."""
        self._limit = None

    def interrupt(self) -> None:
        """Have it end now instead of waiting for the model.

        The task is never cancelled: that could hit it while something is being stored.
        """
        self.is_interrupted = True
        self._cut()

    def lose(self) -> None:
        """Have it stop without a trace: it is somebody else's by now, or nobody's."""
        self.is_lost = True
        self._cut()

    def _cut(self) -> None:
        if self._limit is not None and not self._limit.expired():
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
