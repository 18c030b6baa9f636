"""Room 2, the wall: what chatcore asks of the storage of what people think of messages.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from chatcore.model.feedback import Feedback
from chatcore.model.ids import MessageId, OwnerId, SessionId


class FeedbackRepository(Protocol):
    """Feedback; pages of messages show it."""

    @abstractmethod
    async def rate(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        message_id: MessageId,
        *,
        feedback: Feedback | None,
        now: datetime,
    ) -> None:
        """Keep what an owner thinks of one message, in the place of what they thought before.

        Args:
            owner_id: Whose session.
            session_id: Which session.
            message_id: Which message of it.
            feedback: None: nothing any more.
            now: The caller's clock.

        Raises:
            MessageNotFound: No such message in this session of this owner. Nothing was written.
            StorageUnavailable: The store did not answer. Repeating is safe.

        Promise: durable on return; the latest call counts; erased with its session (G12).
        """
        ...
