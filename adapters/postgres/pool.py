"""Room 3, the world: open connections, lent for one statement or transaction at a time.

May import: standard library, asyncpg.

asyncpg's own pool makes a task of every connection that is given back, and another of every wait,
which costs as much as a statement (docs/adr/0018). This one lends without a task, and what was not
given back in good order it closes instead of mending it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg


class Lent:
    """A connection that is lent: give it back, or give it up."""

    __slots__ = ("connection", "generation", "idle_since")

    def __init__(self, connection: Any, generation: int) -> None:
        self.connection = connection
        self.generation = generation
        self.idle_since = 0.0


class _Queue:
    """Those who wait for a connection, or for room to open one: first come, first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[Lent | None]] = deque()

    def hand(self, lent: Lent | None) -> bool:
        """Give the next one a connection, or None for room; whether somebody waits at all."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(lent)
                return True
        return False

    async def wait(self, pass_on: Callable[[Lent | None], object]) -> Lent | None:
        """Wait for either; who is cancelled in that very moment passes on what came too late."""
        waiter: asyncio.Future[Lent | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                pass_on(waiter.result())
            raise


class Pool:
    """Connections that are opened when they are needed, and closed when nobody needs them.

    Args:
        connect: Opens one.
        max_size: Most at a time, also counting those that are being opened or closed.
        idle_seconds: How long one is kept that nobody uses.
        close_seconds: How long one may take to close; what takes longer is cut.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        *,
        max_size: int,
        idle_seconds: float,
        close_seconds: float,
    ) -> None:
        self._connect = connect
        self._max_size = max_size
        self._idle_seconds = idle_seconds
        self._close_seconds = close_seconds
        self._size = 0
        self._generation = 0
        self._is_closed = False
        self._idle: list[Lent] = []
        self._lent: set[Lent] = set()
        self._queue = _Queue()
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._has_shrunk = asyncio.Event()

    async def acquire(self, *, timeout_seconds: float) -> Lent:
        """Lend a connection: the one used last, so that those beyond need fall asleep.

        Raises:
            TimeoutError: None came back or could be opened in this time. Or what opening raises.
        """
        if (idle := self._take_idle()) is not None:
            return idle
        async with asyncio.timeout(timeout_seconds):
            return await self._wait()

    def give_back(self, lent: Lent) -> None:
        """Take a connection back that is as it was lent."""
        connection = lent.connection
        is_stale = lent.generation != self._generation or self._is_closed
        if is_stale or connection.is_closed() or connection.is_in_transaction():
            self.give_up(lent)
            return
        if self._queue.hand(lent):
            return
        self._lent.discard(lent)
        lent.idle_since = asyncio.get_running_loop().time()
        self._idle.append(lent)
        if self._timer is None:
            self._look_again()

    def give_up(self, lent: Lent) -> asyncio.Task[None] | None:
        """Close a connection, whatever is going on in it; a statement is cancelled at the server.

        Returns:
            Done when the server has confirmed that, or has not in time; None: it was closed.
        """
        self._lent.discard(lent)
        if lent.connection.is_closed():
            self._make_room()
            return None
        closing = _close(lent.connection, self._close_seconds)
        task = asyncio.get_running_loop().create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closed)
        return task

    def expire(self) -> None:
        """Lend none of the present connections again."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for lent in idle:
            self.give_up(lent)

    async def close(self, *, timeout_seconds: float) -> None:
        """Close all; those that are lent get this time to come back, then they are cut."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.expire()
        while self._queue.hand(None):
            pass
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._size:
                    self._has_shrunk.clear()
                    await self._has_shrunk.wait()
        for lent in tuple(self._lent):
            lent.connection.terminate()
        for task in tuple(self._closing):
            task.cancel()

    def _take_idle(self) -> Lent | None:
        while self._idle:
            lent = self._idle.pop()
            if not lent.connection.is_closed():
                self._lent.add(lent)
                return lent
            self._size -= 1
        return None

    async def _wait(self) -> Lent:
        while not self._is_closed:
            # Whoever was told of room may find it taken, and a connection given back meanwhile.
            if (idle := self._take_idle()) is not None:
                return idle
            if self._size < self._max_size:
                return await self._open()
            lent = await self._queue.wait(self._pass_on)
            if lent is not None:
                return lent
        raise asyncpg.InterfaceError("the pool is closed")

    def _pass_on(self, lent: Lent | None) -> None:
        if lent is None:
            self._queue.hand(None)
        else:
            self.give_back(lent)

    async def _open(self) -> Lent:
        self._size += 1
        generation = self._generation
        try:
            lent = Lent(await self._connect(), generation)
        except BaseException:
            self._make_room()
            raise
        self._lent.add(lent)
        return lent

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        self._make_room()

    def _make_room(self) -> None:
        self._size -= 1
        self._has_shrunk.set()
        self._queue.hand(None)

    def _look_again(self) -> None:
        """Close what nobody has used for long, now and from time to time."""
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0].idle_since + self._idle_seconds <= now:
            self.give_up(self._idle.pop(0))
        self._timer = None
        if self._idle:
            due = self._idle[0].idle_since + self._idle_seconds
            self._timer = asyncio.get_running_loop().call_at(due, self._look_again)


async def _close(connection: Any, within_seconds: float) -> None:
    try:
        await connection.close(timeout=within_seconds)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
    except BaseException:
        connection.terminate()
        raise
