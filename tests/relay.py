"""A way to a server that can be cut, and through which everything passes.

May import: standard library.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Self

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """One listening port in front of a server. Use it as an async context manager.

    Attributes:
        port: Where it listens, also after a cut.
    """

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Let connections through, always at the same port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Refuse connections from now on, and break those that are open."""
        assert self._server is not None
        self._server.close()
        self.hiccup()

    def hiccup(self) -> None:
        """Break the connections that are open; others can be made at once."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cut it for good."""
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @abstractmethod
    async def connect(self) -> Streams:
        """Connect to the server, for one connection of a client."""

    async def hold(self, data: bytes, *, is_answer: bool) -> None:
        """Wait before something is passed on; not at all, unless this is overridden."""

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            answers, there = await self.connect()
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(there)
        for source, sink, is_answer in ((reader, there, False), (answers, writer, True)):
            task = asyncio.create_task(self._pass_on(source, sink, is_answer=is_answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            while data := await source.read(65536):
                await self.hold(data, is_answer=is_answer)
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(sink)
            sink.close()
