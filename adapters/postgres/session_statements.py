"""Room 3, the world: sessions and the list of them.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from .parameters import LIMIT, METADATA, NOW, OWNER, SESSION, constant
from .tables import chat_sessions, erased_sessions, turns

_THIS = (chat_sessions.c.owner_id == OWNER, chat_sessions.c.id == SESSION)
_SHOWN = (
    chat_sessions.c.owner_id,
    chat_sessions.c.id,
    chat_sessions.c.title,
    chat_sessions.c.created_at,
    chat_sessions.c.updated_at,
)

SESSION_BY_ID = sa.select(*_SHOWN, chat_sessions.c.metadata).where(*_THIS)
"""One session. Rows: at most one."""

_NEWEST_FIRST = (
    sa.select(*_SHOWN)
    .where(chat_sessions.c.owner_id == OWNER)
    .order_by(chat_sessions.c.updated_at.desc(), chat_sessions.c.id.desc())
    .limit(LIMIT)
)
SESSIONS_FIRST_PAGE = _NEWEST_FIRST
SESSIONS_NEXT_PAGE = _NEWEST_FIRST.where(
    sa.tuple_(chat_sessions.c.updated_at, chat_sessions.c.id)
    < sa.tuple_(
        sa.bindparam("updated_at", type_=sa.DateTime(timezone=True)),
        sa.bindparam("after_id", type_=sa.Uuid),
    )
)
"""Sessions past a place in the list, latest activity first."""

OPEN = (
    insert(chat_sessions)
    .values(
        owner_id=OWNER,
        id=SESSION,
        title=sa.bindparam("title", type_=sa.Text),
        created_at=NOW,
        updated_at=NOW,
        last_turn=constant("0"),
        last_position=constant("0"),
        metadata=METADATA,
    )
    .on_conflict_do_nothing()
    .returning(*_SHOWN, chat_sessions.c.metadata)
)
"""Begin an empty session. Rows: one, if there was none."""
NOTE = (
    chat_sessions.update()
    .where(*_THIS)
    .values(metadata=METADATA)
    .returning(*_SHOWN, chat_sessions.c.metadata)
)
"""Replace a session's metadata. Rows: one if it is there."""

RENAME = (
    chat_sessions.update()
    .where(*_THIS)
    .values(
        title=sa.bindparam("title", type_=sa.Text),
        updated_at=sa.func.greatest(chat_sessions.c.updated_at, NOW),
    )
    .returning(*_SHOWN, chat_sessions.c.metadata)
)


_COUNTED = ("turns", "prompt_tokens", "completion_tokens")


def _erase() -> sa.Select[Any]:
    # Counting reads what deleting removes: all parts of the statement see the same beginning.
    totals = (
        sa.select(
            sa.func.count(turns.c.number).label("turns"),
            sa.func.coalesce(sa.func.sum(turns.c.prompt_tokens), 0).label("prompt_tokens"),
            sa.func.coalesce(sa.func.sum(turns.c.completion_tokens), 0).label("completion_tokens"),
        )
        .where(turns.c.owner_id == OWNER, turns.c.session_id == SESSION)
        .cte("totals")
    )
    erased = chat_sessions.delete().where(*_THIS).returning(chat_sessions.c.id).cte("erased")
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "session_id": erased.c.id,
        "erased_at": NOW,
        "turns": totals.c.turns,
        "prompt_tokens": totals.c.prompt_tokens,
        "completion_tokens": totals.c.completion_tokens,
    }
    source = sa.select(*values.values()).select_from(erased.join(totals, constant("true")))
    buried = insert(erased_sessions).from_select(list(values), source)
    # A session whose id its caller made up may come back, and be erased again.
    tombstone = buried.on_conflict_do_update(
        index_elements=[erased_sessions.c.session_id, erased_sessions.c.owner_id],
        set_={"erased_at": buried.excluded.erased_at}
        | {name: erased_sessions.c[name] + buried.excluded[name] for name in _COUNTED},
    ).cte("tombstone")
    return sa.select(erased.c.id).add_cte(tombstone)


ERASE = _erase()
"""Erase one session with all that hangs on it. Rows: one if it was there."""
