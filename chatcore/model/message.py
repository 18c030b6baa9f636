"""Room 1, the hexagon: what was said, and the passage it was said about.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chatcore.model.feedback import Feedback
from chatcore.model.ids import MessageId, SessionId, TurnId


class Role(StrEnum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"


class TurnStatus(StrEnum):
    """Where a turn stands. `running` is the only state that ever changes."""

    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the turn has ended for good."""
        return self is not TurnStatus.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The text a reader selected, and where known its source. Data, never instructions."""

    text: str
    title: str | None = None
    url: str | None = None
    anchor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as stored.

    Attributes:
        position: Its place in the session: 1, 2, 3 … without gaps, never reused.
        quote: What the question is about; always None for the assistant.
        turn_status: Status of the turn it belongs to, at the moment it was read.
        superseded_by: The turn that took its turn's place; None while it counts.
        created_at: Aware, UTC; informs, never orders.
        client_id: What the caller calls a question, if it gave it a name; None for the assistant.
        feedback: What its owner thinks of it, if they said so; only pages of messages tell.
    """

    id: MessageId
    session_id: SessionId
    turn_id: TurnId
    turn_status: TurnStatus
    position: int
    role: Role
    content: str
    quote: Quote | None
    created_at: datetime
    superseded_by: TurnId | None = None
    client_id: str | None = None
    feedback: Feedback | None = None
