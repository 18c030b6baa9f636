"""Room 3, the world: an observer that remembers what it was told.

May import: standard library, chatcore.
"""

from __future__ import annotations

from chatcore import LLMError, TurnEnd, TurnObserver, TurnRef


class RecordingTurnObserver(TurnObserver):
    """Keeps every notice, as (what, turn), in the order of arrival."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, TurnRef]] = []
        self.errors: list[BaseException] = []

    def turn_admitted(self, turn: TurnRef, *, repeated: bool) -> None:
        """Remember it."""
        self.notices.append(("repeated" if repeated else "admitted", turn))

    def attempt_failed(self, turn: TurnRef, error: LLMError, *, will_retry: bool) -> None:
        """Remember it, with the error."""
        self.notices.append(("retrying" if will_retry else "gave up", turn))
        self.errors.append(error)

    def turn_ended(self, turn: TurnRef, end: TurnEnd, *, seconds: float) -> None:
        """Remember it by its status."""
        self.notices.append((end.status.value, turn))

    def turn_lost(self, turn: TurnRef) -> None:
        """Remember it."""
        self.notices.append(("lost", turn))

    def turn_broken(self, turn: TurnRef, error: BaseException) -> None:
        """Remember it, with the error."""
        self.notices.append(("broken", turn))
        self.errors.append(error)

    def turn_taken_over(self, turn: TurnRef) -> None:
        """Remember it."""
        self.notices.append(("taken over", turn))

    def turn_given_up(self, turn: TurnRef, error_code: str) -> None:
        """Remember it."""
        self.notices.append(("given up", turn))

    def turn_handed_over(self, turn: TurnRef) -> None:
        """Remember it."""
        self.notices.append(("handed over", turn))

    def loop_broken(self, name: str, error: BaseException) -> None:
        """Remember the error."""
        self.errors.append(error)
