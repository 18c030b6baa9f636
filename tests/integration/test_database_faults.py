"""The whole service while its database has no connection, no room, no time, or is not there.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import provider as say
from tests.chaos.postgres import Postgres
from tests.integration.broken_server import (
    ROLE,
    drop_all,
    locked,
    move_log,
    small_disk,
    start,
    starved,
    write_log,
)
from tests.integration.doorway import Doorway
from tests.integration.reading import asking
from tests.integration.served import Service
from tests.integration.suffering import (
    LONG,
    PAUSE_SECONDS,
    POOL_SIZE,
    WORDS,
    answer,
    bed,
    slow_provider,
)
from tests.provider import Provider

pytestmark = pytest.mark.postgres

NO_DISK = "a full disk is a small file system in memory: needs root, and the right to mount"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(open_folder: Path) -> Iterator[Postgres]:
    """Give a server that only these tests use."""
    # A worker that goes on to other tests and comes back to these makes another one.
    home = open_folder / f"faults_{next(_numbers)}"
    home.mkdir()
    started = asyncio.run(start(home))
    yield started
    asyncio.run(started.stop())


@pytest.fixture
async def database(server: Postgres) -> AsyncIterator[str]:
    """Give the name of a database with all tables, empty."""
    name = f"faults_{next(_numbers)}"
    await server.make_database(name)
    yield name
    await server.drop_database(name)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that takes its time over the long answer only."""
    async with slow_provider() as opened:
        yield opened


async def test_no_connection_is_left(server: Postgres, database: str, provider: Provider) -> None:
    """G1: a server whose connections are all taken refuses questions soon, and loses no turn."""
    url = server.url(database).replace("//postgres", f"//{ROLE}")
    async with (
        bed(server, database, provider, url=url) as lying,
        asking(lying.service, LONG) as reading,
    ):
        await reading.until("delta")
        async with starved(server, database):
            waits = await asyncio.gather(*[lying.is_refused() for _ in range(6)])
            assert max(waits) < 3
            assert not await lying.is_ready()
            await lying.model_is_done()
            assert (reading.names, reading.text) == (["turn", "delta"], "".join(WORDS))
        await lying.require_stored(reading, within_seconds=10)
        await lying.goes_on(reading)


async def test_a_database_that_falls_asleep(
    server: Postgres, database: str, provider: Provider
) -> None:
    """G1: all connections end and none is let in for a while: at most one question is refused."""
    async with (
        Doorway(server.socket_path) as doorway,
        bed(server, database, provider, url=doorway.url(database)) as lying,
        asking(lying.service, LONG) as reading,
    ):
        await reading.until("delta")
        assert await drop_all(server, database) > 0
        doorway.cut()
        assert await lying.is_refused() < 3
        await asyncio.sleep(2.5)
        assert (reading.names, reading.text) == (["turn", "delta"], "".join(WORDS))
        await doorway.open()
        await lying.require_stored(reading, within_seconds=10)
        await lying.goes_on(reading)
        assert await drop_all(server, database) > 0
        doorway.cut()
        await asyncio.sleep(0.5)
        await doorway.open()
        statuses = [(await lying.service.ask("awake?"))[0] for _ in range(3)]
        assert statuses[0] in {200, 503}
        assert statuses[1:] == [200, 200]


async def test_a_table_is_locked(server: Postgres, database: str, provider: Provider) -> None:
    """G10: a table held by a migration costs who asks six seconds; what runs is stored after it."""
    async with bed(server, database, provider) as lying, asking(lying.service, LONG) as reading:
        await reading.until("delta")
        async with locked(server, database, "chatcore.turns"):
            waits = await asyncio.gather(*[lying.is_refused() for _ in range(POOL_SIZE + 3)])
            assert max(waits) < 6.5
            assert (reading.names, reading.text) == (["turn", "delta"], "".join(WORDS))
        await lying.require_stored(reading, within_seconds=12)
        await lying.goes_on(reading)
        await lying.nothing_hangs()


def p95(values: list[float]) -> float:
    """Return what nineteen of twenty do not exceed."""
    return sorted(values)[int(0.95 * (len(values) - 1))]


@dataclass(frozen=True)
class Times:
    """How long parts of a turn took, in seconds."""

    admission: float
    gap: float
    end: float

    @classmethod
    async def of(cls, service: Service) -> Times:
        """Ask for the long answer and measure."""
        began = time.monotonic()
        async with asking(service, LONG) as reading:
            done = await reading.until("done", within_seconds=30)
            opened = await reading.until("turn")
            came = [event.at for event in reading.events if event.name == "delta"]
            assert reading.text == "".join(WORDS)
        gaps = [later - earlier for earlier, later in itertools.pairwise(came)]
        return cls(opened.at - began, p95(gaps), done.at - came[-1])


async def test_a_slow_database(server: Postgres, database: str, provider: Provider) -> None:
    """G10: each answer of the database comes late: admission and end do too, words do not."""
    async with (
        Doorway(server.socket_path) as doorway,
        bed(server, database, provider, url=doorway.url(database)) as lying,
    ):
        await asyncio.gather(*[lying.service.ask(f"warm {n}") for n in range(4 * POOL_SIZE)])
        usual = await Times.of(lying.service)
        for delay in (0.2, 2.0):
            doorway.delay_seconds = delay
            slow = await Times.of(lying.service)
            assert delay <= slow.admission < 3 * delay + 1
            # The reader may notice the last word a little late, and the time begins with that.
            assert 0.9 * delay <= slow.end < 4 * delay + 2
            assert slow.gap < usual.gap + 0.1, (usual, slow)


async def test_the_disk_of_the_data_is_full(
    server: Postgres, open_folder: Path, provider: Provider
) -> None:
    """G1: what finds no room is refused, and what ran is stored as soon as there is room again."""
    long_words = [f"{secrets.token_hex(2000)} " for _ in WORDS]
    long = say.streamed(long_words, pause_seconds=PAUSE_SECONDS)
    provider.default(lambda asked: long if LONG.encode() in asked.body else answer(asked))
    with small_disk(open_folder / "data_disk", mebibytes=48) as disk:
        if disk is None:
            pytest.skip(NO_DISK)
        disk.give_to(server)
        await server.execute(
            "postgres",
            [
                f"CREATE TABLESPACE small LOCATION '{disk.folder}'",
                "CREATE DATABASE full_disk TEMPLATE chaos_template TABLESPACE small",
            ],
        )
        try:
            async with (
                bed(server, "full_disk", provider) as lying,
                asking(lying.service, LONG) as reading,
            ):
                await reading.until("delta")
                disk.fill()
                waits = [await lying.is_refused(secrets.token_hex(15_000)) for _ in range(3)]
                assert max(waits) < 3
                await lying.model_is_done()
                assert reading.names == ["turn", "delta"]
                disk.empty()
                done = await reading.until("done", within_seconds=10)
                assert done.data["response"] == reading.text == "".join(long_words)
                assert (await lying.service.ask(secrets.token_hex(15_000)))[0] == 200
                await lying.nothing_hangs()
                rows = await server.execute(
                    "full_disk",
                    ["SELECT role, position FROM chatcore.messages ORDER BY created_at, position"],
                )
                assert [tuple(row) for row in rows] == [("user", 1), ("assistant", 2)] * 2
        finally:
            await server.drop_database("full_disk")
            await server.execute("postgres", ["DROP TABLESPACE small"])


async def test_the_disk_of_the_log_is_full(open_folder: Path, provider: Provider) -> None:
    """G1: the server ends for want of room for its log; with room, and started, all goes on."""
    home = open_folder / "log_full"
    home.mkdir()
    with small_disk(open_folder / "log_disk", mebibytes=64) as disk:
        if disk is None:
            pytest.skip(NO_DISK)
        server = await start(home)
        try:
            await server.make_database("small_log")
            await move_log(server, disk)
            async with (
                bed(server, "small_log", provider) as lying,
                asking(lying.service, LONG) as reading,
            ):
                await reading.until("delta")
                disk.fill()
                await write_log(server, "small_log")
                assert await lying.is_refused() < 3
                assert not await lying.is_ready()
                await lying.model_is_done()
                assert (reading.names, reading.text) == (["turn", "delta"], "".join(WORDS))
                disk.empty()
                await server.up()
                await lying.require_stored(reading, within_seconds=10)
                await lying.goes_on(reading)
        finally:
            await server.stop()
