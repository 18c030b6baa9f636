"""Room 3, the world: runs SQLAlchemy Core statements on asyncpg's pool, compiled once.

May import: standard library, chatcore, asyncpg, sqlalchemy.

Going through SQLAlchemy's async engine costs a greenlet switch, a cursor and a result object a
statement: more than the statement itself. So statements are written with Core (types, names and
schema stay in one place) and compiled once, and the driver runs them (docs/adr/0004). Nearly each
is one implicit transaction; a few work together in an explicit one. All are guarded or keyed, so
running them again is always safe: that is what makes the retries here sound.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa

from chatcore import StorageUnavailable

from .connection import (
    CONNECT_SECONDS,
    TROUBLE,
    clean_dsn,
    describe_dsn,
    safe_reason,
    with_patience,
)
from .pool import Pool
from .statement import Statement
from .transaction import CANCEL_SECONDS, Row, Transaction, seconds_left

_T = TypeVar("_T")

# More than there are statements, so that each is prepared once a connection.
_PREPARED_SIZE = 100
_TRIES = 3
_BACKOFF_SECONDS = 0.05
# A caller of `fetch` waits no longer than the second of these and a little more, tries included.
_POOL_WAIT_SECONDS = 2.0
_STATEMENT_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
# Below the five minutes after which hosted databases suspend and drop idle connections.
_IDLE_SECONDS = 240.0
# connection trouble, shutting down, starting up, too many connections, cancelled, lock and
# serialisation failures, idle in a transaction, no longer the primary: PostgreSQL's documentation,
# appendix A, error codes
_PASSING = ("08", "57P", "57014", "53300", "40001", "40P01", "55P03", "25P03", "25006")


class Database:
    """A pool of connections to one PostgreSQL, and the schema our tables are in.

    Args:
        dsn: `postgresql://…`, as the provider prints it.
        schema: Name of the schema.
        pool_size: Most connections, at least 1.
        pooler: Whether a pooler that hands each transaction to any of its own connections is in
            between, like PgBouncer in transaction mode: nothing is then prepared for later.
    """

    def __init__(
        self, dsn: str, *, schema: str = "chatcore", pool_size: int = 5, pooler: bool = False
    ) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._prepared_size = 0 if pooler else _PREPARED_SIZE
        self._pool: Pool | None = None
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
        pool = Pool(
            functools.partial(
                asyncpg.connect,
                address,
                timeout=CONNECT_SECONDS,
                command_timeout=_STATEMENT_SECONDS,
                statement_cache_size=self._prepared_size,
            ),
            max_size=self._pool_size,
            idle_seconds=_IDLE_SECONDS,
            close_seconds=CANCEL_SECONDS,
        )

        async def once() -> None:
            pool.give_back(await pool.acquire(timeout_seconds=CONNECT_SECONDS))

        await with_patience(once, self._dsn)
        self._pool = pool

    async def close(self) -> None:
        """Close all connections; those in use get a moment to finish."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(timeout_seconds=_CLOSE_SECONDS)

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
        prepared = self.compiled(statement)
        arguments = prepared.arguments(values)

        async def run(connection: Any, give_up_at: float) -> list[Row]:
            rows: list[Row] = await connection.fetch(
                prepared.sql, *arguments, timeout=seconds_left(give_up_at)
            )
            return rows

        return await self._insist(run)

    async def fetch_one(
        self, statement: sa.ClauseElement, values: Mapping[str, object]
    ) -> Row | None:
        """Run one statement and return its first row, or None if it has none."""
        rows = await self.fetch(statement, values)
        return rows[0] if rows else None

    async def transact(self, work: Callable[[Transaction], Awaitable[_T]]) -> _T:
        """Run several statements as one transaction, and commit it unless `work` raises.

        Args:
            work: Runs them. It waits for nothing else, since it holds a connection and locks, and
                can be run again from its beginning, also after a commit whose answer was lost.

        Raises:
            asyncpg.IntegrityConstraintViolationError: A rule of the tables forbids it.
            StorageUnavailable: The database did not answer in time, or failed several times.
        """

        async def run(connection: Any, give_up_at: float) -> _T:
            return await Transaction(self.compiled, connection, give_up_at).run(work)

        return await self._insist(run)

    async def _insist(self, run: Callable[[Any, float], Awaitable[_T]]) -> _T:
        """Run something on a connection, and again after what may pass."""
        now = time.monotonic
        give_up_at = now() + _STATEMENT_SECONDS
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._on_a_connection(run, give_up_at)
            except asyncpg.IntegrityConstraintViolationError:
                raise
            except TROUBLE as error:
                if not (tries_left and _may_pass(error) and now() < give_up_at):
                    # The cause is cut off: its text can quote what was to be stored.
                    raise StorageUnavailable(safe_reason(error)) from None
                if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    self._leave_old_primary()
            await asyncio.sleep(_BACKOFF_SECONDS * (_TRIES - tries_left) * (1 + random.random()))  # noqa: S311
        raise AssertionError("unreachable: the last try returns or raises")

    def _leave_old_primary(self) -> None:
        """Let go of all connections: their server became a standby, and another one took over."""
        if self._pool is not None:
            self._pool.expire()

    async def _on_a_connection(
        self, run: Callable[[Any, float], Awaitable[_T]], give_up_at: float
    ) -> _T:
        pool = self._pool
        if pool is None:
            raise StorageUnavailable("the database is closed")
        wait = min(_POOL_WAIT_SECONDS, seconds_left(give_up_at))
        lent = await pool.acquire(timeout_seconds=wait)
        try:
            result = await run(lent.connection, give_up_at)
        except asyncpg.PostgresError:
            pool.give_back(lent)
            raise
        except BaseException as error:
            # Late, cancelled or broken: whatever goes on in it, it is not ours to lend again.
            closing = pool.give_up(lent)
            if closing is not None and isinstance(error, Exception):
                # Who is told that it failed is told so, if that can be had soon, when it is over.
                await asyncio.wait([closing])
            raise
        pool.give_back(lent)
        return result


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_PASSING)
    # Who has waited for a connection or an answer for so long has waited long enough.
    return not isinstance(error, TimeoutError)
