"""Room 3, the world: reading turns, what was said in them, and what requests were made with.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from .parameters import ATTEMPT, NUMBER, OF_SESSION, OWNER, SESSION, TEMPLATE, TURN, constant
from .single_rows import is_of_session, question_of, reply_of, said_in, turn_numbered
from .tables import attempts, messages, request_templates, turns

_ALWAYS = constant("true")


def _turn_by_id() -> sa.Select[Any]:
    reply = reply_of(turns)
    return (
        sa.select(
            turns,
            reply.c.content.label("reply_content"),
            reply.c.position.label("reply_position"),
            reply.c.created_at.label("reply_created_at"),
        )
        .select_from(turns.outerjoin(reply, _ALWAYS))
        .where(turns.c.owner_id == OWNER, turns.c.id == TURN, is_of_session(turns.c.session_id))
    )


def _messages_of(numbers: sa.FromClause) -> sa.Select[Any]:
    """Return the messages of the session's turns with these numbers, oldest first."""
    turn = turn_numbered(numbers.c.number)
    said = said_in(turn)
    return (
        sa.select(
            turn.c.id.label("said_turn_id"),
            turn.c.number.label("said_turn_number"),
            said.c.role.label("said_role"),
            said.c.content.label("said_content"),
            said.c.quote.label("said_quote"),
        )
        .select_from(numbers.join(turn, _ALWAYS).join(said, _ALWAYS))
        .order_by(said.c.position)
    )


def _numbers_in(array: sa.ColumnElement[Any]) -> sa.FromClause:
    return sa.func.unnest(array).table_valued("number").render_derived("wanted")


def _request_of_attempt() -> sa.Select[Any]:
    with_its_own = sa.func.array_append(attempts.c.window_turns, NUMBER)
    wanted = (
        sa.select(sa.func.unnest(with_its_own).label("number"))
        .where(
            attempts.c.owner_id == OWNER,
            attempts.c.turn_id == TURN,
            attempts.c.number == ATTEMPT,
        )
        .subquery("wanted")
    )
    return _messages_of(wanted)


def _question_of_message() -> sa.Select[Any]:
    given = messages.alias("given")
    return _question_in_turn_of(given).where(
        given.c.owner_id == OWNER,
        given.c.id == sa.bindparam("message_id", type_=sa.Uuid),
        is_of_session(given.c.session_id),
    )


def _question_named() -> sa.Select[Any]:
    named = (
        sa.select(messages.c.turn_number)
        .where(
            messages.c.owner_id == OWNER,
            messages.c.session_id == SESSION,
            messages.c.client_id == sa.bindparam("client_id", type_=sa.Text),
        )
        .order_by(messages.c.position.desc())
        .limit(constant("1"))
        .subquery("named")
    )
    return _question_in_turn_of(named)


def _question_after() -> sa.Select[Any]:
    this = turns.alias("this")
    number = (
        sa.select(this.c.number)
        .where(this.c.owner_id == OWNER, this.c.id == TURN, is_of_session(this.c.session_id))
        .scalar_subquery()
    )
    following = (
        sa.select(turns.c.number.label("turn_number"))
        .where(*OF_SESSION, turns.c.number > number, turns.c.superseded_by.is_(None))
        .order_by(turns.c.number)
        .limit(constant("1"))
        .subquery("following")
    )
    return _question_in_turn_of(following)


def _question_in_turn_of(said: sa.FromClause) -> sa.Select[Any]:
    turn = turn_numbered(said.c.turn_number)
    question = question_of(turn)
    return sa.select(
        turn.c.id,
        turn.c.number,
        turn.c.question_id,
        turn.c.superseded_by,
        question.c.position,
        question.c.content,
        question.c.quote,
        question.c.client_id,
    ).select_from(said.join(turn, _ALWAYS).join(question, _ALWAYS))


TURN_BY_ID = _turn_by_id()
"""One turn with its reply. Rows: at most one."""
ATTEMPTS_OF_TURN = (
    sa.select(attempts)
    .where(attempts.c.owner_id == OWNER, attempts.c.turn_id == TURN)
    .order_by(attempts.c.number)
)
"""Every call of the model for one turn, oldest first."""
WINDOW_OF_TURNS = _messages_of(_numbers_in(sa.bindparam("numbers", type_=ARRAY(sa.Integer))))
"""The messages of the given turns, oldest first."""
REQUEST_OF_ATTEMPT = _request_of_attempt()
"""The messages of an attempt's window, and of its own turn, oldest first."""
QUESTION_OF_MESSAGE = _question_of_message()
"""The question of a message's turn, be it the question itself or the reply. Rows: at most one."""
QUESTION_NAMED = _question_named()
"""The latest question that the caller calls so. Rows: at most one."""
QUESTION_AFTER = _question_after()
"""The question of the first turn after another that still counts. Rows: at most one."""

KEEP_TEMPLATE = (
    insert(request_templates)
    .values(digest=TEMPLATE, body=sa.bindparam("body", type_=sa.Text))
    .on_conflict_do_nothing()
)
TEMPLATE_BY_DIGEST = sa.select(request_templates.c.body).where(
    request_templates.c.digest == TEMPLATE
)
"""What requests were made with. Rows: at most one."""

SESSIONS_OF_TURN = sa.select(turns.c.owner_id, turns.c.session_id).where(turns.c.id == TURN)
"""Where a turn is, whoever owns it: for the operator. No index helps; it reads all turns."""
