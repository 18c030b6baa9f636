"""Room 3, the world: what the memory repository keeps of one session, and the rules on it.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from chatcore import (
    Attempt,
    AttemptOutcome,
    ChatSession,
    Message,
    NewTurn,
    Role,
    Turn,
    TurnEnd,
    TurnId,
    TurnRef,
    TurnStatus,
    WindowMessage,
)


@dataclass(slots=True, kw_only=True)
class TurnRecord:
    """One turn with everything that belongs to it; the values in it are immutable."""

    turn: Turn
    question: Message
    fingerprint: bytes
    lease_until: float

    def is_held_by(self, ref: TurnRef) -> bool:
        """Whether this attempt may still write."""
        return self.turn.status is TurnStatus.RUNNING and self.turn.attempt == ref.attempt

    def was_ended_by(self, end: TurnEnd) -> bool:
        """Whether this very end is what is stored: a repeat whose answer was lost."""
        if self.turn.status is not end.status or self.turn.ended_at != end.now:
            return False
        return self.turn.reply is None or self.turn.reply.id == end.reply_id

    def seen(self, *, attempts: bool) -> Turn:
        """Return the turn, with or without its attempts."""
        return self.turn if attempts else replace(self.turn, attempts=())

    def next_attempt(self, *, error_code: str, request_digest: str, now: datetime) -> None:
        """Close the latest attempt as failed, and open another with the same window."""
        failed = replace(
            self.turn.attempts[-1],
            outcome=AttemptOutcome.FAILED,
            error_code=error_code,
            request_digest=request_digest,
            ended_at=now,
        )
        opened = pending_attempt(failed.number + 1, failed.window, now)
        attempts = (*self.turn.attempts[:-1], failed, opened)
        self.turn = replace(self.turn, attempt=opened.number, attempts=attempts)

    def finish(self, end: TurnEnd, outcome: AttemptOutcome) -> None:
        """End the turn, its latest attempt and, if there is text, add the reply."""
        last = replace(
            self.turn.attempts[-1],
            outcome=outcome,
            model=end.model,
            request_digest=end.request_digest,
            error_code=end.error_code,
            usage=end.usage,
            ended_at=end.now,
        )
        self.question = replace(self.question, turn_status=end.status)
        self.turn = replace(
            self.turn,
            status=end.status,
            ended_at=end.now,
            reply=self._reply(end) if end.text else None,
            model=end.model,
            finish_reason=end.finish_reason,
            error_code=end.error_code,
            usage=end.usage,
            attempts=(*self.turn.attempts[:-1], last),
        )

    def _reply(self, end: TurnEnd) -> Message:
        return Message(
            id=end.reply_id,
            session_id=self.turn.session_id,
            turn_id=self.turn.id,
            turn_status=end.status,
            position=self.question.position + 1,
            role=Role.ASSISTANT,
            content=end.text,
            quote=None,
            created_at=end.now,
        )


@dataclass(slots=True, kw_only=True)
class SessionRecord:
    """One session with its turns, oldest first."""

    session: ChatSession
    turns: list[TurnRecord] = field(default_factory=list)

    @classmethod
    def opened_by(cls, new: NewTurn) -> SessionRecord:
        """Return a fresh session as a first question opens it."""
        session = ChatSession(
            id=new.session_id,
            owner_id=new.owner_id,
            title=new.title,
            created_at=new.now,
            updated_at=new.now,
        )
        return cls(session=session)

    def find(self, turn_id: TurnId) -> TurnRecord | None:
        """Return the turn with this id."""
        return next((kept for kept in self.turns if kept.turn.id == turn_id), None)

    def messages(self) -> list[Message]:
        """Return everything said, oldest first."""
        said = []
        for kept in self.turns:
            said.append(kept.question)
            if kept.turn.reply is not None:
                said.append(kept.turn.reply)
        return said

    def window_before(self, turns: int) -> tuple[int, ...]:
        """Return the numbers of the latest turns that go to the model, ascending."""
        if turns == 0:
            return ()
        whole = [kept.turn.number for kept in self.turns if _is_history(kept.turn)]
        return tuple(whole[-turns:])

    def said_in(self, numbers: Iterable[int]) -> tuple[WindowMessage, ...]:
        """Return the messages of these turns as the model gets to see them, oldest first."""
        wanted = set(numbers)
        said = []
        for kept in self.turns:
            if kept.turn.number not in wanted:
                continue
            pair = [kept.question] if kept.turn.reply is None else [kept.question, kept.turn.reply]
            said += [_window_message(kept.turn, message) for message in pair]
        return tuple(said)

    def admit(self, new: NewTurn, window: tuple[int, ...], *, lease_until: float) -> TurnRecord:
        """Add a running turn with its question at the next position."""
        messages = self.messages()
        question = Message(
            id=new.question_id,
            session_id=new.session_id,
            turn_id=new.turn_id,
            turn_status=TurnStatus.RUNNING,
            position=messages[-1].position + 1 if messages else 1,
            role=Role.USER,
            content=new.text,
            quote=new.quote,
            created_at=new.now,
        )
        turn = Turn(
            id=new.turn_id,
            session_id=new.session_id,
            owner_id=new.owner_id,
            number=len(self.turns) + 1,
            status=TurnStatus.RUNNING,
            attempt=1,
            max_attempts=new.max_attempts,
            question_id=new.question_id,
            created_at=new.now,
            attempts=(pending_attempt(1, window, new.now),),
        )
        record = TurnRecord(
            turn=turn, question=question, fingerprint=new.fingerprint, lease_until=lease_until
        )
        self.turns.append(record)
        self.touch(new.now)
        return record

    def touch(self, now: datetime) -> None:
        """Note activity; the time never goes back."""
        self.session = replace(self.session, updated_at=max(self.session.updated_at, now))


def pending_attempt(number: int, window: tuple[int, ...], now: datetime) -> Attempt:
    """Return an attempt as it is recorded before it is sent."""
    return Attempt(
        number=number,
        outcome=AttemptOutcome.PENDING,
        window=window,
        started_at=now,
        ended_at=None,
        model=None,
        request_digest=None,
        error_code=None,
        usage=None,
    )


def _is_history(turn: Turn) -> bool:
    ended_well = turn.status in (TurnStatus.COMPLETED, TurnStatus.STOPPED)
    return ended_well and turn.reply is not None


def _window_message(turn: Turn, message: Message) -> WindowMessage:
    return WindowMessage(
        turn_id=turn.id,
        turn_number=turn.number,
        content=message.content,
        quote=message.quote,
        from_user=message.role is Role.USER,
    )
