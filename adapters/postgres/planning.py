"""Room 3, the world: what the server is told about how rows are spread.

May import: standard library, sqlalchemy.

One owner or session can have more rows than all others together. Statements are planned for the
average, maybe a single row; then the beginning of a key passes for the whole of it, and a look-up
reads all that the largest have. So the server is told to expect some ten rows of each, and that a
session has one owner (G13). Where a table is in parts, each part has to be told.
"""

from __future__ import annotations

import sqlalchemy as sa

_EXPECT_TEN = "ALTER TABLE %(table)s ALTER {} SET (n_distinct = -0.1)"
_ONE_OWNER = "CREATE STATISTICS {}_sessions (dependencies) ON {} FROM %(table)s"


def expect_uneven(table: sa.Table, *columns: str) -> None:
    """Say so of these columns, right after the table is made."""
    for column in columns:
        _after_creating(table, _EXPECT_TEN.format(column))
    if len(columns) > 1:
        _after_creating(table, _ONE_OWNER.format(table.name, ", ".join(columns)))


def _after_creating(table: sa.Table, command: str) -> None:
    ddl = sa.DDL(command)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    sa.event.listen(table, "after_create", ddl)
