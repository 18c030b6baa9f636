"""Room 1, the hexagon: an observer that cannot do any harm.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from chatcore.errors import LLMError
from chatcore.model.turn import TurnEnd, TurnRef
from chatcore.ports.turn_observer import TurnObserver


class QuietObserver(TurnObserver):
    """Passes notices on; what the observer raises is dropped: it must not decide about turns.

    Args:
        observer: Somebody's, which promises to raise nothing.
    """

    def __init__(self, observer: TurnObserver) -> None:
        self._observer = observer

    def turn_admitted(self, turn: TurnRef, *, repeated: bool) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.turn_admitted(turn, repeated=repeated))

    def attempt_failed(self, turn: TurnRef, error: LLMError, *, will_retry: bool) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.attempt_failed(turn, error, will_retry=will_retry))

    def turn_ended(self, turn: TurnRef, end: TurnEnd, *, seconds: float) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.turn_ended(turn, end, seconds=seconds))

    def turn_lost(self, turn: TurnRef) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.turn_lost(turn))

    def turn_broken(self, turn: TurnRef, error: BaseException) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.turn_broken(turn, error))

    def turn_taken_over(self, turn: TurnRef) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.turn_taken_over(turn))

    def turn_given_up(self, turn: TurnRef, error_code: str) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.turn_given_up(turn, error_code))

    def turn_handed_over(self, turn: TurnRef) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.turn_handed_over(turn))

    def loop_broken(self, name: str, error: BaseException) -> None:
        """Pass it on."""
        _quietly(lambda: self._observer.loop_broken(name, error))


def _quietly(tell: Callable[[], None]) -> None:
    with suppress(Exception):
        tell()
