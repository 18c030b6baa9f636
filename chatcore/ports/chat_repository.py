"""Room 2, the wall: conversation storage, whole.

May import: standard library, chatcore.ports.
"""

from __future__ import annotations

from typing import Protocol

from chatcore.ports.feedback_repository import FeedbackRepository
from chatcore.ports.reply_journal import ReplyJournal
from chatcore.ports.session_repository import SessionRepository
from chatcore.ports.turn_repository import TurnRepository


class ChatRepository(SessionRepository, TurnRepository, ReplyJournal, FeedbackRepository, Protocol):
    """All four parts, on one store, since they guard one another; what adapters implement.

    Contract: chatcore.testing.chat_repository_contract::ChatRepositoryContract.
    """
