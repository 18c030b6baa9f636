"""Room 3, the world: rows that belong to another row, each found by its whole key.

May import: standard library, sqlalchemy.

The server guesses how many rows an owner's session has as if owners and sessions had nothing to do
with each other, and comes to less than one. So in a plain join it takes the beginning of a key for
the whole of it, and reads all of a session for each row it looks for. A lateral subquery with a
limit leaves it no choice (guarantee G13).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from .parameters import OF_SESSION, OWNER, SESSION, constant
from .tables import messages, turns

Value = sa.ColumnElement[Any]


def turn_numbered(number: Value) -> sa.FromClause:
    """Return the session's turn of this number, called `turn`."""
    return (
        sa.select(turns)
        .where(*OF_SESSION, turns.c.number == number)
        .limit(constant("1"))
        .lateral("turn")
    )


def question_of(turn: Any) -> sa.FromClause:
    """Return the question of a turn of the session, called `question`."""
    return _at(turn, turn.c.question_position, "question")


def reply_of(turn: Any) -> sa.FromClause:
    """Return the reply of a turn of the session, if it has one, called `reply`."""
    return _at(turn, turn.c.question_position + constant("1"), "reply")


def said_in(turn: Any) -> sa.FromClause:
    """Return what was said in a turn of the session, both messages or one, called `said`."""
    first = turn.c.question_position
    # Without a reply the next position is another turn's.
    return (
        sa.select(messages)
        .where(
            messages.c.owner_id == OWNER,
            messages.c.session_id == SESSION,
            messages.c.turn_number == turn.c.number,
            messages.c.position.between(first, first + constant("1")),
        )
        .limit(constant("2"))
        .lateral("said")
    )


def _at(turn: Any, position: Value, name: str) -> sa.FromClause:
    return (
        sa.select(messages)
        .where(
            messages.c.owner_id == OWNER,
            messages.c.session_id == SESSION,
            messages.c.turn_number == turn.c.number,
            messages.c.position == position,
        )
        .limit(constant("1"))
        .lateral(name)
    )


def is_of_session(session_id: Value) -> Value:
    """Return whether a row that is found by its id is of the session.

    In words that no index knows: its own id is the key to look it up by.
    """
    return (session_id == SESSION).is_(sa.true())
