"""Room 3, the world: runs SQLAlchemy Core statements on asyncpg's pool, compiled once.

May import: standard library, chatcore, asyncpg, sqlalchemy.

Going through SQLAlchemy's async engine costs a greenlet switch, a cursor and a result object a
statement: more than the statement itself. So statements are written with Core (types, names and
schema stay in one place) and compiled once, and the driver runs them (docs/adr/0004). Each is one
implicit transaction, and each is guarded or keyed, so running it again is always safe: that is what
makes the retries here sound.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from chatcore import StorageUnavailable

from .connection import (
    CONNECT_SECONDS,
    TROUBLE,
    clean_dsn,
    describe_dsn,
    safe_reason,
    with_patience,
)

Row = Mapping[str, Any]

_TRIES = 3
_BACKOFF_SECONDS = 0.05
# A caller of `fetch` waits no longer than the second of these and a little more, tries included.
_POOL_WAIT_SECONDS = 2.0
_STATEMENT_SECONDS = 5.0
_CANCEL_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
# Below the five minutes after which hosted databases suspend and drop idle connections.
_IDLE_SECONDS = 240.0
# connection trouble, shutting down, starting up, too many connections, cancelled, lock and
# serialisation failures: PostgreSQL's documentation, appendix A, error codes
_PASSING = ("08", "57P", "57014", "53300", "40001", "40P01", "55P03")


class Statement:
    """A Core statement, compiled for one schema."""

    __slots__ = ("_constants", "_names", "sql")

    def __init__(self, statement: sa.ClauseElement, schema: str) -> None:
        compiled = statement.compile(
            dialect=dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            schema_translate_map={None: schema},
            render_schema_translate=True,
        )
        self.sql = str(compiled)
        self._names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        self._constants = {k: v for k, v in compiled.params.items() if v is not None}

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """Return the values in the order of the statement's parameters."""
        constants = self._constants
        return [values[name] if name in values else constants[name] for name in self._names]


class Database:
    """A pool of connections to one PostgreSQL, and the schema our tables are in.

    Args:
        dsn: `postgresql://…`, as the provider prints it.
        schema: Name of the schema.
        pool_size: Most connections, at least 1.
    """

    def __init__(self, dsn: str, *, schema: str = "chatcore", pool_size: int = 5) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._pool: Any = None
        self._compiled: dict[int, tuple[sa.ClauseElement, Statement]] = {}
        self.schema = schema

    def __repr__(self) -> str:
        return f"Database({describe_dsn(self._dsn)!r}, schema={self.schema!r})"

    async def open(self) -> None:
        """Connect once, so that what is wrong shows now.

        Raises:
            StorageUnavailable: Not reached, refused, or no such database; says which.
        """
        address = clean_dsn(self._dsn)

        async def once() -> Any:
            return await asyncpg.create_pool(
                address,
                min_size=1,
                max_size=self._pool_size,
                timeout=CONNECT_SECONDS,
                command_timeout=_STATEMENT_SECONDS,
                max_inactive_connection_lifetime=_IDLE_SECONDS,
                reset=_no_reset,
            )

        self._pool = await with_patience(once, self._dsn)

    async def close(self) -> None:
        """Close all connections; those in use get a moment to finish."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    def compiled(self, statement: sa.ClauseElement) -> Statement:
        """Return the statement compiled for our schema; the work is done once."""
        found = self._compiled.get(id(statement))
        if found is None:
            # The statement is kept beside its compiled form, so that its id cannot be reused.
            found = self._compiled[id(statement)] = (statement, Statement(statement, self.schema))
        return found[1]

    async def fetch(self, statement: sa.ClauseElement, values: Mapping[str, object]) -> list[Row]:
        """Run one statement in a transaction of its own and return all its rows.

        Raises:
            asyncpg.IntegrityConstraintViolationError: A rule of the tables forbids it.
            StorageUnavailable: The database did not answer in time, or failed several times.
        """
        now = asyncio.get_running_loop().time
        give_up_at = now() + _STATEMENT_SECONDS
        prepared = self.compiled(statement)
        arguments = prepared.arguments(values)
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._run(prepared.sql, arguments, give_up_at - now())
            except asyncpg.IntegrityConstraintViolationError:
                raise
            except TROUBLE as error:
                if not (tries_left and _may_pass(error) and now() < give_up_at):
                    # The cause is cut off: its text can quote what was to be stored.
                    raise StorageUnavailable(safe_reason(error)) from None
            await asyncio.sleep(_BACKOFF_SECONDS * (_TRIES - tries_left) * (1 + random.random()))  # noqa: S311
        raise AssertionError("unreachable: the last try returns or raises")

    async def fetch_one(
        self, statement: sa.ClauseElement, values: Mapping[str, object]
    ) -> Row | None:
        """Run one statement and return its first row, or None if it has none."""
        rows = await self.fetch(statement, values)
        return rows[0] if rows else None

    async def _run(self, sql: str, arguments: Sequence[object], limit_seconds: float) -> list[Row]:
        pool = self._pool
        if pool is None:
            raise StorageUnavailable("the database is closed")
        now = asyncio.get_running_loop().time
        give_up_at = now() + max(limit_seconds, _BACKOFF_SECONDS)
        connection = await pool.acquire(timeout=min(_POOL_WAIT_SECONDS, limit_seconds))
        try:
            left = max(give_up_at - now(), _BACKOFF_SECONDS)
            rows: list[Row] = await connection.fetch(sql, *arguments, timeout=left)
            return rows
        except asyncpg.InternalClientError:
            connection.terminate()
            raise
        finally:
            # After a timeout the statement is cancelled. What does not confirm that soon is closed,
            # never used again; and the caller, who may be cancelled, is told of the first trouble.
            with suppress(TimeoutError):
                await pool.release(connection, timeout=_CANCEL_SECONDS)


async def _no_reset(_: object) -> None:
    """Spare a round trip a statement: none of ours leaves any state in the session."""


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_PASSING)
    # Who has waited for a connection or an answer for so long has waited long enough.
    return not isinstance(error, TimeoutError)
