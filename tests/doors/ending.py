"""Turns that have ended, as a door gets to render them.

May import: standard library, chatcore.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chatcore import (
    Message,
    MessageId,
    OwnerId,
    ReplyPosition,
    Role,
    SessionId,
    Turn,
    TurnEnded,
    TurnId,
    TurnStatus,
)

SESSION = SessionId(UUID("0199f3a2-7c1e-7d3b-9a55-2f1c5be0a1d4"))
TURN = TurnId(UUID("0199f3a2-7c1e-7d3b-9a55-30a4c1f2b7e8"))
WHEN = datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)
PLACE = ReplyPosition(1, 0)


def ended(status: TurnStatus, text: str = "", **fields: Any) -> TurnEnded:
    """Return the end of a turn, with a reply if there is text."""
    reply = Message(
        id=MessageId(UUID(int=9)),
        session_id=SESSION,
        turn_id=TURN,
        turn_status=status,
        position=2,
        role=Role.ASSISTANT,
        content=text,
        quote=None,
        created_at=WHEN,
    )
    turn = Turn(
        id=TURN,
        session_id=SESSION,
        owner_id=OwnerId("anna"),
        number=1,
        status=status,
        attempt=1,
        max_attempts=2,
        question_id=MessageId(UUID(int=8)),
        created_at=WHEN,
        reply=reply if text else None,
        **fields,
    )
    return TurnEnded(turn, PLACE)
