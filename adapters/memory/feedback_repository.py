"""Room 3, the world: what people think of messages, in this process's memory.

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

from .store import InMemoryStore


class InMemoryFeedback(InMemoryStore, FeedbackRepository):
    """The part of the repository that is about feedback."""

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
        record = self._kept.get((owner_id, session_id))
        if record is None or record.find_by_message(message_id) is None:
            raise MessageNotFound(message_id)
        record.rate(message_id, feedback)
