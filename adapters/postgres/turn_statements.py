"""Room 3, the world: reading, moving on and ending turns.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from .admit_statements import NOW, OF_SESSION, OWNER, SESSION, TURN, constant
from .tables import attempts, chat_sessions, messages, turns

NUMBER = sa.bindparam("number", type_=sa.Integer)
ATTEMPT = sa.bindparam("attempt", type_=sa.Integer)

_HELD = (
    *OF_SESSION,
    turns.c.number == NUMBER,
    turns.c.id == TURN,
    turns.c.attempt == ATTEMPT,
    sa.text("turns.status = 'running'"),
)
"""The guard of every write: this attempt still holds the turn."""

_ENDED = {
    "status": sa.bindparam("status", type_=sa.Text),
    "lease_expires_at": sa.null(),
    "ended_at": NOW,
    "model": sa.bindparam("model", type_=sa.Text),
    "finish_reason": sa.bindparam("finish_reason", type_=sa.Text),
    "error_code": sa.bindparam("error_code", type_=sa.Text),
    "prompt_tokens": sa.bindparam("prompt_tokens", type_=sa.Integer),
    "completion_tokens": sa.bindparam("completion_tokens", type_=sa.Integer),
}
_FROM_ENDED = (
    turns.c.max_attempts,
    turns.c.question_id,
    turns.c.question_position,
    turns.c.created_at,
)


def _end_attempt(ended: sa.CTE) -> sa.CTE:
    return (
        attempts.update()
        .where(
            attempts.c.owner_id == OWNER,
            attempts.c.turn_id == TURN,
            attempts.c.number == ATTEMPT,
            # Only if the turn was ours to end.
            sa.exists(sa.select(ended.c.question_position)),
        )
        .values(
            outcome=sa.bindparam("outcome", type_=sa.Text),
            model=_ENDED["model"],
            request_digest=sa.bindparam("request_digest", type_=sa.Text),
            error_code=_ENDED["error_code"],
            prompt_tokens=_ENDED["prompt_tokens"],
            completion_tokens=_ENDED["completion_tokens"],
            ended_at=NOW,
        )
        .cte("ended_attempt")
    )


def _finish_with_reply() -> sa.Select[Any]:
    reply_id = sa.bindparam("reply_id", type_=sa.Uuid)
    ended = (
        turns.update()
        .where(*_HELD)
        .values(**_ENDED, reply_id=reply_id)
        .returning(*_FROM_ENDED)
        .cte("ended")
    )
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "session_id": SESSION,
        "position": ended.c.question_position + constant("1"),
        "id": reply_id,
        "turn_number": NUMBER,
        "role": constant("'assistant'"),
        "content": sa.bindparam("text", type_=sa.Text),
        "created_at": NOW,
    }
    reply = messages.insert().from_select(list(values), sa.select(*values.values())).cte("reply")
    return sa.select(*ended.c).add_cte(reply, _end_attempt(ended))


def _finish_without_reply() -> sa.Select[Any]:
    # The session's row is locked first, as everywhere: see admit_statements.
    session = (
        sa.select(chat_sessions.c.id)
        .where(chat_sessions.c.owner_id == OWNER, chat_sessions.c.id == SESSION)
        .with_for_update(key_share=True)
        .cte("session")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    ended = (
        turns.update()
        .where(*_HELD, turns.c.session_id == session.c.id)
        .values(**_ENDED)
        .returning(*_FROM_ENDED)
        .cte("ended")
    )
    # Admitting kept a position free for the reply; there is none, so it is given back.
    given_back = (
        chat_sessions.update()
        .where(
            chat_sessions.c.owner_id == OWNER,
            chat_sessions.c.id == SESSION,
            sa.exists(sa.select(ended.c.question_position)),
        )
        .values(last_position=chat_sessions.c.last_position - constant("1"))
        .cte("given_back")
    )
    return sa.select(*ended.c).add_cte(given_back, _end_attempt(ended))


def _next_attempt() -> sa.Select[Any]:
    moved = (
        turns.update()
        .where(*_HELD, turns.c.attempt < turns.c.max_attempts)
        .values(attempt=turns.c.attempt + constant("1"))
        .returning(turns.c.attempt)
        .cte("moved")
    )
    failed = (
        attempts.update()
        .where(
            attempts.c.owner_id == OWNER,
            attempts.c.turn_id == TURN,
            attempts.c.number == ATTEMPT,
            sa.exists(sa.select(moved.c.attempt)),
        )
        .values(
            outcome=constant("'failed'"),
            error_code=sa.bindparam("error_code", type_=sa.Text),
            request_digest=sa.bindparam("request_digest", type_=sa.Text),
            ended_at=NOW,
        )
        .returning(attempts.c.window_turns)
        .cte("failed")
    )
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "turn_id": TURN,
        "number": moved.c.attempt,
        "outcome": constant("'pending'"),
        "window_turns": failed.c.window_turns,
        "started_at": NOW,
    }
    opened = attempts.insert().from_select(list(values), sa.select(*values.values())).cte("opened")
    return sa.select(moved.c.attempt).add_cte(opened)


FINISH_WITH_REPLY = _finish_with_reply()
"""End a turn and store its reply. Rows: one if this attempt held the turn, else none."""
FINISH_WITHOUT_REPLY = _finish_without_reply()
"""End a turn that has no text. Rows: one if this attempt held the turn, else none."""
NEXT_ATTEMPT = _next_attempt()
"""Close an attempt and open the next. Rows: one if this attempt held the turn, else none."""
_reply = messages.alias("reply")

TURN_BY_ID = (
    sa.select(
        turns,
        _reply.c.content.label("reply_content"),
        _reply.c.position.label("reply_position"),
        _reply.c.created_at.label("reply_created_at"),
    )
    .select_from(turns)
    .outerjoin(
        _reply,
        sa.and_(
            _reply.c.owner_id == OWNER,
            _reply.c.session_id == turns.c.session_id,
            _reply.c.turn_number == turns.c.number,
            _reply.c.role == constant("'assistant'"),
        ),
    )
    .where(turns.c.owner_id == OWNER, turns.c.id == TURN, turns.c.session_id == SESSION)
)
"""One turn with its reply. Rows: at most one."""

ATTEMPTS_OF_TURN = (
    sa.select(attempts)
    .where(attempts.c.owner_id == OWNER, attempts.c.turn_id == TURN)
    .order_by(attempts.c.number)
)
"""Every call of the model for one turn, oldest first."""

WINDOW_OF_TURNS = (
    sa.select(
        turns.c.id.label("said_turn_id"),
        messages.c.turn_number.label("said_turn_number"),
        messages.c.role.label("said_role"),
        messages.c.content.label("said_content"),
        messages.c.quote.label("said_quote"),
    )
    .select_from(turns)
    .join(
        messages,
        sa.and_(
            messages.c.owner_id == OWNER,
            messages.c.session_id == SESSION,
            messages.c.turn_number == turns.c.number,
        ),
    )
    .where(
        *OF_SESSION,
        turns.c.number == sa.any_(sa.bindparam("numbers", type_=ARRAY(sa.Integer))),
    )
    .order_by(messages.c.position)
)
"""The messages of the given turns, oldest first."""
