"""Room 3, the world: conversation storage in PostgreSQL, all parts of the port.

May import: standard library, chatcore.
"""

from __future__ import annotations

from chatcore import ChatRepository

from .database import Database
from .feedback_repository import PostgresFeedback
from .reply_journal import PostgresJournal
from .session_repository import PostgresSessions
from .turn_repository import PostgresTurns


class PostgresChatRepository(
    PostgresTurns, PostgresJournal, PostgresSessions, PostgresFeedback, ChatRepository
):
    """Conversations in PostgreSQL. Every method is one short transaction.

    Args:
        database: An open pool; whoever opened it closes it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
