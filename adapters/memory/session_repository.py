"""Room 3, the world: sessions and their messages in this process's memory.

May import: standard library, chatcore.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from chatcore import (
    ChatSession,
    MessagePage,
    Metadata,
    OwnerId,
    SessionCursor,
    SessionId,
    SessionPage,
    SessionRepository,
)

from .session_record import SessionRecord
from .store import InMemoryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What is left of an erased session: counts and cost, no content."""

    owner_id: OwnerId
    session_id: SessionId
    erased_at: datetime
    turns: int
    prompt_tokens: int
    completion_tokens: int


class InMemorySessions(InMemoryStore, SessionRepository):
    """The part of the repository that is about whole conversations."""

    tombstones: list[Tombstone]

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
        session = ChatSession(
            id=session_id,
            owner_id=owner_id,
            title=title,
            created_at=now,
            updated_at=now,
            metadata=metadata,
        )
        record = self._kept.setdefault((owner_id, session_id), SessionRecord(session=session))
        return record.session

    async def note(
        self, owner_id: OwnerId, session_id: SessionId, *, metadata: Metadata
    ) -> ChatSession:
        """Replace what the caller noted down with a session."""
        record = self._require(owner_id, session_id)
        record.session = replace(record.session, metadata=metadata)
        return record.session

    async def session(self, owner_id: OwnerId, session_id: SessionId) -> ChatSession:
        """Return one session."""
        return self._require(owner_id, session_id).session

    async def sessions(
        self, owner_id: OwnerId, *, limit: int, after: SessionCursor | None
    ) -> SessionPage:
        """Return one page of an owner's sessions, latest activity first."""
        mine = [record.session for key, record in self._kept.items() if key[0] == owner_id]
        mine.sort(key=lambda session: (session.updated_at, session.id), reverse=True)
        if after is not None:
            place = (after.updated_at, after.session_id)
            mine = [session for session in mine if (session.updated_at, session.id) < place]
        items = tuple(replace(session, metadata=()) for session in mine[:limit])
        cursor = None
        if len(mine) > limit:
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
        said = self._require(owner_id, session_id).shown()
        if counting:
            said = [message for message in said if message.superseded_by is None]
        if after is not None:
            wanted = [message for message in said if message.position > after][:limit]
        else:
            wanted = [message for message in said if before is None or message.position < before]
            wanted = wanted[-limit:]
        return MessagePage(
            items=tuple(wanted),
            has_older=bool(wanted) and wanted[0].position > said[0].position,
            has_newer=bool(wanted) and wanted[-1].position < said[-1].position,
        )

    async def rename(
        self, owner_id: OwnerId, session_id: SessionId, *, title: str, now: datetime
    ) -> ChatSession:
        """Give a session another title."""
        record = self._require(owner_id, session_id)
        record.touch(now)
        record.session = replace(record.session, title=title)
        return record.session

    async def erase(self, owner_id: OwnerId, session_id: SessionId, *, now: datetime) -> None:
        """Erase a session with every word in it; a tombstone keeps its counts."""
        record = self._require(owner_id, session_id)
        del self._kept[owner_id, session_id]
        self._keys = {key: kept for key, kept in self._keys.items() if kept not in record.turns}
        used = [kept.turn.usage for kept in record.turns if kept.turn.usage is not None]
        tombstone = Tombstone(
            owner_id=owner_id,
            session_id=session_id,
            erased_at=now,
            turns=len(record.turns),
            prompt_tokens=sum(usage.prompt_tokens for usage in used),
            completion_tokens=sum(usage.completion_tokens for usage in used),
        )
        self.tombstones.append(tombstone)
