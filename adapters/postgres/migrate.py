"""Room 3, the world: brings the tables to the state this code expects.

May import: standard library, alembic, chatcore, sqlalchemy.

Most processes never migrate. So what only that needs (Alembic, SQLAlchemy's engine and with it its
object-relational half) is imported when it is done: a fifth of an idle process's memory.
"""

from __future__ import annotations

import asyncio
import functools
import random
import re
import threading
from typing import TYPE_CHECKING

import sqlalchemy as sa

from chatcore import StorageUnavailable

from .connection import connect, safe_reason
from .schema_version import MAY_SERVE, SCRIPTS, SchemaOutdated, head
from .tables import metadata

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Alembic keeps its context in globals of the process.
_alembic_in_use = threading.Lock()
_TRIES = 40
# Deadlocks, and locks not given in time: PostgreSQL's documentation, appendix A, error codes.
_IN_THE_WAY = ("40P01", "55P03")


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
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

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
        await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311
    raise AssertionError("unreachable: the last try returns or raises")


def _told(error: sa.exc.DBAPIError) -> str:
    """Return what the driver raised, out of the two errors SQLAlchemy puts around it."""
    outer = error.orig or error
    return safe_reason(outer.__cause__ or outer)


def _run(connection: sa.Connection, schema: str, revision: str) -> str:
    """Return the revision that the tables have then; newer ones that let us serve are left alone.

    Raises:
        SchemaOutdated: They are newer, and do not.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    if revision == "head" and (newer := _newer(connection, schema)):
        return newer
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes.update(connection=connection, schema=schema, metadata=metadata)
    is_back = revision == "base" or revision.startswith("-")
    try:
        (command.downgrade if is_back else command.upgrade)(config, revision)
    except CommandError:
        # A newer version may have migrated since we looked.
        connection.rollback()
        if revision == "head" and (newer := _newer(connection, schema)):
            return newer
        raise
    return _current(connection, schema) or ""


def _newer(connection: sa.Connection, schema: str) -> str | None:
    """Return the tables' revision if it is newer than ours and lets us serve.

    Raises:
        SchemaOutdated: It is newer, and does not.
    """
    found = _current(connection, schema)
    if found is None or found <= head():
        return None
    in_schema = connection.execution_options(schema_translate_map={None: schema})
    if not in_schema.scalar(MAY_SERVE, {"head": head()}):
        raise SchemaOutdated(found, head())
    return found


def _current(connection: sa.Connection, schema: str) -> str | None:
    from alembic.migration import MigrationContext

    options = {"version_table_schema": schema}
    found = MigrationContext.configure(connection, opts=options).get_current_revision()
    connection.rollback()  # reading has begun a transaction, and migrating wants one of its own
    return found
