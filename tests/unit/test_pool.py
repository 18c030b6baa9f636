"""The pool of connections: how many, whose, and what becomes of those that are broken.

May import: standard library, adapters, asyncpg, hypothesis, pytest.

The connections are stand-ins, so that every order of events can be had; the same pool with real
ones is under tests/integration/test_postgres_database.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres.pool import Lent, Pool


class Connection:
    """Something that is open, until it is closed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.is_open = True
        self.is_broken = False

    def is_closed(self) -> bool:
        """Whether it is closed."""
        return not self.is_open

    def is_in_transaction(self) -> bool:
        """Whether it was left in the middle of something."""
        return self.is_broken

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109  # as asyncpg has it
        """Close in good order, which takes a moment."""
        await asyncio.sleep(0)
        self.terminate()

    def terminate(self) -> None:
        """Close."""
        if self.is_open:
            self.is_open = False
            self.server.open -= 1


class Server:
    """Opens connections and counts them."""

    def __init__(self) -> None:
        self.open = 0
        self.most = 0
        self.opened = 0
        self.refuses = False
        self.hangs = False

    async def connect(self) -> Connection:
        """Open one, which takes a moment, or for ever."""
        await (asyncio.Event().wait() if self.hangs else asyncio.sleep(0))
        if self.refuses:
            raise OSError("refused")
        self.open += 1
        self.opened += 1
        self.most = max(self.most, self.open)
        return Connection(self)


def pool_of(server: Server, *, size: int = 2, idle_seconds: float = 60) -> Pool:
    """Return a pool on a server."""
    return Pool(server.connect, max_size=size, idle_seconds=idle_seconds, close_seconds=1)


async def lend(pool: Pool, *, timeout_seconds: float = 1) -> Lent:
    """Lend one."""
    return await pool.acquire(timeout_seconds=timeout_seconds)


async def test_the_one_used_last_is_lent_first() -> None:
    """So those beyond need are used no more, and close."""
    server = Server()
    pool = pool_of(server)
    first, second = await lend(pool), await lend(pool)
    pool.give_back(first)
    pool.give_back(second)
    assert await lend(pool) is second
    assert server.opened == 2


async def test_nobody_waits_for_ever() -> None:
    """When all are lent, waiting ends in time; who waits longer gets the next one given back."""
    server = Server()
    pool = pool_of(server, size=1)
    lent = await lend(pool)
    with pytest.raises(TimeoutError):
        await lend(pool, timeout_seconds=0.01)
    waiting = asyncio.create_task(lend(pool))
    await asyncio.sleep(0)
    pool.give_back(lent)
    assert await waiting is lent
    assert server.opened == 1


@pytest.mark.parametrize("is_late", [False, True])
async def test_who_leaves_passes_on_what_came_too_late(is_late: bool) -> None:
    """A waiter that is cancelled in the very moment it is given a connection keeps none."""
    pool = pool_of(Server(), size=1)
    lent = await lend(pool)
    waiting = asyncio.create_task(lend(pool))
    await asyncio.sleep(0)
    if is_late:
        pool.give_back(lent)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not is_late:
        pool.give_back(lent)
    assert await lend(pool) is lent


async def test_who_leaves_passes_on_the_room_for_one() -> None:
    """The same where what came was not a connection, but room to open one."""
    pool = pool_of(Server(), size=1)
    lent = await lend(pool)
    first, second = asyncio.create_task(lend(pool)), asyncio.create_task(lend(pool))
    await asyncio.sleep(0)
    lent.connection.terminate()
    pool.give_back(lent)
    first.cancel()
    assert (await second).connection.is_open
    assert first.cancelled()


async def test_who_finds_the_room_taken_looks_for_what_was_given_back() -> None:
    """Told of room, somebody quicker takes it, and another connection comes back: all at once."""
    server = Server()
    pool = pool_of(server)
    first, second = await lend(pool), await lend(pool)
    waiting = asyncio.create_task(lend(pool))
    await asyncio.sleep(0)

    async def lose() -> None:
        first.connection.terminate()
        pool.give_back(first)

    async def give_back() -> None:
        pool.give_back(second)

    server.hangs = True
    steps = (lose(), lend(pool, timeout_seconds=60), give_back())
    _, quicker, _ = [asyncio.ensure_future(step) for step in steps]
    assert await waiting is second
    quicker.cancel()


async def test_all_who_wait_are_told_of_the_end() -> None:
    """When the pool closes, nobody waits until his own patience ends."""
    pool = pool_of(Server(), size=1)
    await lend(pool)
    waiting = [asyncio.create_task(lend(pool, timeout_seconds=60)) for _ in range(3)]
    await asyncio.sleep(0)
    await pool.close(timeout_seconds=0.01)
    async with asyncio.timeout(1):
        done = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in done] == [asyncpg.InterfaceError] * 3


@pytest.mark.parametrize("how", ["given up", "in a transaction", "closed by the server"])
async def test_what_is_broken_is_not_lent_again(how: str) -> None:
    """And whoever waited for it gets a new one in its place."""
    server = Server()
    pool = pool_of(server, size=1)
    lent = await lend(pool)
    waiting = asyncio.create_task(lend(pool))
    await asyncio.sleep(0)
    if how == "given up":
        pool.give_up(lent)
    else:
        lent.connection.is_broken = how == "in a transaction"
        if how == "closed by the server":
            lent.connection.terminate()
        pool.give_back(lent)
    assert (await waiting).connection is not lent.connection
    assert (server.open, server.most, server.opened) == (1, 1, 2)


async def test_one_that_closes_while_idle_is_replaced() -> None:
    """A server that drops idle connections costs nobody a failure."""
    server = Server()
    pool = pool_of(server, size=1)
    lent = await lend(pool)
    pool.give_back(lent)
    lent.connection.terminate()
    assert (await lend(pool)).connection.is_open


async def test_a_failure_to_connect_costs_no_place() -> None:
    """The pool is as large as before after any number of refusals."""
    server = Server()
    pool = pool_of(server, size=1)
    server.refuses = True
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            await lend(pool)
    server.refuses = False
    await lend(pool)


async def test_what_nobody_uses_is_closed() -> None:
    """None is kept for its own sake; one in use is left alone."""
    server = Server()
    pool = pool_of(server, idle_seconds=0.02)
    used, idle = await lend(pool), await lend(pool)
    pool.give_back(idle)
    await asyncio.sleep(0.1)
    assert (idle.connection.is_open, used.connection.is_open) == (False, True)
    pool.give_back(used)
    await asyncio.sleep(0.1)
    assert server.open == 0


async def test_expired_ones_are_lent_no_more() -> None:
    """Neither those that were idle nor those that were lent at that moment."""
    server = Server()
    pool = pool_of(server)
    lent, idle = await lend(pool), await lend(pool)
    pool.give_back(idle)
    pool.expire()
    pool.give_back(lent)
    fresh = [await lend(pool), await lend(pool)]
    assert not {lent.connection, idle.connection} & {one.connection for one in fresh}
    assert server.most == 2


async def test_closing_waits_for_those_in_use_and_then_cuts() -> None:
    """What comes back in time closes in good order; what does not is cut, and nobody gets one."""
    server = Server()
    pool = pool_of(server)
    first, second = await lend(pool), await lend(pool)
    closing = asyncio.create_task(pool.close(timeout_seconds=0.05))
    await asyncio.sleep(0)
    pool.give_back(first)
    await closing
    assert (server.open, second.connection.is_open) == (0, False)
    with pytest.raises(asyncpg.InterfaceError):
        await lend(pool)


@given(seed=st.integers(0, 2**32), size=st.integers(1, 4), users=st.integers(1, 8))
def test_no_place_is_ever_lost(seed: int, size: int, users: int) -> None:
    """In whatever order: never more than so many open, never two on one, none lost."""
    asyncio.run(_shuffle(random.Random(seed), size, users))


async def _shuffle(choose: random.Random, size: int, users: int) -> None:
    server = Server()
    pool = pool_of(server, size=size)
    in_use: set[object] = set()

    async def use() -> None:
        for _ in range(6):
            server.refuses = choose.random() < 0.1
            try:
                lent = await lend(pool)
            except OSError:
                continue
            assert lent.connection not in in_use
            in_use.add(lent.connection)
            try:
                for _ in range(choose.randrange(3)):
                    await asyncio.sleep(0)
                lent.connection.is_broken = choose.random() < 0.1
            except asyncio.CancelledError:
                in_use.discard(lent.connection)
                pool.give_up(lent)
                raise
            in_use.discard(lent.connection)
            end: Callable[[Lent], object] = choose.choice(
                [pool.give_back, pool.give_back, pool.give_up]
            )
            end(lent)

    tasks = [asyncio.create_task(use()) for _ in range(users)]
    for _ in range(20):
        await asyncio.sleep(0)
        if choose.random() < 0.2:
            choose.choice(tasks).cancel()
        if choose.random() < 0.1:
            pool.expire()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in done} <= {type(None), asyncio.CancelledError}
    server.refuses = False
    assert len({await lend(pool) for _ in range(size)}) == size
    assert server.most <= size
    await pool.close(timeout_seconds=0.01)
    assert server.open == 0
