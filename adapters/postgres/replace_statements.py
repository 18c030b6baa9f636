"""Room 3, the world: making room for a question: what it needs besides being admitted.

May import: standard library, sqlalchemy.

All within one transaction that holds the session's row, so that what was looked at stays true.
"""

from __future__ import annotations

import sqlalchemy as sa

from .parameters import OF_SESSION, OWNER, SESSION, TURN
from .tables import chat_sessions, turns

_REPLACES = sa.bindparam("replaces", type_=sa.Integer)

LOCK_SESSION = (
    sa.select(chat_sessions.c.id)
    .where(chat_sessions.c.owner_id == OWNER, chat_sessions.c.id == SESSION)
    .with_for_update(key_share=True)
)
"""Hold the session until the end of the transaction. Rows: none if there is no such session."""

TURN_TO_REPLACE = sa.select(turns.c.id).where(
    *OF_SESSION, turns.c.number == _REPLACES, turns.c.superseded_by.is_(None)
)
"""Rows: one if there is such a turn, and it still counts."""

SUPERSEDE = (
    turns.update()
    .where(*OF_SESSION, turns.c.number >= _REPLACES, turns.c.superseded_by.is_(None))
    .values(superseded_by=TURN)
)
"""Let a turn and all after it count no more."""
