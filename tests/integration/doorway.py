"""A TCP relay in front of PostgreSQL that can be slow, shut, and lead to another server.

May import: standard library.
"""

from __future__ import annotations

import asyncio
from typing import Self


class Doorway:
    """One listening port in front of a server. Use it as an async context manager.

    Args:
        socket_path: Where the server listens.

    Attributes:
        delay_seconds: How long each answer of the server is held back.
        leads_to: Where connections that are opened from now on go.
    """

    def __init__(self, socket_path: str) -> None:
        self.leads_to = socket_path
        self.delay_seconds = 0.0
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def url(self, database: str, *, user: str = "postgres") -> str:
        """Return the way through."""
        return f"postgresql://{user}@127.0.0.1:{self._port}/{database}?sslmode=disable"

    async def open(self) -> None:
        """Let connections in, always at the same port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

    def shut(self) -> None:
        """Refuse connections from now on, and cut those that are open."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut it for good."""
        self.shut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            answers, there = await asyncio.open_unix_connection(self.leads_to)
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
                if is_answer and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(sink)
            sink.close()
