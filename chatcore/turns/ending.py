"""Room 1, the hexagon: how a turn's end is made, and kept until it is stored.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.turns.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from chatcore.errors import StorageUnavailable
from chatcore.model.ids import MessageId
from chatcore.model.message import TurnStatus
from chatcore.model.policy import ChatPolicy
from chatcore.model.turn import Turn, TurnEnd, TurnRef
from chatcore.ports.llm import LLMReply
from chatcore.ports.turn_observer import TurnObserver
from chatcore.ports.turn_repository import TurnRepository
from chatcore.turns.running import RunningTurn

_FINISH_PAUSE_SECONDS = 0.25
_FINISH_PAUSE_MAX_SECONDS = 5.0
_PATIENCE_SECONDS = 8.0


def ended_with(
    result: LLMReply | str, *, digest: str | None, reply_id: MessageId, now: datetime
) -> TurnEnd:
    """Return the end of a turn that has an answer, or the code of a failure."""
    if isinstance(result, str):
        return TurnEnd(
            status=TurnStatus.FAILED,
            reply_id=reply_id,
            text="",
            now=now,
            request_digest=digest,
            error_code=result,
        )
    return TurnEnd(
        status=TurnStatus.COMPLETED,
        reply_id=reply_id,
        text=result.text,
        now=now,
        model=result.model,
        request_digest=digest,
        finish_reason=result.finish_reason,
        usage=result.usage,
    )


class Ending:
    """Stores ends.

    Args:
        repository: Where turns live.
        observer: Is told what was stored.
        policy: How long a turn may last.

    Attributes:
        must_hurry: The process is about to end: an end that cannot be stored now is given up.
    """

    def __init__(
        self, repository: TurnRepository, *, observer: TurnObserver, policy: ChatPolicy
    ) -> None:
        self._repository = repository
        self._observer = observer
        self._policy = policy
        self.must_hurry = False

    async def store(self, turn: RunningTurn, end: TurnEnd, told: asyncio.Future[Turn]) -> Turn:
        """Store the end; while the store does not answer, keep it and try again.

        Args:
            turn: The turn, held by the attempt that ends it.
            end: How it ends.
            told: Who waits is told through this that the store does not answer, after a while; the
                end is kept as long as the turn could have lasted.

        Raises:
            TurnLost: It is somebody else's by now.
            StorageUnavailable: Given up.
        """
        ref, pause = turn.ref, _FINISH_PAUSE_SECONDS
        patient_until = time.monotonic() + _PATIENCE_SECONDS
        give_up_at = max(turn.started + self._policy.deadline_seconds, patient_until)
        while True:
            try:
                stored = await self._repository.finish(ref, end)
            except StorageUnavailable as error:
                now = time.monotonic()
                if now > give_up_at or self.must_hurry:
                    raise
                if now + pause > patient_until and not told.done():
                    told.set_exception(_waiting_to_be_stored(ref, error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _FINISH_PAUSE_MAX_SECONDS)
            else:
                self._observer.turn_ended(ref, end, seconds=time.monotonic() - turn.started)
                return stored


def _waiting_to_be_stored(ref: TurnRef, error: StorageUnavailable) -> StorageUnavailable:
    return StorageUnavailable(str(error), session_id=ref.session_id, turn_id=ref.turn_id)
