"""Room 3, the world: what people think of messages, in PostgreSQL.

May import: standard library, chatcore.
"""

from __future__ import annotations

from datetime import datetime

from chatcore import (
    Feedback,
    FeedbackRepository,
    MessageId,
    MessageNotFound,
    OwnerId,
    SessionId,
)

from . import feedback_statements as sql
from .database import Database


class PostgresFeedback(FeedbackRepository):
    """The part of the repository that is about feedback."""

    _database: Database

    async def rate(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        *,
        feedback: Feedback | None,
        now: datetime,
    ) -> None:
        """Keep what an owner thinks of one message; see the port."""
        given: dict[str, object] = {
            "owner_id": owner_id,
            "session_id": session_id,
            "message_id": message_id,
        }
        if feedback is None:
            found = await self._database.fetch_one(sql.FORGET, given)
        else:
            given |= {"rating": feedback.rating.value, "comment": feedback.comment, "now": now}
            found = await self._database.fetch_one(sql.RATE, given)
        if found is None:
            raise MessageNotFound(message_id)
