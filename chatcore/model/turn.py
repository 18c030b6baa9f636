"""Room 1, the hexagon: a question and its reply, the calls it took, and how it may move.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.message import Message, Quote, TurnStatus


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
        window: Numbers of the earlier turns whose messages were in the request, oldest first.
        model: The model that answered; None until it did.
        request_digest: SHA-256 of the exact request bytes, hex; None until recorded.
    """

    number: int
    outcome: AttemptOutcome
    window: tuple[int, ...]
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
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a caller gets for a question: its ended turn, and the stored reply.

    Attributes:
        repeated: True: the idempotency key had been seen before, and this is that turn's answer.
    """

    turn: Turn
    reply: Message
    repeated: bool

    @property
    def text(self) -> str:
        """The reply's text, exactly as stored."""
        return self.reply.content


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTurn:
    """Everything the store needs to admit a question, made before the first try.

    Because the ids are made by the caller, an admission whose answer was lost is repeated safely.

    Attributes:
        opens_session: True: `session_id` is a new session, to be created with `title`.
        question_id: Id for the question's message.
        idempotency_key: 1 to 255 printable ASCII characters, unique per owner; None for none.
        fingerprint: SHA-256 (32 bytes) of what a repeat must share.
        max_attempts: How often the model may be asked, at least 1.
        lease_seconds: How long the turn may stay silent before it counts as abandoned.
        window_turns: How many earlier turns to return, at least 0.
        now: The caller's clock; informs, decides nothing.
    """

    owner_id: OwnerId
    session_id: SessionId
    opens_session: bool
    title: str
    turn_id: TurnId
    question_id: MessageId
    text: str
    quote: Quote | None
    idempotency_key: str | None
    fingerprint: bytes
    max_attempts: int
    lease_seconds: float
    window_turns: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowMessage:
    """One earlier message as the model gets to see it."""

    turn_id: TurnId
    turn_number: int
    content: str
    quote: Quote | None
    from_user: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer of the store to a `NewTurn`.

    Attributes:
        turn: The turn as it now stands.
        window: Messages of earlier whole turns, oldest first; empty for a repeat.
        repeated: True: an earlier call with the same idempotency key had admitted it.
    """

    turn: Turn
    window: tuple[WindowMessage, ...] = ()
    repeated: bool = False


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
