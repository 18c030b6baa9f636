"""Room 3, the world: which version the tables have, and whether this code may work on them.

May import: standard library, asyncpg, chatcore, sqlalchemy.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa

from chatcore import StorageUnavailable

from .database import Database
from .tables import schema_compatibility

SCRIPTS = Path(__file__).resolve().parents[2] / "migrations"
"""Where the migrations are: the same place from here in the tree and in the installed package."""

_alembic_version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.Text))
_version = sa.select(_alembic_version.c.version_num)
MAY_SERVE = sa.select(
    sa.exists().where(schema_compatibility.c.revision == sa.bindparam("head")).label("may_serve")
)
"""Whether newer tables let the code of revision `head` work on them. Rows: one."""


class SchemaOutdated(StorageUnavailable):
    """The tables are missing or not at the version this code expects."""

    code = "schema_outdated"

    def __init__(self, found: str | None, expected: str) -> None:
        self.found = found
        self.expected = expected
        # Revisions are numbered, and only a later version's code has made one that we do not know.
        self.is_newer = found is not None and found > expected
        super().__init__(
            f"the tables are at version {found}, made for a newer chatcore than this, of {expected}"
            if self.is_newer
            else f"the tables are at version {found or 'none'}, not {expected}: run a migration"
        )


@functools.cache
def head() -> str:
    """Return the revision this code expects: migrations are numbered without a gap."""
    return max(file.name[:4] for file in (SCRIPTS / "versions").glob("[0-9]*.py"))


async def require_head(database: Database) -> None:
    """Check that this code may work on the tables: they are its own, or newer and say so.

    The newer ones are those of the next version, while processes are replaced one by one.

    Raises:
        SchemaOutdated: They are missing, older, or too new.
        StorageUnavailable: The database did not answer.
    """
    found = await _read(database, _version, {}, "version_num")
    if found == head():
        return
    if not await _read(database, MAY_SERVE, {"head": head()}, "may_serve"):
        raise SchemaOutdated(None if found is None else str(found), head())


async def _read(
    database: Database, query: sa.Select[Any], values: dict[str, object], column: str
) -> object:
    """Return one value; None without its row or without its table."""
    try:
        row = await database.fetch_one(query, values)
    except StorageUnavailable as error:
        if asyncpg.UndefinedTableError.__name__ in str(error):
            return None
        raise
    return None if row is None else row[column]
