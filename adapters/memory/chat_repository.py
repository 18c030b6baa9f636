"""Room 3, the world: conversations in this process's memory, with the promises of PostgreSQL.

May import: standard library, chatcore.

No method awaits anything, so each one is a whole transaction of the event loop. Everything handed
out is immutable, so nothing a caller does with it can change what is stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from chatcore import ChatRepository

from .feedback_repository import InMemoryFeedback
from .reply_journal import InMemoryJournal
from .session_repository import InMemorySessions, Tombstone
from .turn_repository import InMemoryTurns


class InMemoryChatRepository(
    InMemoryTurns, InMemoryJournal, InMemorySessions, InMemoryFeedback, ChatRepository
):
    """Conversation storage that lives as long as the process.

    Args:
        monotonic: Seconds that only grow; decides about leases and deadlines.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic=monotonic)
        self.tombstones: list[Tombstone] = []
