"""Room 3, the world: brings the tables to the state this code expects, and checks that they are.

May import: standard library, alembic, asyncpg, chatcore, sqlalchemy.
"""

from __future__ import annotations

import asyncio
import functools
import random
import re
import threading
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
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
_TRIES = 10
# Deadlocks, and locks not given in time: PostgreSQL's documentation, appendix A, error codes.
_IN_THE_WAY = ("40P01", "55P03")


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
        revision: `head`, `base`, the number of a migration to go up to, or `-1` for one back.

    Returns:
        The revision the tables now have; empty for `base`.

    Raises:
        SchemaOutdated: The tables are newer than this code knows, and do not let it serve.
        StorageUnavailable: The database did not answer, or refused.
        ValueError: No such revision, or not a name for a schema.
    """
    require_schema_name(schema)
    while not _alembic_in_use.acquire(blocking=False):  # noqa: ASYNC110  # loops of other threads too
        await asyncio.sleep(0.05)
    engine = engine_for(dsn)
    try:
        return await _insist(engine, schema, revision)
    except sa.exc.DBAPIError as error:
        raise StorageUnavailable(f"the migration failed: {_told(error)}") from error
    finally:
        _alembic_in_use.release()
        await engine.dispose()


async def _insist(engine: AsyncEngine, schema: str, revision: str) -> str:
    """Migrate, again where those who go on working were in the way: it is one transaction."""
    for tries_left in reversed(range(_TRIES)):
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(_run, schema, revision)
        except sa.exc.DBAPIError as error:
            if not (tries_left and getattr(error.orig, "sqlstate", None) in _IN_THE_WAY):
                raise
        await asyncio.sleep(random.uniform(0.05, 0.5))  # noqa: S311
    raise AssertionError("unreachable: the last try returns or raises")


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


def _run(connection: sa.Connection, schema: str, revision: str) -> str:
    """Return the revision that the tables have then; newer ones that let us serve are left alone.

    Raises:
        SchemaOutdated: They are newer, and do not.
    """
    found = _current(connection, schema)
    if revision == "head" and found is not None and found > head():
        in_schema = connection.execution_options(schema_translate_map={None: schema})
        if in_schema.scalar(_may_serve, {"head": head()}):
            return found
        raise SchemaOutdated(found, head())
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes.update(connection=connection, schema=schema, metadata=metadata)
    is_back = revision == "base" or revision.startswith("-")
    (command.downgrade if is_back else command.upgrade)(config, revision)
    return _current(connection, schema) or ""


def _current(connection: sa.Connection, schema: str) -> str | None:
    options = {"version_table_schema": schema}
    found = MigrationContext.configure(connection, opts=options).get_current_revision()
    connection.rollback()  # reading has begun a transaction, and migrating wants one of its own
    return found
