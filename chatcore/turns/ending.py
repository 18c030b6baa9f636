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


def ended_with(
    result: LLMReply | str, turn: RunningTurn, *, reply_id: MessageId, now: datetime
) -> TurnEnd:
    """Return the end of a turn that has an answer, or the code of a failure and perhaps a part."""
    if isinstance(result, str):
        return TurnEnd(
            status=TurnStatus.FAILED,
            reply_id=reply_id,
            text=turn.text,
            now=now,
            request_digest=turn.digest,
            error_code=result,
        )
    return TurnEnd(
        status=TurnStatus.COMPLETED,
        reply_id=reply_id,
        text=result.text,
        now=now,
        model=result.model,
        request_digest=turn.digest,
        finish_reason=result.finish_reason,
        usage=result.usage,
    )


def stopped_with_part(turn: RunningTurn, *, reply_id: MessageId, now: datetime) -> TurnEnd:
    """Return the end of a turn whose owner wants no more of it."""
    return TurnEnd(
        status=TurnStatus.STOPPED,
        reply_id=reply_id,
        text=turn.text,
        now=now,
        request_digest=turn.digest,
    )


class Ending:
    """Stores ends.

    Args:
        repository: Where turns live.
        observer: Is told what was stored.
        policy: How patient who waits is.

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

    async def store(self, turn: RunningTurn, end: TurnEnd) -> Turn:
        """Store the end; while the store does not answer, keep it and try again.

        Readers are told after a while that the store does not answer; the end is kept as long as
        the turn could have lasted.

        Raises:
            TurnLost: It is somebody else's by now.
            StorageUnavailable: Given up.
        """
        ref, pause = turn.ref, _FINISH_PAUSE_SECONDS
        patient_until = time.monotonic() + self._policy.storage_patience_seconds
        give_up_at = max(turn.deadline, patient_until)
        while True:
            try:
                stored = await self._repository.finish(ref, end)
            except StorageUnavailable as error:
                now = time.monotonic()
                if now > give_up_at or self.must_hurry:
                    raise waiting_to_be_stored(ref, error) from None
                if now + pause > patient_until and turn.live.trouble is None:
                    turn.live.fail(waiting_to_be_stored(ref, error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _FINISH_PAUSE_MAX_SECONDS)
            else:
                self._observer.turn_ended(ref, end, seconds=time.monotonic() - turn.started)
                return stored


def waiting_to_be_stored(ref: TurnRef, error: StorageUnavailable) -> StorageUnavailable:
    """Return the error with the turn it is about, so that one can come back to it."""
    return StorageUnavailable(str(error), session_id=ref.session_id, turn_id=ref.turn_id)
