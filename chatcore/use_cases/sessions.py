"""Room 1, the hexagon: what people do with whole conversations: look, list, rename, erase.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports.
"""

from __future__ import annotations

from chatcore.errors import InvalidInput
from chatcore.model.ids import OwnerId, SessionId
from chatcore.model.page import MessagePage, SessionCursor, SessionPage
from chatcore.model.session import ChatSession
from chatcore.model.text import TITLE_MAX_CHARS, require_text
from chatcore.ports.clock import Clock
from chatcore.ports.session_repository import SessionRepository

PAGE_MAX_ITEMS = 100
"""Most items a page may be asked for."""


class SessionUseCases:
    """Everything about sessions that does not involve the model.

    Args:
        repository: Where conversations live.
        clock: Tells the time.
    """

    def __init__(self, *, repository: SessionRepository, clock: Clock) -> None:
        self._sessions = repository
        self._session_clock = clock

    async def session(self, owner_id: OwnerId, session_id: SessionId) -> ChatSession:
        """Return one session.

        Raises:
            SessionNotFound: No such session of this owner.
            StorageUnavailable: The store did not answer.
        """
        return await self._sessions.session(owner_id, session_id)

    async def sessions(
        self, owner_id: OwnerId, *, limit: int = 20, after: SessionCursor | None = None
    ) -> SessionPage:
        """Return one page of an owner's sessions, latest activity first.

        Raises:
            InvalidInput: `limit` is not between 1 and 100.
            StorageUnavailable: The store did not answer.
        """
        _require_limit(limit)
        return await self._sessions.sessions(owner_id, limit=limit, after=after)

    async def messages(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        limit: int = 50,
        before: int | None = None,
        after: int | None = None,
        counting: bool = False,
    ) -> MessagePage:
        """Return one page of messages, oldest first within it; without bounds, the newest page.

        With `counting`, only what was not superseded: the conversation as it goes on.

        Raises:
            InvalidInput: `limit` is not between 1 and 100, or both bounds are given.
            SessionNotFound: No such session of this owner.
            StorageUnavailable: The store did not answer.
        """
        _require_limit(limit)
        if before is not None and after is not None:
            raise InvalidInput("after", "cannot be combined with before")
        return await self._sessions.messages(
            owner_id, session_id, limit=limit, before=before, after=after, counting=counting
        )

    async def rename(self, owner_id: OwnerId, session_id: SessionId, title: str) -> ChatSession:
        """Give a session another title, 1 to 200 characters.

        Raises:
            InvalidInput: The title is blank, too long, or cannot be stored.
            SessionNotFound: No such session of this owner.
            StorageUnavailable: The store did not answer.
        """
        require_text(title, field="title", max_chars=TITLE_MAX_CHARS)
        return await self._sessions.rename(
            owner_id, session_id, title=title, now=self._session_clock.now()
        )

    async def erase(self, owner_id: OwnerId, session_id: SessionId) -> None:
        """Erase a session and every word in it; a running turn of it is discarded.

        Raises:
            SessionNotFound: No such session of this owner (any more).
            StorageUnavailable: The store did not answer.
        """
        await self._sessions.erase(owner_id, session_id, now=self._session_clock.now())


def _require_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_MAX_ITEMS:
        raise InvalidInput("limit", f"is not between 1 and {PAGE_MAX_ITEMS}")
