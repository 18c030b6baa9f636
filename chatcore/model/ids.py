"""Room 1, the hexagon: the kinds of ids, so that the type checker tells them apart.

May import: standard library.
"""

from __future__ import annotations

from typing import NewType
from uuid import UUID

OwnerId = NewType("OwnerId", str)
"""Whom a session belongs to: 1 to 128 characters, opaque to chatcore."""
SessionId = NewType("SessionId", UUID)
TurnId = NewType("TurnId", UUID)
MessageId = NewType("MessageId", UUID)

OWNER_MAX_CHARS = 128
"""Longest owner id, in code points."""
