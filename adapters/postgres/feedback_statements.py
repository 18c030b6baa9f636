"""Room 3, the world: keeping and forgetting feedback.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from .parameters import NOW, OWNER, constant
from .single_rows import is_of_session
from .tables import message_feedback, messages

_MESSAGE = sa.bindparam("message_id", type_=sa.Uuid)
_RATED = sa.select(messages.c.id).where(
    messages.c.owner_id == OWNER,
    messages.c.id == _MESSAGE,
    is_of_session(messages.c.session_id),
)


def _rate() -> sa.Select[Any]:
    # Locked, so that a message being erased is waited for and then found gone.
    rated = _RATED.with_for_update(read=True, key_share=True).cte("rated")
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "message_id": rated.c.id,
        "rating": sa.bindparam("rating", type_=sa.Text),
        "comment": sa.bindparam("comment", type_=sa.Text),
        "updated_at": NOW,
    }
    given = insert(message_feedback).from_select(list(values), sa.select(*values.values()))
    kept = given.on_conflict_do_update(
        index_elements=[message_feedback.c.message_id, message_feedback.c.owner_id],
        set_={name: given.excluded[name] for name in ("rating", "comment", "updated_at")},
    ).cte("kept")
    return sa.select(rated.c.id).add_cte(kept)


def _forget() -> sa.Select[Any]:
    rated = _RATED.cte("rated")
    forgotten = (
        message_feedback.delete()
        .where(
            message_feedback.c.owner_id == OWNER,
            message_feedback.c.message_id == _MESSAGE,
            sa.exists(sa.select(constant("1")).select_from(rated)),
        )
        .cte("forgotten")
    )
    return sa.select(rated.c.id).add_cte(forgotten)


RATE = _rate()
"""Keep feedback on one message. Rows: one if there is such a message."""
FORGET = _forget()
"""Drop it. Rows: one if there is such a message."""
