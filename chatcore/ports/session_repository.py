"""Room 2, the wall: what chatcore asks of the storage of sessions and their messages.

May import: standard library, chatcore.model.

Every method is one short, whole transaction, and names the owner: what belongs to somebody else is
answered exactly like what does not exist (guarantee G11). No method is called while a connection,
lock or transaction of another is open (G10). What is returned shares no mutable state with the
store.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from chatcore.model.ids import OwnerId, SessionId
from chatcore.model.metadata import Metadata
from chatcore.model.page import MessagePage, SessionCursor, SessionPage
from chatcore.model.session import ChatSession


class SessionRepository(Protocol):
    """Sessions and what was said in them."""

    @abstractmethod
    async def open(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        title: str,
        metadata: Metadata,
        now: datetime,
    ) -> ChatSession:
        """Begin a session in which nothing has been said.

        Args:
            owner_id: Whose.
            session_id: Its id, made by the caller.
            title: Up to 200 characters that can be stored; empty: that of the first question.
            metadata: What the caller wants to find again.
            now: The caller's clock.

        Returns:
            The session; one that is there already is returned as it is.

        Raises:
            StorageUnavailable: The store did not answer. Repeating is safe.
        """
        ...

    @abstractmethod
    async def note(
        self, owner_id: OwnerId, session_id: SessionId, *, metadata: Metadata
    ) -> ChatSession:
        """Replace what the caller noted down with a session; that is no activity.

        Raises:
            SessionNotFound: No such session of this owner. Nothing was written.
            StorageUnavailable: The store did not answer. Repeating is safe.
        """
        ...

    @abstractmethod
    async def session(self, owner_id: OwnerId, session_id: SessionId) -> ChatSession:
        """Return one session.

        Raises:
            SessionNotFound: No such session of this owner.
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def sessions(
        self, owner_id: OwnerId, *, limit: int, after: SessionCursor | None
    ) -> SessionPage:
        """Return one page of an owner's sessions, latest activity first; ties by id, larger first.

        Args:
            owner_id: Whose.
            limit: Most sessions to return, at least 1.
            after: Where to go on; None for the beginning. Need not name a session that exists.

        Returns:
            At most `limit` sessions; empty for an owner nobody knows.

        Raises:
            StorageUnavailable: The store did not answer.

        Promise: walking by cursors returns no session twice, and every session whose activity does
        not change meanwhile. Costs the same at any depth (G13).
        """
        ...

    @abstractmethod
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
        """Return one page of a session's messages, oldest first within the page.

        Args:
            owner_id: Whose session.
            session_id: Which session.
            limit: Most messages to return, at least 1.
            before: Only positions below this: the newest of them. Not together with `after`.
            after: Only positions above this: the oldest of them. Neither: the newest page.
            counting: Only what was not superseded, as if there were nothing else.

        Returns:
            At most `limit` messages with consecutive positions, or with gaps if `counting`.

        Raises:
            SessionNotFound: No such session of this owner.
            StorageUnavailable: The store did not answer.

        Promise: order is by position, never by time (G4). Costs the same at any depth (G13);
        `counting`, it passes over what was superseded in between, and before the first that counts.
        """
        ...

    @abstractmethod
    async def rename(
        self, owner_id: OwnerId, session_id: SessionId, *, title: str, now: datetime
    ) -> ChatSession:
        """Give a session another title.

        Args:
            owner_id: Whose session.
            session_id: Which session.
            title: 1 to 200 characters that can be stored.
            now: The caller's clock, for `updated_at`, which never goes back.

        Returns:
            The session as now stored.

        Raises:
            SessionNotFound: No such session of this owner. Nothing was written.
            StorageUnavailable: The store did not answer. Repeating is safe.
        """
        ...

    @abstractmethod
    async def erase(self, owner_id: OwnerId, session_id: SessionId, *, now: datetime) -> None:
        """Erase a session with every word in it; a running turn's late writes find nothing.

        A tombstone without content keeps how many turns there were and what they cost.

        Raises:
            SessionNotFound: No such session of this owner (any more).
            StorageUnavailable: The store did not answer. Repeating is safe.

        Promise: on return no table holds a word of it (G12).
        """
        ...
