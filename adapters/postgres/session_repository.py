"""Room 3, the world: sessions and their messages in PostgreSQL.

May import: standard library, chatcore.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from chatcore import (
    ChatSession,
    MessagePage,
    Metadata,
    OwnerId,
    SessionCursor,
    SessionId,
    SessionNotFound,
    SessionPage,
    SessionRepository,
    StorageUnavailable,
)

from . import page_statements, said_rows, values
from . import session_statements as sql
from .database import Database

_OPEN_TRIES = 3


class PostgresSessions(SessionRepository):
    """The part of the repository that is about whole conversations."""

    _database: Database

    async def open(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        title: str,
        metadata: Metadata,
        now: datetime,
    ) -> ChatSession:
        """Begin a session in which nothing has been said."""
        given = {
            "owner_id": owner_id,
            "session_id": session_id,
            "title": title,
            "metadata": values.metadata_value(metadata),
            "now": now,
        }
        for _ in range(_OPEN_TRIES):
            row = await self._database.fetch_one(sql.OPEN, given)
            if row is not None:
                return said_rows.session(row)
            with suppress(SessionNotFound):  # erased after it had been in the way
                return await self.session(owner_id, session_id)
        raise StorageUnavailable("the session comes and goes too fast")

    async def note(
        self, owner_id: OwnerId, session_id: SessionId, *, metadata: Metadata
    ) -> ChatSession:
        """Replace what the caller noted down with a session."""
        given = {
            "owner_id": owner_id,
            "session_id": session_id,
            "metadata": values.metadata_value(metadata),
        }
        row = await self._database.fetch_one(sql.NOTE, given)
        if row is None:
            raise SessionNotFound(session_id)
        return said_rows.session(row)

    async def session(self, owner_id: OwnerId, session_id: SessionId) -> ChatSession:
        """Return one session."""
        given = {"owner_id": owner_id, "session_id": session_id}
        row = await self._database.fetch_one(sql.SESSION_BY_ID, given)
        if row is None:
            raise SessionNotFound(session_id)
        return said_rows.session(row)

    async def sessions(
        self, owner_id: OwnerId, *, limit: int, after: SessionCursor | None
    ) -> SessionPage:
        """Return one page of an owner's sessions, latest activity first."""
        # One more than asked for tells whether there is a next page.
        given: dict[str, object] = {"owner_id": owner_id, "limit": limit + 1}
        if after is None:
            found = await self._database.fetch(sql.SESSIONS_FIRST_PAGE, given)
        else:
            given |= {"updated_at": after.updated_at, "after_id": after.session_id}
            found = await self._database.fetch(sql.SESSIONS_NEXT_PAGE, given)
        items = tuple(said_rows.session(row) for row in found[:limit])
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
        counting: bool = False,
    ) -> MessagePage:
        """Return one page of a session's messages, oldest first within it."""
        given = {"owner_id": owner_id, "session_id": session_id, "limit": limit}
        pages = page_statements.COUNTING if counting else page_statements.ALL
        if after is not None:
            found = await self._database.fetch(pages.after, given | {"place": after})
        elif before is not None:
            found = await self._database.fetch(pages.before, given | {"place": before})
        else:
            found = await self._database.fetch(pages.newest, given)
        if not found:
            raise SessionNotFound(session_id)
        oldest, newest = found[0]["oldest_position"], found[0]["newest_position"]
        items = tuple(said_rows.message(session_id, row) for row in found if row["id"] is not None)
        return MessagePage(
            items=items,
            has_older=bool(items) and items[0].position > oldest,
            has_newer=bool(items) and items[-1].position < newest,
        )

    async def rename(
        self, owner_id: OwnerId, session_id: SessionId, *, title: str, now: datetime
    ) -> ChatSession:
        """Give a session another title."""
        given = {"owner_id": owner_id, "session_id": session_id, "title": title, "now": now}
        row = await self._database.fetch_one(sql.RENAME, given)
        if row is None:
            raise SessionNotFound(session_id)
        return said_rows.session(row)

    async def erase(self, owner_id: OwnerId, session_id: SessionId, *, now: datetime) -> None:
        """Erase a session with every word in it; a tombstone keeps its counts."""
        given = {"owner_id": owner_id, "session_id": session_id, "now": now}
        if await self._database.fetch_one(sql.ERASE, given) is None:
            raise SessionNotFound(session_id)
