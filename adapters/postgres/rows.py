"""Room 3, the world: rows of turns become entities.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from chatcore import (
    AbandonedTurn,
    Attempt,
    AttemptOutcome,
    JournalEntry,
    Message,
    MessageId,
    NewTurn,
    OwnerId,
    Role,
    SessionId,
    Turn,
    TurnEnd,
    TurnId,
    TurnRef,
    TurnStatus,
    Usage,
)

from .said_rows import Row, metadata, turn_id


def admitted_turn(new: NewTurn, row: Row) -> Turn:
    """Return the turn that was just admitted."""
    return Turn(
        id=new.turn_id,
        session_id=new.session_id,
        owner_id=new.owner_id,
        number=row["last_turn"],
        status=TurnStatus.RUNNING,
        attempt=1,
        max_attempts=new.max_attempts,
        question_id=new.question_id,
        created_at=new.now,
    )


def ended_turn(ref: TurnRef, end: TurnEnd, row: Row) -> Turn:
    """Return the turn that was just ended."""
    reply = None
    if end.text:
        reply = Message(
            id=end.reply_id,
            session_id=ref.session_id,
            turn_id=ref.turn_id,
            turn_status=end.status,
            position=row["question_position"] + 1,
            role=Role.ASSISTANT,
            content=end.text,
            quote=None,
            created_at=end.now,
        )
    return Turn(
        id=ref.turn_id,
        session_id=ref.session_id,
        owner_id=ref.owner_id,
        number=ref.number,
        status=end.status,
        attempt=ref.attempt,
        max_attempts=row["max_attempts"],
        question_id=MessageId(row["question_id"]),
        created_at=row["created_at"],
        ended_at=end.now,
        reply=reply,
        model=end.model,
        finish_reason=end.finish_reason,
        error_code=end.error_code,
        usage=end.usage,
    )


def stored_turn(row: Row, attempts: Iterable[Row] = ()) -> Turn:
    """Return a turn as it was read."""
    return Turn(
        id=TurnId(row["id"]),
        session_id=SessionId(row["session_id"]),
        owner_id=OwnerId(row["owner_id"]),
        number=row["number"],
        status=TurnStatus(row["status"]),
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        question_id=MessageId(row["question_id"]),
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        reply=_stored_reply(row),
        model=row["model"],
        finish_reason=row["finish_reason"],
        error_code=row["error_code"],
        usage=_usage(row),
        superseded_by=turn_id(row["superseded_by"]),
        metadata=metadata(row["metadata"]),
        attempts=tuple(_attempt(kept) for kept in attempts),
    )


def in_short(turn: Turn) -> Turn:
    """Return a turn without what only those get who ask for the turn itself."""
    return replace(turn, attempts=(), metadata=())


def _stored_reply(row: Row) -> Message | None:
    if row["reply_id"] is None:
        return None
    return Message(
        id=MessageId(row["reply_id"]),
        session_id=SessionId(row["session_id"]),
        turn_id=TurnId(row["id"]),
        turn_status=TurnStatus(row["status"]),
        position=row["reply_position"],
        role=Role.ASSISTANT,
        content=row["reply_content"],
        quote=None,
        created_at=row["reply_created_at"],
        superseded_by=turn_id(row["superseded_by"]),
    )


def journal_entry(row: Row) -> JournalEntry:
    """Return a turn as a follower finds it."""
    return JournalEntry(
        turn_id=TurnId(row["id"]),
        status=TurnStatus(row["status"]),
        attempt=row["attempt"],
        is_abandoned=row["is_abandoned"],
        start=row["start"],
        text=row["text"],
    )


def abandoned_turn(row: Row) -> AbandonedTurn:
    """Return a turn that is past its lease."""
    ref = TurnRef(
        owner_id=OwnerId(row["owner_id"]),
        session_id=SessionId(row["session_id"]),
        turn_id=TurnId(row["id"]),
        number=row["number"],
        attempt=row["attempt"],
    )
    return AbandonedTurn(ref, may_go_on=row["may_go_on"])


def _attempt(row: Row) -> Attempt:
    return Attempt(
        number=row["number"],
        outcome=AttemptOutcome(row["outcome"]),
        window=tuple(row["window_turns"]),
        template=row["template"],
        stream=row["stream"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        model=row["model"],
        request_digest=row["request_digest"],
        error_code=row["error_code"],
        usage=_usage(row),
    )


def _usage(row: Row) -> Usage | None:
    if row["prompt_tokens"] is None:
        return None
    return Usage(
        prompt_tokens=row["prompt_tokens"], completion_tokens=row["completion_tokens"] or 0
    )
