"""Room 3, the world: ending a turn from outside, and keeping what its journal holds.

May import: standard library, sqlalchemy.

Two statements of one transaction, and it must be two. The first may have to wait for the turn's row
while a beat stores text; what it then sees besides that row is the past, without that text. Only a
second statement sees everything, and after the first nobody can add to it. This needs READ
COMMITTED, where every statement looks anew.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from .attempt_statements import close_attempt
from .parameters import (
    ATTEMPT,
    HELD,
    IS_ABANDONED,
    NOW,
    NUMBER,
    OF_SESSION,
    OWNER,
    SESSION,
    TURN,
    constant,
)
from .tables import IS_RUNNING, chat_sessions, messages, reply_journal, turns

REPLY = sa.bindparam("reply_id", type_=sa.Uuid)
ERROR = sa.bindparam("error_code", type_=sa.Text)
OUTCOME = sa.bindparam("outcome", type_=sa.Text)

_THIS_TURN = (*OF_SESSION, turns.c.number == NUMBER)
_THIS_SESSION = (chat_sessions.c.owner_id == OWNER, chat_sessions.c.id == SESSION)
_OF_TURN = (reply_journal.c.owner_id == OWNER, reply_journal.c.turn_id == TURN)


def string_of_pieces() -> sa.ColumnElement[Any]:
    """Return the text of pieces of a journal, put together; null of none."""
    in_order = aggregate_order_by(constant("''"), reply_journal.c.start)
    return sa.func.string_agg(reply_journal.c.text, in_order)


def _end(status: str, error_code: sa.ColumnElement[Any], *guard: Any) -> sa.ClauseElement:
    # The session's row is locked first, as everywhere: see admit_statements.
    session = (
        sa.select(chat_sessions.c.id)
        .where(*_THIS_SESSION)
        .with_for_update(key_share=True)
        .cte("session")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return (
        turns.update()
        .where(*guard, turns.c.session_id == session.c.id)
        .values(
            status=constant(f"'{status}'"),
            lease_expires_at=sa.null(),
            ended_at=NOW,
            error_code=error_code,
        )
        .returning(turns.c.number, turns.c.attempt, turns.c.question_position)
    )


def _keep_part() -> sa.Select[Any]:
    part = (
        sa.select(string_of_pieces().label("text"))
        .where(*_OF_TURN, reply_journal.c.attempt == ATTEMPT)
        .cte("part")
    )
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "session_id": SESSION,
        "position": sa.bindparam("question_position", type_=sa.Integer) + constant("1"),
        "id": REPLY,
        "turn_number": NUMBER,
        "role": constant("'assistant'"),
        "content": part.c.text,
        "created_at": NOW,
    }
    source = sa.select(*values.values()).where(part.c.text.is_not(None))
    reply = messages.insert().from_select(list(values), source).cte("reply")
    is_kept = sa.exists(sa.select(part.c.text).where(part.c.text.is_not(None)))
    answered = turns.update().where(*_THIS_TURN, is_kept).values(reply_id=REPLY).cte("answered")
    # Admitting kept a position free for the reply; where there is none, it is given back.
    given_back = (
        chat_sessions.update()
        .where(*_THIS_SESSION, sa.not_(is_kept))
        .values(last_position=chat_sessions.c.last_position - constant("1"))
        .cte("given_back")
    )
    dropped = reply_journal.delete().where(*_OF_TURN).cte("dropped")
    closed = close_attempt(outcome=OUTCOME, error_code=ERROR).cte("closed")
    return sa.select(part.c.text).add_cte(reply, answered, given_back, closed, dropped)


STOP = _end("stopped", sa.null(), *OF_SESSION, turns.c.id == TURN, sa.text(f"turns.{IS_RUNNING}"))
"""First half: end a turn as stopped. Rows: one if it was running."""
GIVE_UP = _end("failed", ERROR, *HELD, IS_ABANDONED)
"""First half: end an abandoned turn as failed. Rows: one if it was abandoned."""
KEEP_PART = _keep_part()
"""Second half: store the journal's text as the reply, close the attempt, drop the journal."""
