"""Room 4, the door: what happens to turns, as log events: ids, never content.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from logging import DEBUG

from app.logs import get_logger
from chatcore import LLMError, TurnEnd, TurnObserver, TurnRef, TurnStatus


class StructlogTurnObserver(TurnObserver):
    """Writes one event for everything that happens to a turn."""

    def __init__(self) -> None:
        self._log = get_logger("turns").bind()

    def turn_admitted(self, turn: TurnRef, *, repeated: bool) -> None:
        """Log that a question was stored, or recognised."""
        if self._log.is_enabled_for(DEBUG):  # else its ids would be made into text for nothing
            self._log.debug("turn_admitted", **_ids(turn), repeated=repeated)

    def attempt_failed(self, turn: TurnRef, error: LLMError, *, will_retry: bool) -> None:
        """Log why a call of the model failed, with the provider's own words, bounded."""
        self._log.warning(
            "attempt_failed",
            **_ids(turn),
            code=error.code,
            detail=error.detail[:500],
            will_retry=will_retry,
        )

    def turn_ended(self, turn: TurnRef, end: TurnEnd, *, seconds: float) -> None:
        """Log how a turn ended and what it cost."""
        log = self._log.warning if end.status is TurnStatus.FAILED else self._log.info
        log(
            "turn_ended",
            **_ids(turn),
            status=end.status.value,
            code=end.error_code,
            ms=round(seconds * 1000),
            model=end.model,
            prompt_tokens=end.usage.prompt_tokens if end.usage else None,
            completion_tokens=end.usage.completion_tokens if end.usage else None,
        )

    def turn_taken_over(self, turn: TurnRef) -> None:
        """Log that a turn goes on here whose process went away."""
        self._log.info("turn_taken_over", **_ids(turn))

    def turn_handed_over(self, turn: TurnRef) -> None:
        """Log that a turn is left for another process, because this one stops."""
        self._log.info("turn_handed_over", **_ids(turn))

    def turn_given_up(self, turn: TurnRef, error_code: str) -> None:
        """Log that a turn whose process went away was ended: nobody could go on with it."""
        self._log.warning("turn_given_up", **_ids(turn), code=error_code)

    def turn_lost(self, turn: TurnRef) -> None:
        """Log that a turn was ended or erased by somebody else."""
        self._log.info("turn_lost", **_ids(turn))

    def turn_broken(self, turn: TurnRef, error: BaseException) -> None:
        """Log a fault of ours."""
        self._log.error("turn_broken", **_ids(turn), error=error)

    def loop_broken(self, name: str, error: BaseException) -> None:
        """Log a fault of ours that is about no turn in particular."""
        self._log.error("loop_broken", loop=name, error=error)


def _ids(turn: TurnRef) -> dict[str, str | int]:
    return {
        "session_id": str(turn.session_id),
        "turn_id": str(turn.turn_id),
        "attempt": turn.attempt,
    }
