"""Room 3, the world: moving on and ending turns that are held.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from .attempt_statements import close_attempt, open_next
from .parameters import (
    HELD,
    NOW,
    NUMBER,
    OWNER,
    SESSION,
    TURN,
    constant,
)
from .tables import attempts, chat_sessions, messages, reply_journal, turns

DIGEST = sa.bindparam("request_digest", type_=sa.Text)

# A statement that waited for the turn's row goes on with the row as it became, but with the journal
# as it was before: what a beat stored meanwhile would be left behind. So the row must still be the
# one that was there when the statement began; if not, nothing is done, and the caller looks again.
_seen = turns.alias("seen")
_UNTOUCHED = sa.literal_column("turns.xmin") == (
    sa.select(sa.literal_column("seen.xmin"))
    .select_from(_seen)
    .where(_seen.c.owner_id == OWNER, _seen.c.session_id == SESSION, _seen.c.number == NUMBER)
    .scalar_subquery()
)

_ENDED: dict[str, Any] = {
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
    # Only if the turn was ours to end.
    return close_attempt(
        only_if=ended,
        outcome=sa.bindparam("outcome", type_=sa.Text),
        model=_ENDED["model"],
        request_digest=sa.func.coalesce(DIGEST, attempts.c.request_digest),
        error_code=_ENDED["error_code"],
        prompt_tokens=_ENDED["prompt_tokens"],
        completion_tokens=_ENDED["completion_tokens"],
    ).cte("ended_attempt")


def _drop_journal(ended: sa.CTE) -> sa.CTE:
    return (
        reply_journal.delete()
        .where(
            reply_journal.c.owner_id == OWNER,
            reply_journal.c.turn_id == TURN,
            sa.exists(sa.select(ended.c.question_position)),
        )
        .cte("dropped")
    )


def _finish_with_reply() -> sa.Select[Any]:
    reply_id = sa.bindparam("reply_id", type_=sa.Uuid)
    ended = (
        turns.update()
        .where(*HELD, _UNTOUCHED)
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
    return sa.select(*ended.c).add_cte(reply, _end_attempt(ended), _drop_journal(ended))


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
        .where(*HELD, _UNTOUCHED, turns.c.session_id == session.c.id)
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
    return sa.select(*ended.c).add_cte(given_back, _end_attempt(ended), _drop_journal(ended))


def _next_attempt() -> sa.Select[Any]:
    moved = (
        turns.update()
        .where(*HELD, turns.c.attempt < turns.c.max_attempts)
        .values(attempt=turns.c.attempt + constant("1"))
        .returning(turns.c.attempt)
        .cte("moved")
    )
    no_request = constant("''")
    failed = (
        close_attempt(
            only_if=moved,
            outcome=constant("'failed'"),
            error_code=sa.bindparam("error_code", type_=sa.Text),
            request_digest=sa.func.coalesce(
                sa.func.nullif(DIGEST, no_request), attempts.c.request_digest
            ),
        )
        .returning(attempts.c.window_turns)
        .cte("failed")
    )
    return sa.select(moved.c.attempt).add_cte(open_next(moved, failed))


FINISH_WITH_REPLY = _finish_with_reply()
"""End a turn and store its reply. Rows: one if this attempt held the turn, else none.

None also if a beat of this attempt was being stored at that moment: then once more.
"""
FINISH_WITHOUT_REPLY = _finish_without_reply()
"""End a turn that has no text. Rows: as above."""
NEXT_ATTEMPT = _next_attempt()
"""Close an attempt and open the next. Rows: one if this attempt held the turn, else none."""
