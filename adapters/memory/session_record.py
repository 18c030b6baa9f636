"""Room 3, the world: what the memory repository keeps of one session, and the rules on it.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from chatcore import (
    ChatSession,
    Feedback,
    Message,
    MessageId,
    NewTurn,
    Role,
    Turn,
    TurnId,
    TurnStatus,
    WindowMessage,
)

from .turn_record import TurnRecord, pending_attempt


@dataclass(slots=True, kw_only=True, eq=False)
class SessionRecord:
    """One session with its turns, oldest first, and what is thought of their messages."""

    session: ChatSession
    turns: list[TurnRecord] = field(default_factory=list)
    feedback: dict[MessageId, Feedback] = field(default_factory=dict)

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

    @property
    def running(self) -> TurnRecord | None:
        """The turn that has not ended: the latest, if any."""
        latest = self.turns[-1] if self.turns else None
        return latest if latest is not None and latest.is_running else None

    def find(self, turn_id: TurnId) -> TurnRecord | None:
        """Return the turn with this id."""
        return next((kept for kept in self.turns if kept.turn.id == turn_id), None)

    def find_by_message(self, message_id: MessageId) -> TurnRecord | None:
        """Return the turn that this message belongs to."""
        said = (message for message in self.messages() if message.id == message_id)
        message = next(said, None)
        return None if message is None else self.find(message.turn_id)

    def find_by_client_id(self, client_id: str) -> TurnRecord | None:
        """Return the latest turn whose question the caller calls so."""
        named = (kept for kept in reversed(self.turns) if kept.question.client_id == client_id)
        return next(named, None)

    def find_after(self, turn_id: TurnId) -> TurnRecord | None:
        """Return the first turn after this one that counts."""
        known = self.find(turn_id)
        later = () if known is None else self.turns[known.turn.number :]
        return next((kept for kept in later if kept.turn.superseded_by is None), None)

    def messages(self) -> list[Message]:
        """Return everything said, oldest first."""
        said = []
        for kept in self.turns:
            said.append(kept.question)
            if kept.turn.reply is not None:
                said.append(kept.turn.reply)
        return said

    def shown(self) -> list[Message]:
        """Return everything said with what is thought of it, oldest first."""
        return [replace(each, feedback=self.feedback.get(each.id)) for each in self.messages()]

    def rate(self, message_id: MessageId, feedback: Feedback | None) -> None:
        """Keep what is thought of a message."""
        if feedback is None:
            self.feedback.pop(message_id, None)
        else:
            self.feedback[message_id] = feedback

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

    def counts(self, number: int) -> bool:
        """Whether there is a turn with this number whose place can be taken."""
        found = (kept for kept in self.turns if kept.turn.number == number)
        return any(kept.turn.superseded_by is None for kept in found)

    def supersede_from(self, number: int, *, by: TurnId) -> None:
        """Let another turn take the place of this one and of all after it that still count."""
        for kept in self.turns:
            if kept.turn.number >= number and kept.turn.superseded_by is None:
                kept.supersede(by)

    def admit(self, new: NewTurn, window: tuple[int, ...], *, now: float) -> TurnRecord:
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
            client_id=new.client_id,
        )
        record = TurnRecord(
            turn=_running_turn(new, len(self.turns) + 1, window),
            question=question,
            fingerprint=new.fingerprint,
            lease_until=now + new.lease_seconds,
            deadline=now + new.deadline_seconds,
        )
        self.turns.append(record)
        self.session = replace(self.session, title=self.session.title or new.title)
        self.touch(new.now)
        return record

    def touch(self, now: datetime) -> None:
        """Note activity; the time never goes back."""
        self.session = replace(self.session, updated_at=max(self.session.updated_at, now))


def _running_turn(new: NewTurn, number: int, window: tuple[int, ...]) -> Turn:
    attempt = pending_attempt(1, window, template=new.template, stream=new.stream, now=new.now)
    return Turn(
        id=new.turn_id,
        session_id=new.session_id,
        owner_id=new.owner_id,
        number=number,
        status=TurnStatus.RUNNING,
        attempt=1,
        max_attempts=new.max_attempts,
        question_id=new.question_id,
        created_at=new.now,
        metadata=new.metadata,
        attempts=(attempt,),
    )


def _is_history(turn: Turn) -> bool:
    ended_well = turn.status in (TurnStatus.COMPLETED, TurnStatus.STOPPED)
    return ended_well and turn.reply is not None and turn.superseded_by is None


def _window_message(turn: Turn, message: Message) -> WindowMessage:
    return WindowMessage(
        turn_id=turn.id,
        turn_number=turn.number,
        content=message.content,
        quote=message.quote,
        from_user=message.role is Role.USER,
    )
