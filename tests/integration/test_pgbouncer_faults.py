"""The whole service while the pooler it talks through is killed, or told to wait.

May import: standard library, asyncpg, pytest, tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from tests.integration.hindered import hindered
from tests.integration.pooler import PROGRAM, SERVERS, Pooler, left_prepared, pooling
from tests.integration.reading import Reading, asking, following, path_of
from tests.integration.served import Service
from tests.integration.suffering import LONG, SHORT, WORDS, slow_provider
from tests.provider import Provider

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        PROGRAM is None, reason="needs PgBouncer: Debian's package pgbouncer, see .ci/run"
    ),
]

STREAMS = 4
# Longer than the model takes, so that the ends meet it too.
AWAY_SECONDS = 1.8
# What was stored although its asker was told 503 is gone on with when its lease is over.
POLICY = {"lease_seconds": 5.0, "sweep_seconds": 0.5}
ENDED_SECONDS = 15.0

Fault = Callable[[Pooler], Awaitable[None]]


@pytest.fixture
def pooler(postgres_url: str) -> Iterator[Pooler]:
    """Give a pooler of the test's own in front of the run's PostgreSQL."""
    with pooling(postgres_url) as started:
        yield started


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that takes its time over the long answer only."""
    async with slow_provider() as opened:
        yield opened


async def killed(pooler: Pooler) -> None:
    """Have it end with all its connections, and come back."""
    pooler.kill()
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(pooler.start)


async def paused(pooler: Pooler) -> None:
    """Have it hold everything up for a while."""
    await pooler.pause()
    await asyncio.sleep(AWAY_SECONDS)
    await pooler.resume()


async def test_turns_outlive_the_pooler(
    pooler: Pooler, postgres_url: str, empty_schema: str, provider: Provider
) -> None:
    """G1, G7: what runs is stored by who ran it; a question meets at most a 503, the next none."""
    settings = {
        "DATABASE_URL": pooler.url(),
        "DATABASE_SCHEMA": empty_schema,
        "DATABASE_POOLER": "transaction",
        "OPENAI_BASE_URL": provider.base_url,
    }
    async with AsyncExitStack() as stack:
        both = await asyncio.gather(
            *[stack.enter_async_context(hindered(settings, POLICY)) for _ in range(2)]
        )
        for fault in (killed, paused):
            await one_round(both, pooler, fault)
        assert await left_prepared(pooler.url()) == [0] * SERVERS
        await nothing_is_left(postgres_url, empty_schema)


async def one_round(both: list[Service], pooler: Pooler, fault: Fault) -> None:
    """Have turns run through a fault, and read each at its replica and at the other one."""
    async with AsyncExitStack() as stack:
        pairs: list[tuple[Reading, Reading]] = []
        for number in range(STREAMS):
            here, there = both[number % 2], both[1 - number % 2]
            reading = await stack.enter_async_context(asking(here, LONG))
            path = path_of(await reading.until("turn"))
            pairs.append((reading, await stack.enter_async_context(following(there, path))))
        await asyncio.gather(*[reading.until("delta") for pair in pairs for reading in pair])
        asked = [asyncio.create_task(service.ask("meanwhile")) for service in both * 2]
        await fault(pooler)
        for status, body in await asyncio.gather(*[service.ask("again?") for service in both]):
            assert (status, body.get("response")) == (200, SHORT)
        for status, body in await asyncio.gather(*asked):
            if status != 200:
                told = (status, body["code"], body["retryable"])
                assert told == (503, "storage_unavailable", True)
        for reading, elsewhere in pairs:
            await require_whole(both[0], reading)
            await require_whole(both[1], elsewhere)


async def require_whole(service: Service, reading: Reading) -> None:
    """Its reader saw it without a break, and its first attempt is the stored one."""
    done = await reading.until("done", within_seconds=20)
    assert (reading.names, reading.text) == (["turn", "delta", "done"], "".join(WORDS))
    _, turn = await service.call("GET", path_of(reading.events[0]))
    outcomes = [attempt["outcome"] for attempt in turn["attempts"]]
    assert (turn["status"], outcomes) == ("completed", ["completed"])
    assert done.data["response"] == turn["response"] == reading.text


async def nothing_is_left(url: str, schema: str) -> None:
    """Every turn is completed, also one whose asker was told 503; no journal is left."""
    connection: Any = await asyncpg.connect(url)
    try:
        give_up_at = time.monotonic() + ENDED_SECONDS
        ended = f"SELECT bool_and(status = 'completed') FROM {schema}.turns"
        while not await connection.fetchval(ended):
            assert time.monotonic() < give_up_at, "a turn is stuck"
            await asyncio.sleep(0.2)
        assert await connection.fetchval(f"SELECT count(*) FROM {schema}.reply_journal") == 0
    finally:
        await connection.close()
