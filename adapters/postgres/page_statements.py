"""Room 3, the world: pages of a session's messages, of all or of those that count.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from .parameters import LIMIT, OWNER, SESSION, constant
from .single_rows import turn_numbered
from .tables import chat_sessions, message_feedback, messages

_POSITION = messages.c.position
_PLACE = sa.bindparam("place", type_=sa.Integer)
_ALWAYS = constant("true")
_SHOWN = (
    messages.c.id,
    _POSITION,
    messages.c.turn_number,
    messages.c.role,
    messages.c.content,
    messages.c.quote,
    messages.c.created_at,
    messages.c.client_id,
)


class Pages(NamedTuple):
    """The three ways to ask for a page.

    Rows: none if there is no such session; one of nulls for an empty page. Each row tells the
    positions of the session's oldest and newest message, too.
    """

    newest: sa.Select[Any]
    before: sa.Select[Any]
    after: sa.Select[Any]


def _said(*columns: sa.ColumnElement[Any], counting: bool) -> sa.Select[Any]:
    """Return the session's messages, or those whose turn was not superseded."""
    said = sa.select(*columns).where(messages.c.owner_id == OWNER, messages.c.session_id == SESSION)
    if not counting:
        return said
    turn = turn_numbered(messages.c.turn_number)
    return said.join(turn, turn.c.superseded_by.is_(None))


def _feedback_on(message_id: sa.ColumnElement[Any]) -> sa.FromClause:
    """Return what is thought of a message, called `feedback`."""
    return (
        sa.select(message_feedback.c.rating, message_feedback.c.comment)
        .where(message_feedback.c.owner_id == OWNER, message_feedback.c.message_id == message_id)
        .limit(constant("1"))
        .lateral("feedback")
    )


def _ends(*, counting: bool) -> tuple[sa.Label[int], sa.Label[int]]:
    """Return the positions of the session's oldest and newest message."""
    oldest = _said(_POSITION, counting=counting).order_by(_POSITION).limit(constant("1"))
    # The newest turn counts: only a later one takes a turn's place.
    newest = _said(_POSITION, counting=False).order_by(_POSITION.desc()).limit(constant("1"))
    return (
        oldest.scalar_subquery().label("oldest_position"),
        newest.scalar_subquery().label("newest_position"),
    )


def _page(said: sa.Select[Any], *, counting: bool) -> sa.Select[Any]:
    """Return a page of messages, and whether the session exists at all, in one statement."""
    page = said.limit(LIMIT).lateral("page")
    turn = turn_numbered(page.c.turn_number)
    feedback = _feedback_on(page.c.id)
    joined = chat_sessions.outerjoin(page, _ALWAYS).outerjoin(turn, _ALWAYS)
    return (
        sa.select(
            *page.c,
            turn.c.id.label("turn_id"),
            turn.c.status.label("turn_status"),
            turn.c.superseded_by,
            feedback.c.rating,
            feedback.c.comment,
            *_ends(counting=counting),
        )
        .select_from(joined.outerjoin(feedback, _ALWAYS))
        .where(chat_sessions.c.owner_id == OWNER, chat_sessions.c.id == SESSION)
        .order_by(page.c.position)
    )


def _pages(*, counting: bool) -> Pages:
    said = _said(*_SHOWN, counting=counting)
    newest_first = said.order_by(_POSITION.desc())
    oldest_first = said.order_by(_POSITION)
    return Pages(
        newest=_page(newest_first, counting=counting),
        before=_page(newest_first.where(_POSITION < _PLACE), counting=counting),
        after=_page(oldest_first.where(_POSITION > _PLACE), counting=counting),
    )


ALL = _pages(counting=False)
COUNTING = _pages(counting=True)
"""Without what was superseded, which is passed over row by row."""
NEWEST_MESSAGES, MESSAGES_BEFORE, MESSAGES_AFTER = ALL
NEWEST_COUNTING, COUNTING_BEFORE, COUNTING_AFTER = COUNTING
