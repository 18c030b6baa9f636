"""Room 3, the world: rows of sessions and of what was said become entities.

May import: standard library, chatcore, msgspec.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from chatcore import (
    ChatSession,
    Feedback,
    Message,
    MessageId,
    Metadata,
    OwnerId,
    Question,
    Quote,
    Rating,
    Role,
    SessionId,
    TurnId,
    TurnStatus,
    WindowMessage,
)

Row = Mapping[str, Any]

_decode_quote = msgspec.json.Decoder(Quote).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


def session(row: Row) -> ChatSession:
    """Return a session as it was read."""
    return ChatSession(
        id=SessionId(row["id"]),
        owner_id=OwnerId(row["owner_id"]),
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        metadata=metadata(row.get("metadata")),
    )


def message(session_id: SessionId, row: Row) -> Message:
    """Return a message as it was read with its turn."""
    return Message(
        id=MessageId(row["id"]),
        session_id=session_id,
        turn_id=TurnId(row["turn_id"]),
        turn_status=TurnStatus(row["turn_status"]),
        position=row["position"],
        role=Role(row["role"]),
        content=row["content"],
        quote=_quote(row["quote"]),
        created_at=row["created_at"],
        superseded_by=turn_id(row["superseded_by"]),
        client_id=row["client_id"],
        feedback=_feedback(row),
    )


def question(row: Row) -> Question:
    """Return a turn's question as it was read."""
    return Question(
        turn_id=TurnId(row["id"]),
        turn_number=row["number"],
        message_id=MessageId(row["question_id"]),
        position=row["position"],
        text=row["content"],
        quote=_quote(row["quote"]),
        client_id=row["client_id"],
        superseded_by=turn_id(row["superseded_by"]),
    )


def window(rows: Iterable[Row]) -> tuple[WindowMessage, ...]:
    """Return the messages of a window; a row without one says that it is empty."""
    return tuple(
        WindowMessage(
            turn_id=TurnId(row["said_turn_id"]),
            turn_number=row["said_turn_number"],
            content=row["said_content"],
            quote=_quote(row["said_quote"]),
            from_user=row["said_role"] == "user",
        )
        for row in rows
        if row["said_turn_id"] is not None
    )


def metadata(value: str | None) -> Metadata:
    """Return what a caller noted down."""
    return () if value is None else tuple(sorted(_decode_metadata(value).items()))


def turn_id(value: UUID | None) -> TurnId | None:
    """Return a turn's id where there need not be one."""
    return None if value is None else TurnId(value)


def _quote(value: str | None) -> Quote | None:
    return None if value is None else _decode_quote(value)


def _feedback(row: Row) -> Feedback | None:
    if row["rating"] is None:
        return None
    return Feedback(rating=Rating(row["rating"]), comment=row["comment"])
