"""Beside the hexagon: what a repository must remember, as plain lists, for the state machine.

May import: standard library, chatcore.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from chatcore import (
    AttemptOutcome,
    ChatError,
    Feedback,
    IdempotencyKeyReused,
    MessageId,
    MessageSuperseded,
    Metadata,
    NewTurn,
    OnBusy,
    OwnerId,
    SessionBusy,
    SessionId,
    SessionNotFound,
    TurnEnd,
    TurnId,
    TurnRef,
    TurnStatus,
)


@dataclass(eq=False)
class ModelTurn:
    """What the model remembers of a turn.

    Attributes:
        expired: Whether its lease has run out.
        pieces: What its latest attempt has written.
        closed: How its earlier attempts ended, and with which digest on record.
        digest: What is on record of its latest attempt's request.
        reply: Id and text of its reply.
        outcome: How its latest attempt ended.
        end: The end its own attempt gave it, if it did.
    """

    new: NewTurn
    ref: TurnRef
    window: list[str]
    expired: bool
    pieces: list[str] = field(default_factory=list)
    closed: list[tuple[AttemptOutcome, str | None]] = field(default_factory=list)
    digest: str | None = None
    status: TurnStatus = TurnStatus.RUNNING
    reply: tuple[MessageId, str] | None = None
    outcome: AttemptOutcome = AttemptOutcome.PENDING
    end: TurnEnd | None = None
    superseded_by: TurnId | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status is TurnStatus.RUNNING

    @property
    def is_abandoned(self) -> bool:
        """Whether it runs past its lease."""
        return self.is_running and self.expired

    @property
    def may_go_on(self) -> bool:
        """Whether another attempt may take it over."""
        return self.has_attempts_left and self.new.deadline_seconds > 0

    @property
    def has_attempts_left(self) -> bool:
        """Whether another attempt may begin."""
        return self.ref.attempt < self.new.max_attempts

    @property
    def written(self) -> str:
        """What the journal holds."""
        return "".join(self.pieces)

    @property
    def texts(self) -> list[str]:
        """Question and, if there is one, reply."""
        return [self.new.text] + ([self.reply[1]] if self.reply else [])

    @property
    def message_ids(self) -> list[MessageId]:
        """Of the question and, if there is one, of the reply."""
        return [self.new.question_id] + ([self.reply[0]] if self.reply else [])

    @property
    def is_history(self) -> bool:
        """Whether later questions take it along."""
        good = self.status in (TurnStatus.COMPLETED, TurnStatus.STOPPED)
        return good and self.reply is not None and self.superseded_by is None

    @property
    def attempts(self) -> list[tuple[AttemptOutcome, str | None]]:
        """How all attempts ended, oldest first, and with which digest on record."""
        return [*self.closed, (self.outcome, self.digest)]

    def write(self, start: int, text: str, digest: str | None, *, lease_seconds: float) -> None:
        """Take a beat into account; a piece that begins where one began before is that one."""
        if text and start == len(self.written):
            self.pieces.append(text)
        self.digest = digest or self.digest
        self.expired = min(0, self.new.deadline_seconds) + lease_seconds <= 0

    def move_on(self, outcome: AttemptOutcome, digest: str | None = None) -> None:
        """Begin the next attempt."""
        self.closed.append((outcome, digest or self.digest))
        self.ref = replace(self.ref, attempt=self.ref.attempt + 1)
        self.pieces, self.digest = [], None

    def close(self, status: TurnStatus, outcome: AttemptOutcome, reply_id: MessageId) -> None:
        """End with what the journal holds."""
        self.finish(status, outcome, reply_id, self.written)

    def finish(
        self, status: TurnStatus, outcome: AttemptOutcome, reply_id: MessageId, text: str
    ) -> None:
        """End with this text."""
        self.status, self.outcome = status, outcome
        self.reply = (reply_id, text) if text else None
        self.pieces = []


@dataclass(eq=False)
class ModelSession:
    """What the model remembers of a session."""

    owner: OwnerId
    updated_at: datetime
    title: str = ""
    metadata: Metadata = ()
    turns: list[ModelTurn] = field(default_factory=list)
    feedback: dict[MessageId, Feedback | None] = field(default_factory=dict)

    @property
    def running(self) -> ModelTurn | None:
        """The turn that has not ended."""
        return next((turn for turn in self.turns if turn.is_running), None)

    def counts(self, number: int) -> bool:
        """Whether there is a turn with this number whose place can be taken."""
        known = 1 <= number <= len(self.turns)
        return known and self.turns[number - 1].superseded_by is None

    def said(self) -> list[tuple[str, TurnStatus, TurnId | None, Feedback | None]]:
        """Return what pages show."""
        return [
            (text, turn.status, turn.superseded_by, self.feedback.get(message_id))
            for turn in self.turns
            for text, message_id in zip(turn.texts, turn.message_ids, strict=True)
        ]

    def window(self, turns: int) -> list[str]:
        """Return what goes along with the next question."""
        whole = [turn for turn in self.turns if turn.is_history]
        return [text for turn in whole[max(0, len(whole) - turns) :] for text in turn.texts]


@dataclass
class Model:
    """Everything that a repository must remember, and which sessions it must have forgotten."""

    gone: list[SessionId] = field(default_factory=list)
    sessions: dict[SessionId, ModelSession] = field(default_factory=dict)
    keys: dict[tuple[OwnerId, str], ModelTurn] = field(default_factory=dict)

    @property
    def turns(self) -> list[ModelTurn]:
        """All turns of all sessions."""
        return [turn for session in self.sessions.values() for turn in session.turns]

    @property
    def running(self) -> list[ModelTurn]:
        """All turns that have not ended."""
        return [turn for turn in self.turns if turn.is_running]

    @property
    def ended(self) -> list[ModelTurn]:
        """All turns that have ended."""
        return [turn for turn in self.turns if not turn.is_running]

    def earlier(self, new: NewTurn) -> ModelTurn | None:
        """Return the turn that has this key."""
        return self.keys.get((new.owner_id, new.idempotency_key or ""))

    def refusals(self, new: NewTurn) -> set[type[ChatError]]:
        """Return with what an admission may be refused; empty: it must succeed."""
        earlier = self.earlier(new)
        if earlier is not None:
            same = earlier.new.fingerprint == new.fingerprint
            return set() if same else {IdempotencyKeyReused}
        session = self.sessions.get(new.session_id)
        if session is None and new.opens_session:
            return set()
        if session is None or session.owner != new.owner_id:
            return {SessionNotFound}
        reasons: set[type[ChatError]] = set()
        if session.running is not None and new.on_busy is OnBusy.REJECT:
            reasons.add(SessionBusy)
        if new.replaces is not None and not session.counts(new.replaces):
            reasons.add(MessageSuperseded)
        return reasons

    def admit(self, new: NewTurn, ref: TurnRef) -> ModelTurn | None:
        """Add the turn; return the one that was stopped for it."""
        session = self.sessions.setdefault(new.session_id, ModelSession(new.owner_id, new.now))
        stopped = session.running
        if stopped is not None:
            stopped.close(TurnStatus.STOPPED, AttemptOutcome.STOPPED, new.part_id)
        for turn in session.turns[new.replaces - 1 :] if new.replaces else ():
            turn.superseded_by = turn.superseded_by or new.turn_id
        window = session.window(new.window_turns)
        turn = ModelTurn(new, ref, window, expired=new.lease_seconds <= 0)
        session.turns.append(turn)
        session.title = session.title or new.title
        session.updated_at = new.now
        if new.idempotency_key is not None:
            self.keys[new.owner_id, new.idempotency_key] = turn
        return stopped

    def erase(self, session_id: SessionId) -> ModelSession:
        """Forget a session; return what it was."""
        self.gone.append(session_id)
        gone = self.sessions.pop(session_id)
        self.keys = {key: turn for key, turn in self.keys.items() if turn not in gone.turns}
        return gone
