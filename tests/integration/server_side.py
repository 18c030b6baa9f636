"""What tests ask a PostgreSQL server behind the adapter's back.

May import: standard library, asyncpg.
"""

from __future__ import annotations

import asyncio

import asyncpg


async def until_waiting(connection: asyncpg.Connection) -> None:
    """Wait until some statement waits for a lock."""
    for _ in range(500):
        await asyncio.sleep(0.01)
        if await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            return
    raise AssertionError("nothing waits")


async def deadlocks(connection: asyncpg.Connection) -> int:
    """Return how many deadlocks there have been."""
    await asyncio.sleep(0.6)  # the server publishes its counters at most every half second
    found: int = await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return found


async def drop_schema(url: str, schema: str) -> None:
    """Drop a schema with all that is in it."""
    connection = await asyncpg.connect(url)
    await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
    await connection.close()
