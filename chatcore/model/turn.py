"""Room 1, the hexagon: a question and its reply, the calls it took, and how it may move.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.message import Message, TurnStatus
from chatcore.model.metadata import Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one answer cost, as the model counted it. Unit: tokens."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        """Sum of both, in tokens."""
        return self.prompt_tokens + self.completion_tokens


class AttemptOutcome(StrEnum):
    """How one call of the model ended. `pending` until it is known."""

    PENDING = "pending"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call of the model on behalf of a turn, recorded before it is sent.

    Attributes:
        number: 1, 2, … within the turn.
        window: Numbers of the earlier turns offered for the request, oldest first.
        template: Digest of the `RequestTemplate` it was made with.
        stream: Whether the answer was wanted in parts.
        model: The model that answered; None until it did.
        request_digest: SHA-256 of the exact request bytes, hex; None until recorded.
    """

    number: int
    outcome: AttemptOutcome
    window: tuple[int, ...]
    template: str
    stream: bool
    started_at: datetime
    ended_at: datetime | None
    model: str | None
    request_digest: str | None
    error_code: str | None
    usage: Usage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question and its one reply, as stored.

    Attributes:
        number: 1, 2, 3 … within the session.
        attempt: Number of the latest attempt; every write of a running turn carries it.
        question_id: Id of the question's message.
        reply: The stored reply; None while running, and after a failure before any text.
        finish_reason: The model's own word (`stop`, `length`, …); None unless it finished.
        error_code: Stable code of the failure; None unless failed.
        superseded_by: The turn that took its place when its question was edited or asked again, or
            when one before it was; None while it counts. What is superseded stays stored and shown,
            and leaves the window.
        metadata: What the caller noted down with it. Empty where it was not asked for.
        attempts: Every call of the model, oldest first. Empty where it was not asked for.
    """

    id: TurnId
    session_id: SessionId
    owner_id: OwnerId
    number: int
    status: TurnStatus
    attempt: int
    max_attempts: int
    question_id: MessageId
    created_at: datetime
    ended_at: datetime | None = None
    reply: Message | None = None
    model: str | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    usage: Usage | None = None
    superseded_by: TurnId | None = None
    metadata: Metadata = ()
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a caller gets for a question: its ended turn, and the stored reply.

    Attributes:
        reply: None for a turn that was stopped before any text.
        repeated: True: the idempotency key had been seen before, and this is that turn's answer.
    """

    turn: Turn
    reply: Message | None
    repeated: bool

    @property
    def text(self) -> str:
        """The reply's text, exactly as stored; empty if there is none."""
        return "" if self.reply is None else self.reply.content


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRef:
    """A running turn as its attempt holds it: the guard of every write.

    A write changes something only while this attempt is the turn's latest and the turn is running.
    """

    owner_id: OwnerId
    session_id: SessionId
    turn_id: TurnId
    number: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnd:
    """How a turn ends: what becomes true of it in one transaction.

    Attributes:
        status: `completed`, `stopped` or `failed`.
        reply_id: Id for the reply's message, if there is text.
        text: The reply, or the part of it that came. Empty: no reply is stored.
        now: The caller's clock; informs, decides nothing.
    """

    status: TurnStatus
    reply_id: MessageId
    text: str
    now: datetime
    model: str | None = None
    request_digest: str | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    usage: Usage | None = None

    def __post_init__(self) -> None:
        if not self.status.is_terminal:
            raise ValueError("a turn cannot end as running")
        if self.status is TurnStatus.COMPLETED and not self.text:
            raise ValueError("a completed turn needs a reply")
        if (self.status is TurnStatus.FAILED) != (self.error_code is not None):
            raise ValueError("a failed turn, and only a failed one, has an error code")
