"""The whole service while its database fails over to a synchronous standby.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.chaos.postgres import Postgres
from tests.integration.broken_server import start
from tests.integration.doorway import Doorway
from tests.integration.reading import asking
from tests.integration.standby import demote, follow, kill, promote
from tests.integration.suffering import LONG, SHORT, Bed, bed, slow_provider
from tests.provider import Provider

pytestmark = pytest.mark.postgres

ASKING = 4
"""How many ask at once while the primary dies."""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that takes its time over the long answer only."""
    async with slow_provider() as opened:
        yield opened


@pytest.fixture
async def pair(open_folder: Path) -> AsyncIterator[tuple[Postgres, Postgres]]:
    """Give a server and its standby, with a database called `pair` on both."""
    homes = [Path(tempfile.mkdtemp(dir=open_folder)) for _ in range(2)]
    for home in homes:
        home.chmod(0o755)
    async with AsyncExitStack() as stack:
        primary = await start(homes[0])
        stack.push_async_callback(primary.stop)
        await primary.make_database("pair")
        standby = await follow(primary, homes[1])
        stack.push_async_callback(standby.stop)
        yield primary, standby


async def test_fail_over(pair: tuple[Postgres, Postgres], provider: Provider) -> None:
    """G1: the primary dies, the standby refuses to write, then takes its place: nothing is lost."""
    primary, standby = pair
    async with (
        Doorway(primary.socket_path) as doorway,
        bed(primary, "pair", provider, url=doorway.url("pair")) as lying,
    ):
        accepted: list[str] = []
        is_over = asyncio.Event()
        busy = [asyncio.create_task(_ask_on(lying, accepted, is_over)) for _ in range(ASKING)]
        async with asyncio.timeout(10):
            while len(accepted) < ASKING:
                await asyncio.sleep(0.02)
        async with asking(lying.service, LONG) as reading:
            await reading.until("delta")
            kill(primary)
            doorway.leads_to = standby.socket_path
            is_over.set()
            # The standby answers, and writes nothing.
            waits = await asyncio.gather(*[lying.is_refused() for _ in range(ASKING)])
            assert max(waits) < 3
            await lying.model_is_done()
            assert reading.names == ["turn", "delta"]
            await promote(standby)
            await lying.require_stored(reading, within_seconds=10)
        session = reading.events[0].data["session_id"]
        assert (await lying.service.ask("and now?", session_id=session))[1]["response"] == SHORT
        assert await lying.is_ready()
        await asyncio.gather(*busy)
        stored = await standby.execute(
            "pair", ["SELECT content FROM chatcore.messages WHERE role = 'user'"]
        )
        assert set(accepted) <= {row["content"] for row in stored}


async def test_an_old_primary_is_left(pair: tuple[Postgres, Postgres], provider: Provider) -> None:
    """G1: a primary that lives on, but writes no more, is left for the one at its address."""
    primary, standby = pair
    async with (
        Doorway(primary.socket_path) as doorway,
        # A second connection might be opened after the change, and do the first one's work.
        bed(primary, "pair", provider, url=doorway.url("pair"), pool_size=1) as lying,
        asking(lying.service, LONG) as reading,
    ):
        await reading.until("delta")
        doorway.leads_to = standby.socket_path
        await demote(primary)
        await promote(standby)
        lying.server = standby
        await lying.require_stored(reading, within_seconds=10)
        await lying.goes_on(reading)


async def _ask_on(lying: Bed, accepted: list[str], is_over: asyncio.Event) -> None:
    """Ask one question after the other until it is over or one is refused."""
    status = 200
    while status == 200 and not is_over.is_set():
        question = f"question {len(accepted)} of {id(asyncio.current_task())}"
        status, problem = await lying.service.ask(question)
        # One that was stored, but not answered yet, was accepted too.
        if status == 200 or "turn_id" in problem:
            accepted.append(question)
    assert status in {200, 503}
