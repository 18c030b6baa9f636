"""Room 1, the hexagon: a running reply as its process reports it and as others see it.

May import: standard library, chatcore.model.

Offsets count code points of the reply of one attempt, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatcore.model.admission import WindowMessage
from chatcore.model.ids import OwnerId, SessionId, TurnId
from chatcore.model.message import Quote, TurnStatus
from chatcore.model.turn import TurnRef


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life of one running turn, with the text that came since the last one.

    Attributes:
        ref: The turn as its attempt holds it.
        start: Offset of the first code point of `text`.
        text: What to append; empty for none. A piece whose storing is not known to have succeeded
            is sent again exactly as it was, before anything after it.
        request_digest: SHA-256 of the attempt's request, hex, to be recorded; None: nothing new.
    """

    ref: TurnRef
    start: int = 0
    text: str = ""
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPlace:
    """How far somebody has followed a turn: everything before this is known already."""

    owner_id: OwnerId
    session_id: SessionId
    turn_id: TurnId
    attempt: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A turn as a follower finds it.

    Attributes:
        attempt: The latest one.
        is_abandoned: Running, but past its lease.
        start: Offset of `text` in the reply of that attempt: the place asked from, or 0 if that was
            one of another attempt.
        text: What the journal holds from there on. Empty for a turn that has ended.
    """

    turn_id: TurnId
    status: TurnStatus
    attempt: int
    is_abandoned: bool
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class AbandonedTurn:
    """A running turn past its lease.

    Attributes:
        ref: As its last attempt held it.
        may_go_on: Whether it has an attempt left, and time before its deadline.
    """

    ref: TurnRef
    may_go_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenTurn:
    """An abandoned turn that is ours now, with all that is needed to ask the model again.

    Attributes:
        ref: As our attempt holds it.
        text: The question.
        window: What goes along, oldest first.
        max_attempts: How often the model may be asked for it, as when it was admitted.
        seconds_left: Until its deadline, by the store's clock.
    """

    ref: TurnRef
    text: str
    quote: Quote | None
    window: tuple[WindowMessage, ...]
    max_attempts: int
    seconds_left: float
