"""Room 3, the world: leases: renewing them, and ending turns whose process is gone.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from .admit_statements import NOW, OF_SESSION, constant, lease_end
from .tables import attempts, chat_sessions, turns

_ABANDONED = (
    sa.text("turns.status = 'running'"),
    turns.c.lease_expires_at < sa.func.clock_timestamp(),
)


def _end_abandoned(*of_whom: sa.ColumnElement[bool]) -> sa.Select[Any]:
    # Sessions that somebody is working on are skipped: their turn is looked at on that occasion.
    dead = (
        sa.select(turns.c.owner_id, turns.c.session_id, turns.c.number, turns.c.id, turns.c.attempt)
        .join(
            chat_sessions,
            sa.and_(
                chat_sessions.c.owner_id == turns.c.owner_id,
                chat_sessions.c.id == turns.c.session_id,
            ),
        )
        .where(
            *of_whom,
            *_ABANDONED,
        )
        .limit(sa.bindparam("limit", type_=sa.Integer))
        .with_for_update(key_share=True, skip_locked=True, of=chat_sessions)
        .cte("dead")
    )
    ended = (
        turns.update()
        .where(
            turns.c.owner_id == dead.c.owner_id,
            turns.c.session_id == dead.c.session_id,
            turns.c.number == dead.c.number,
            turns.c.attempt == dead.c.attempt,
            *_ABANDONED,
        )
        .values(
            status=constant("'failed'"),
            lease_expires_at=sa.null(),
            ended_at=NOW,
            error_code=sa.bindparam("error_code", type_=sa.Text),
        )
        .returning(turns.c.owner_id, turns.c.session_id, turns.c.id, turns.c.attempt)
        .cte("ended")
    )
    given_back = (
        chat_sessions.update()
        .where(
            chat_sessions.c.owner_id == ended.c.owner_id,
            chat_sessions.c.id == ended.c.session_id,
        )
        .values(last_position=chat_sessions.c.last_position - constant("1"))
        .cte("given_back")
    )
    abandoned = (
        attempts.update()
        .where(
            attempts.c.owner_id == ended.c.owner_id,
            attempts.c.turn_id == ended.c.id,
            attempts.c.number == ended.c.attempt,
        )
        .values(
            outcome=constant("'abandoned'"),
            error_code=sa.bindparam("error_code", type_=sa.Text),
            ended_at=NOW,
        )
        .cte("abandoned")
    )
    count = sa.func.count(ended.c.id).label("ended")
    return sa.select(count).add_cte(given_back, abandoned)


END_ABANDONED = _end_abandoned()
"""End turns of any owner that are past their lease. Rows: one, with how many."""
END_ABANDONED_OF_SESSION = _end_abandoned(*OF_SESSION)
"""The same for the running turn of one session."""


def _renew() -> sa.Update:
    mine = (
        sa.func.unnest(
            sa.bindparam("owner_ids", type_=ARRAY(sa.Text)),
            sa.bindparam("session_ids", type_=ARRAY(sa.Uuid)),
            sa.bindparam("numbers", type_=ARRAY(sa.Integer)),
            sa.bindparam("attempts", type_=ARRAY(sa.Integer)),
        )
        .table_valued("owner_id", "session_id", "number", "attempt")
        .render_derived("mine")
    )
    return (
        turns.update()
        .where(
            turns.c.owner_id == mine.c.owner_id,
            turns.c.session_id == mine.c.session_id,
            turns.c.number == mine.c.number,
            turns.c.attempt == mine.c.attempt,
            sa.text("turns.status = 'running'"),
        )
        .values(lease_expires_at=lease_end())
        .returning(turns.c.id)
    )


RENEW = _renew()
"""Renew the leases of turns held by one process. Rows: one a turn that is still held."""
