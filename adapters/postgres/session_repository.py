"""Room 3, the world: sessions and their messages in PostgreSQL.

May import: standard library, chatcore.
"""

from __future__ import annotations

from datetime import datetime

from chatcore import (
    ChatSession,
    MessagePage,
    OwnerId,
    SessionCursor,
    SessionId,
    SessionNotFound,
    SessionPage,
    SessionRepository,
)

from . import rows
from . import session_statements as sql
from .database import Database


class PostgresSessions(SessionRepository):
    """The part of the repository that is about whole conversations."""

    _database: Database

    async def session(self, owner_id: OwnerId, session_id: SessionId) -> ChatSession:
        """Return one session."""
        values = {"owner_id": owner_id, "session_id": session_id}
        row = await self._database.fetch_one(sql.SESSION_BY_ID, values)
        if row is None:
            raise SessionNotFound(session_id)
        return rows.session(row)

    async def sessions(
        self, owner_id: OwnerId, *, limit: int, after: SessionCursor | None
    ) -> SessionPage:
        """Return one page of an owner's sessions, latest activity first."""
        # One more than asked for tells whether there is a next page.
        values: dict[str, object] = {"owner_id": owner_id, "limit": limit + 1}
        if after is None:
            found = await self._database.fetch(sql.SESSIONS_FIRST_PAGE, values)
        else:
            values |= {"updated_at": after.updated_at, "after_id": after.session_id}
            found = await self._database.fetch(sql.SESSIONS_NEXT_PAGE, values)
        items = tuple(rows.session(row) for row in found[:limit])
        cursor = None
        if len(found) > limit:
            cursor = SessionCursor(updated_at=items[-1].updated_at, session_id=items[-1].id)
        return SessionPage(items=items, next_cursor=cursor)

    async def messages(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> MessagePage:
        """Return one page of a session's messages, oldest first within it."""
        values = {"owner_id": owner_id, "session_id": session_id, "limit": limit}
        if after is not None:
            found = await self._database.fetch(sql.MESSAGES_AFTER, values | {"place": after})
        elif before is not None:
            found = await self._database.fetch(sql.MESSAGES_BEFORE, values | {"place": before})
        else:
            found = await self._database.fetch(sql.NEWEST_MESSAGES, values)
        if not found:
            raise SessionNotFound(session_id)
        newest = found[0]["newest_position"]
        items = tuple(rows.message(session_id, row) for row in found if row["id"] is not None)
        return MessagePage(
            items=items,
            has_older=bool(items) and items[0].position > 1,
            has_newer=bool(items) and items[-1].position < newest,
        )

    async def rename(
        self, owner_id: OwnerId, session_id: SessionId, *, title: str, now: datetime
    ) -> ChatSession:
        """Give a session another title."""
        values = {"owner_id": owner_id, "session_id": session_id, "title": title, "now": now}
        row = await self._database.fetch_one(sql.RENAME, values)
        if row is None:
            raise SessionNotFound(session_id)
        return rows.session(row)

    async def erase(self, owner_id: OwnerId, session_id: SessionId, *, now: datetime) -> None:
        """Erase a session with every word in it; a tombstone keeps its counts."""
        values = {"owner_id": owner_id, "session_id": session_id, "now": now}
        if await self._database.fetch_one(sql.ERASE, values) is None:
            raise SessionNotFound(session_id)
