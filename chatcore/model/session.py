"""Room 1, the hexagon: one conversation of one owner.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chatcore.model.ids import OwnerId, SessionId
from chatcore.model.metadata import Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSession:
    """One conversation as stored.

    Attributes:
        title: The beginning of the first question until somebody renames it; empty before that.
        created_at: Aware, UTC.
        updated_at: When its latest question was admitted, or it was renamed; aware, UTC.
        metadata: What the caller noted down with it. Empty in lists.
    """

    id: SessionId
    owner_id: OwnerId
    title: str
    created_at: datetime
    updated_at: datetime
    metadata: Metadata = ()
