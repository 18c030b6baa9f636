"""Room 1, the hexagon: one page of a longer list.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chatcore.model.ids import SessionId
from chatcore.model.message import Message
from chatcore.model.session import ChatSession


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCursor:
    """A place in a list of sessions: just after the session that had these values.

    It stays valid when that session is gone or has moved to the top.
    """

    updated_at: datetime
    session_id: SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """Sessions, latest activity first; ties by id, larger first.

    Attributes:
        next_cursor: Where the next page begins; None at the end.
    """

    items: tuple[ChatSession, ...]
    next_cursor: SessionCursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """Messages of one session, oldest first.

    Attributes:
        has_older: Whether messages come before the first of these.
        has_newer: Whether messages come after the last of these.
    """

    items: tuple[Message, ...]
    has_older: bool
    has_newer: bool
