"""Room 3, the world: brings the tables to the state this code expects, and checks that they are.

May import: standard library, alembic, asyncpg, chatcore, sqlalchemy.
"""

from __future__ import annotations

import asyncio
import functools
import re
import threading
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from chatcore import StorageUnavailable

from .connection import connect, safe_reason
from .database import Database
from .tables import metadata, schema_compatibility

_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# The same place from here in the tree and in the installed package.
_SCRIPTS = Path(__file__).resolve().parents[2] / "migrations"

_alembic_version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.Text))
_version = sa.select(_alembic_version.c.version_num)
_may_serve = sa.select(
    sa.exists().where(schema_compatibility.c.revision == sa.bindparam("head")).label("may_serve")
)
# Alembic keeps its context in globals of the process.
_alembic_in_use = threading.Lock()


class SchemaOutdated(StorageUnavailable):
    """The tables are missing or not at the version this code expects."""

    code = "schema_outdated"

    def __init__(self, found: str | None, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            f"the tables are at version {found or 'none'}, not {expected}: run a migration"
        )


def require_schema_name(name: str) -> str:
    """Return a schema's name if it needs no quoting anywhere.

    Raises:
        ValueError: It does.
    """
    if not _SCHEMA_NAME.fullmatch(name):
        raise ValueError(
            "a schema's name has at most 63 lower-case letters, digits and underscores, "
            "and begins with none of the digits"
        )
    return name


def engine_for(dsn: str) -> AsyncEngine:
    """Return an engine that opens connections just as the pool does.

    Nothing is prepared for later: a pooler may stand between, and nothing here runs twice.
    """
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=functools.partial(connect, dsn, statement_cache_size=0),
        poolclass=NullPool,
        hide_parameters=True,
    )


async def migrate(dsn: str, *, schema: str = "chatcore", revision: str = "head") -> str:
    """Bring the tables of one schema to a revision; the schema is created if need be.

    Args:
        dsn: `postgresql://…`, as the provider prints it.
        schema: Name of the schema.
        revision: `head`, `base`, or the number of a migration.

    Returns:
        The revision the tables now have; empty for `base`.

    Raises:
        StorageUnavailable: The database did not answer, or refused.
        ValueError: No such revision, or not a name for a schema.
    """
    require_schema_name(schema)
    while not _alembic_in_use.acquire(blocking=False):  # noqa: ASYNC110  # loops of other threads too
        await asyncio.sleep(0.05)
    engine = engine_for(dsn)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run, schema, revision)
            await connection.commit()
    except sa.exc.DBAPIError as error:
        raise StorageUnavailable(f"the migration failed: {_told(error)}") from error
    finally:
        _alembic_in_use.release()
        await engine.dispose()
    return "" if revision == "base" else (head() if revision == "head" else revision)


def head() -> str:
    """Return the revision this code expects."""
    return str(ScriptDirectory(str(_SCRIPTS)).get_current_head())


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
    if not await _read(database, _may_serve, {"head": head()}, "may_serve"):
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


def _told(error: sa.exc.DBAPIError) -> str:
    """Return what the driver raised, out of the two errors SQLAlchemy puts around it."""
    outer = error.orig or error
    return safe_reason(outer.__cause__ or outer)


def _run(connection: sa.Connection, schema: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes.update(connection=connection, schema=schema, metadata=metadata)
    move = command.downgrade if revision == "base" else command.upgrade
    move(config, revision)
