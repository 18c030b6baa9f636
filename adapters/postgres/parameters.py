"""Room 3, the world: parameters and pieces that statements share.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from .tables import turns

OWNER = sa.bindparam("owner_id", type_=sa.Text)
SESSION = sa.bindparam("session_id", type_=sa.Uuid)
TURN = sa.bindparam("turn_id", type_=sa.Uuid)
NUMBER = sa.bindparam("number", type_=sa.Integer)
ATTEMPT = sa.bindparam("attempt", type_=sa.Integer)
TEMPLATE = sa.bindparam("template", type_=sa.Text)
STREAM = sa.bindparam("stream", type_=sa.Boolean)
LIMIT = sa.bindparam("limit", type_=sa.Integer)
NOW = sa.bindparam("now", type_=sa.DateTime(timezone=True))
METADATA = sa.bindparam("metadata", type_=JSONB)

OF_SESSION = (turns.c.owner_id == OWNER, turns.c.session_id == SESSION)
IS_ABANDONED = turns.c.lease_expires_at <= sa.func.clock_timestamp()
"""Of a running turn: it is past its lease."""
HELD = (
    *OF_SESSION,
    turns.c.number == NUMBER,
    turns.c.id == TURN,
    turns.c.attempt == ATTEMPT,
    sa.text("turns.status = 'running'"),
)
"""The guard of every write: this attempt still holds the turn."""


def constant(sql: str, type_: sa.types.TypeEngine[Any] | None = None) -> sa.ColumnElement[Any]:
    """Return SQL that never varies, so that it is no parameter."""
    return sa.literal_column(sql, type_)


def seconds(name: str) -> sa.ColumnElement[Any]:
    """Return so many seconds as an interval."""
    return sa.bindparam(name, type_=sa.Float) * constant("interval '1 second'")


def from_now(name: str) -> sa.ColumnElement[Any]:
    """Return the moment so many seconds from now, by the database's clock alone."""
    return sa.func.clock_timestamp() + seconds(name)
