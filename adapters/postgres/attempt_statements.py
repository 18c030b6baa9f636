"""Room 3, the world: closing an attempt and opening the next, as parts of statements.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from .parameters import ATTEMPT, NOW, OWNER, STREAM, TEMPLATE, TURN, constant
from .tables import attempts


def close_attempt(
    *, only_if: sa.CTE | None = None, **values: sa.ColumnElement[Any]
) -> sa.sql.dml.Update:
    """Return the update that ends the attempt.

    Args:
        only_if: What must have rows, for it to happen.
        values: What becomes true of it, besides its end.
    """
    update = attempts.update().where(
        attempts.c.owner_id == OWNER, attempts.c.turn_id == TURN, attempts.c.number == ATTEMPT
    )
    if only_if is not None:
        update = update.where(sa.exists(sa.select(constant("1")).select_from(only_if)))
    return update.values(ended_at=NOW, **values)


def open_next(moved: sa.CTE, closed: sa.CTE) -> sa.CTE:
    """Return the insertion of the next attempt, whose window is that of the one before."""
    values: dict[str, sa.ColumnElement[Any]] = {
        "owner_id": OWNER,
        "turn_id": TURN,
        "number": moved.c.attempt,
        "outcome": constant("'pending'"),
        "window_turns": closed.c.window_turns,
        "template": TEMPLATE,
        "stream": STREAM,
        "started_at": NOW,
    }
    return attempts.insert().from_select(list(values), sa.select(*values.values())).cte("opened")
