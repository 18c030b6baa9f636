"""Room 3, the world: columns that many tables have.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

import sqlalchemy as sa

STAMP = sa.DateTime(timezone=True)
IN_FIVE_MINUTES = sa.text("now() + interval '300 seconds'")


def owner() -> sa.Column[str]:
    """Return the column that says whose a row is."""
    return sa.Column("owner_id", sa.Text, nullable=False)


def tokens(name: str) -> sa.Column[int]:
    """Return a column for a count of tokens, where it is known."""
    return sa.Column(name, sa.Integer, nullable=True)
