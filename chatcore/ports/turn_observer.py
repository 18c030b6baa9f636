"""Room 2, the wall: who wants to know what happens to turns (logs, metrics).

May import: standard library, chatcore.errors, chatcore.model.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from chatcore.errors import LLMError
from chatcore.model.turn import TurnEnd, TurnRef


class TurnObserver(Protocol):
    """Is told about turns. Calls are made on the event loop: be quick and raise nothing."""

    @abstractmethod
    def turn_admitted(self, turn: TurnRef, *, repeated: bool) -> None:
        """A question was stored, or a repeat of one was recognised."""
        ...

    @abstractmethod
    def attempt_failed(self, turn: TurnRef, error: LLMError, *, will_retry: bool) -> None:
        """One call of the model failed; `error.detail` holds the provider's own words."""
        ...

    @abstractmethod
    def turn_ended(self, turn: TurnRef, end: TurnEnd, *, seconds: float) -> None:
        """The turn's end is stored; `seconds` is the time from admission to that moment."""
        ...

    @abstractmethod
    def turn_lost(self, turn: TurnRef) -> None:
        """The turn was ended or erased by somebody else; this attempt wrote nothing."""
        ...

    @abstractmethod
    def turn_broken(self, turn: TurnRef, error: BaseException) -> None:
        """A fault of ours ended the turn, or its end could not be stored."""
        ...

    @abstractmethod
    def turn_taken_over(self, turn: TurnRef) -> None:
        """An abandoned turn is ours now, as the attempt named; the model is asked again."""
        ...

    @abstractmethod
    def turn_given_up(self, turn: TurnRef, error_code: str) -> None:
        """An abandoned turn had no attempt or no time left, and is ended as failed."""
        ...

    @abstractmethod
    def turn_handed_over(self, turn: TurnRef) -> None:
        """The process is closing and has given the turn away; another may take it over at once."""
        ...

    @abstractmethod
    def loop_broken(self, name: str, error: BaseException) -> None:
        """A fault of ours met one of the loops (`pulse`, `watcher`, `sweeper`), which goes on."""
        ...
