"""Room 3, the world: signs of life, live text, and taking over.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from .attempt_statements import close_attempt, open_next
from .parameters import (
    HELD,
    IS_ABANDONED,
    OF_SESSION,
    constant,
    from_now,
    seconds,
)
from .stop_statements import ERROR, string_of_pieces
from .tables import IS_RUNNING, attempts, reply_journal, turns

_IS_RUNNING = sa.text(f"turns.{IS_RUNNING}")
_HAS_TIME = turns.c.deadline > sa.func.clock_timestamp()
_HAS_ATTEMPT = turns.c.attempt < turns.c.max_attempts


def _given(name: str, **columns: sa.types.TypeEngine[Any]) -> Any:
    """Return parameters as a table: one array a column, called like it with an `s`."""
    arrays = [sa.bindparam(f"{column}s", type_=ARRAY(type_)) for column, type_ in columns.items()]
    return sa.func.unnest(*arrays).table_valued(*columns).render_derived(name)


def _beat() -> sa.Select[Any]:
    mine = _given(
        "mine",
        owner_id=sa.Text(),
        session_id=sa.Uuid(),
        turn_id=sa.Uuid(),
        number=sa.Integer(),
        attempt=sa.Integer(),
        start=sa.Integer(),
        text=sa.Text(),
        digest=sa.Text(),
    )
    locked = _lock_held(mine)
    lease = sa.func.least(from_now("lease_seconds"), turns.c.deadline + seconds("lease_seconds"))
    held = (
        turns.update()
        .where(_is_turn_of(locked))
        .values(lease_expires_at=lease)
        .returning(*locked.c)
        .cte("held")
    )
    return sa.select(held.c.turn_id).add_cte(_store_pieces(held), _record_digests(held))


def _lock_held(mine: sa.FromClause) -> sa.CTE:
    # In one order by everybody, whatever the plan: two that report the same turns, one of them in
    # vain, must not wait for each other.
    return (
        sa.select(mine)
        .join_from(mine, turns, _is_turn_of(mine))
        .where(
            turns.c.id == mine.c.turn_id,
            turns.c.attempt == mine.c.attempt,
            # That is: running. Said so, the index of running turns would be read for each of ours.
            turns.c.lease_expires_at.is_not(None),
        )
        .order_by(mine.c.owner_id, mine.c.session_id)
        .with_for_update(key_share=True, of=turns)
        .cte("locked")
    )


def _is_turn_of(named: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(
        turns.c.owner_id == named.c.owner_id,
        turns.c.session_id == named.c.session_id,
        turns.c.number == named.c.number,
    )


def _store_pieces(held: sa.CTE) -> sa.CTE:
    columns = ("owner_id", "turn_id", "attempt", "start", "text")
    source = sa.select(*[held.c[name] for name in columns]).where(held.c.text != constant("''"))
    # A piece that was in doubt is sent again: it may be there.
    stored = insert(reply_journal).from_select(list(columns), source).on_conflict_do_nothing()
    return stored.cte("stored")


def _record_digests(held: sa.CTE) -> sa.CTE:
    return (
        attempts.update()
        .where(
            attempts.c.owner_id == held.c.owner_id,
            attempts.c.turn_id == held.c.turn_id,
            attempts.c.number == held.c.attempt,
            held.c.digest.is_not(None),
        )
        .values(request_digest=held.c.digest)
        .cte("recorded")
    )


def _read() -> sa.Select[Any]:
    place = _given(
        "place",
        owner_id=sa.Text(),
        session_id=sa.Uuid(),
        turn_id=sa.Uuid(),
        attempt=sa.Integer(),
        start=sa.Integer(),
    )
    start = sa.case((turns.c.attempt == place.c.attempt, place.c.start), else_=constant("0"))
    return sa.select(
        turns.c.id,
        turns.c.status,
        turns.c.attempt,
        sa.and_(_IS_RUNNING, IS_ABANDONED).label("is_abandoned"),
        start.label("start"),
        sa.func.coalesce(_text_since(start), constant("''")).label("text"),
    ).join_from(
        place,
        turns,
        sa.and_(
            turns.c.owner_id == place.c.owner_id,
            turns.c.id == place.c.turn_id,
            turns.c.session_id == place.c.session_id,
        ),
    )


def _text_since(start: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return what a running turn's latest attempt has written from there on."""
    return (
        sa.select(string_of_pieces())
        .where(
            reply_journal.c.owner_id == turns.c.owner_id,
            reply_journal.c.turn_id == turns.c.id,
            reply_journal.c.attempt == turns.c.attempt,
            reply_journal.c.start >= start,
            _IS_RUNNING,
        )
        .scalar_subquery()
    )


def _abandoned(*of_whom: sa.ColumnElement[bool]) -> sa.Select[Any]:
    # The index of running turns lists them all; those past their lease are few of few.
    return (
        sa.select(
            turns.c.owner_id,
            turns.c.session_id,
            turns.c.id,
            turns.c.number,
            turns.c.attempt,
            sa.and_(_HAS_ATTEMPT, _HAS_TIME).label("may_go_on"),
        )
        .where(*of_whom, sa.text(IS_RUNNING), IS_ABANDONED)
        .order_by(turns.c.lease_expires_at)
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


def _take_over() -> sa.Select[Any]:
    taken = (
        turns.update()
        .where(*HELD, IS_ABANDONED, _HAS_ATTEMPT, _HAS_TIME)
        .values(
            attempt=turns.c.attempt + constant("1"),
            lease_expires_at=from_now("lease_seconds"),
        )
        .returning(
            turns.c.attempt,
            turns.c.max_attempts,
            sa.extract("epoch", turns.c.deadline - sa.func.clock_timestamp()).label("seconds_left"),
        )
        .cte("taken")
    )
    closed = (
        close_attempt(only_if=taken, outcome=constant("'abandoned'"), error_code=ERROR)
        .returning(attempts.c.window_turns)
        .cte("closed")
    )
    return sa.select(*taken.c).add_cte(open_next(taken, closed))


BEAT = _beat()
"""Renew leases, append text, record digests. Rows: one a turn that is still held."""
READ = _read()
"""How turns stand, and what came after a place. Rows: one a turn that is there."""
ABANDONED = _abandoned()
"""Running turns past their lease, of all owners: the one statement that names none."""
ABANDONED_OF_SESSION = _abandoned(*OF_SESSION)
"""The same for the running turn of one session."""
TAKE_OVER = _take_over()
"""Close an abandoned turn's attempt and open the next. Rows: one if it was abandoned."""
