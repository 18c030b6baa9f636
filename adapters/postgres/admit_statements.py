"""Room 3, the world: admitting a question, as one statement.

May import: standard library, sqlalchemy.

One data-modifying CTE is one round trip and atomic by itself. Its parts all see the database as it
was when the statement began, except that a row which somebody else was changing is waited for and
then seen as it became. So the window may miss a reply that was being stored at that moment: the
answer therefore carries what the statement believed about the turn before (`prior_…`), and
`REFRESH_WINDOW` reads again where that was out of date.

Locks are taken in one order everywhere: the session's row, then the turn's. (Admitting waits for a
turn that is just ending, through the index of running turns.)
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by

from .parameters import (
    IS_ABANDONED,
    METADATA,
    NOW,
    NUMBER,
    OF_SESSION,
    OWNER,
    SESSION,
    STREAM,
    TEMPLATE,
    TURN,
    constant,
    from_now,
)
from .single_rows import said_in
from .tables import IS_HISTORY, IS_RUNNING, attempts, chat_sessions, messages, turns

KEY = sa.bindparam("idempotency_key", type_=sa.Text)
TITLE = sa.bindparam("title", type_=sa.Text)


def _recent(*conditions: sa.ColumnElement[bool]) -> sa.CTE:
    """Return the latest turns that go to the model, newest first."""
    return (
        sa.select(turns.c.number, turns.c.id, turns.c.question_position)
        .where(*OF_SESSION, sa.text(IS_HISTORY), *conditions)
        .order_by(turns.c.number.desc())
        .limit(sa.bindparam("window_turns", type_=sa.Integer))
        .cte("recent")
    )


def _numbers(recent: sa.CTE) -> sa.ColumnElement[Any]:
    """Return the numbers of those turns as one array, ascending."""
    ascending = aggregate_order_by(recent.c.number, recent.c.number)
    gathered = sa.select(sa.func.array_agg(ascending)).scalar_subquery()
    return sa.func.coalesce(gathered, constant("ARRAY[]::integer[]"))


def _said_in(recent: sa.CTE) -> sa.Subquery:
    """Return the messages of those turns."""
    said = said_in(recent)
    return (
        sa.select(
            recent.c.id.label("said_turn_id"),
            recent.c.number.label("said_turn_number"),
            said.c.position.label("said_position"),
            said.c.role.label("said_role"),
            said.c.content.label("said_content"),
            said.c.quote.label("said_quote"),
        )
        .select_from(recent.join(said, constant("true")))
        .subquery("said_before")
    )


def _insert_turn(session: sa.CTE) -> sa.CTE:
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "session_id": SESSION,
        "number": session.c.last_turn,
        "id": TURN,
        "idempotency_key": KEY,
        "fingerprint": sa.bindparam("fingerprint", type_=sa.LargeBinary),
        "status": constant("'running'"),
        "attempt": constant("1"),
        "max_attempts": sa.bindparam("max_attempts", type_=sa.Integer),
        "lease_expires_at": from_now("lease_seconds"),
        "deadline": from_now("deadline_seconds"),
        "question_id": sa.bindparam("question_id", type_=sa.Uuid),
        "question_position": session.c.last_position - constant("1"),
        "created_at": NOW,
        "metadata": METADATA,
    }
    return turns.insert().from_select(list(values), sa.select(*values.values())).cte("new_turn")


def _insert_question(session: sa.CTE) -> sa.CTE:
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "session_id": SESSION,
        "position": session.c.last_position - constant("1"),
        "id": sa.bindparam("question_id", type_=sa.Uuid),
        "turn_number": session.c.last_turn,
        "role": constant("'user'"),
        "content": sa.bindparam("text", type_=sa.Text),
        "quote": sa.bindparam("quote", type_=JSONB),
        "created_at": NOW,
        "client_id": sa.bindparam("client_id", type_=sa.Text),
    }
    return messages.insert().from_select(list(values), sa.select(*values.values())).cte("question")


def _insert_attempt(session: sa.CTE, window: sa.ColumnElement[Any]) -> sa.CTE:
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "turn_id": TURN,
        "number": constant("1"),
        "outcome": constant("'pending'"),
        "window_turns": window,
        "template": TEMPLATE,
        "stream": STREAM,
        "started_at": NOW,
    }
    source = sa.select(*values.values()).select_from(session)
    return attempts.insert().from_select(list(values), source).cte("first_attempt")


def _open_session() -> sa.Select[Any]:
    session = (
        chat_sessions.insert()
        .values(
            owner_id=OWNER,
            id=SESSION,
            title=TITLE,
            created_at=NOW,
            updated_at=NOW,
            last_turn=constant("1"),
            last_position=constant("2"),
        )
        .returning(chat_sessions.c.last_turn, chat_sessions.c.last_position)
        .cte("session")
    )
    return sa.select(session.c.last_turn, session.c.last_position).add_cte(
        _insert_turn(session),
        _insert_question(session),
        _insert_attempt(session, constant("ARRAY[]::integer[]")),
    )


def _advance_session() -> sa.CTE:
    """Keep the next numbers for a turn; one that had no title takes that of the question."""
    title = sa.func.coalesce(sa.func.nullif(chat_sessions.c.title, constant("''")), TITLE)
    return (
        chat_sessions.update()
        .where(chat_sessions.c.owner_id == OWNER, chat_sessions.c.id == SESSION)
        .values(
            title=title,
            last_turn=chat_sessions.c.last_turn + constant("1"),
            last_position=chat_sessions.c.last_position + constant("2"),
            updated_at=sa.func.greatest(chat_sessions.c.updated_at, NOW),
        )
        .returning(chat_sessions.c.last_turn, chat_sessions.c.last_position)
        .cte("session")
    )


def _continue_session() -> sa.Select[Any]:
    prior = (
        sa.select(turns.c.number, turns.c.status)
        .where(*OF_SESSION)
        .order_by(turns.c.number.desc())
        .limit(constant("1"))
        .cte("prior")
    )
    recent = _recent()
    session = _advance_session()
    said = _said_in(recent)
    always = constant("true")
    return (
        sa.select(
            session.c.last_turn,
            session.c.last_position,
            prior.c.number.label("prior_number"),
            prior.c.status.label("prior_status"),
            *said.c,
        )
        .select_from(session.outerjoin(prior, always).outerjoin(said, always))
        .order_by(said.c.said_position)
        .add_cte(
            _insert_turn(session),
            _insert_question(session),
            _insert_attempt(session, _numbers(recent)),
        )
    )


def _refresh_window() -> sa.Select[Any]:
    recent = _recent(turns.c.number < NUMBER)
    corrected = (
        attempts.update()
        .where(
            attempts.c.owner_id == OWNER,
            attempts.c.turn_id == TURN,
            attempts.c.number == constant("1"),
        )
        .values(window_turns=_numbers(recent))
        .cte("corrected")
    )
    said = _said_in(recent)
    return sa.select(*said.c).order_by(said.c.said_position).add_cte(corrected)


OPEN_SESSION = _open_session()
"""A first question. Rows: one, with last_turn and last_position."""
CONTINUE_SESSION = _continue_session()
"""A further question. Rows: none if there is no such session, else one a message of the window."""
REFRESH_WINDOW = _refresh_window()
"""The window of a turn just admitted, read anew and recorded. Rows: one a message."""

EARLIER_TURN = sa.select(turns.c.session_id, turns.c.id, turns.c.fingerprint).where(
    turns.c.owner_id == OWNER,
    # A key is looked up by itself and an id by itself: one index range each.
    sa.or_(turns.c.idempotency_key == KEY, turns.c.id == TURN),
)
"""Turns that an earlier call with this key, or this very call, has admitted. Rows: up to two."""

RUNNING_TURN = sa.select(turns.c.id, IS_ABANDONED.label("is_abandoned")).where(
    *OF_SESSION, sa.text(IS_RUNNING)
)
"""The session's running turn. Rows: at most one."""
