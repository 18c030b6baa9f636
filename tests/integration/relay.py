"""A TCP relay in front of PostgreSQL, which counts what passes and can let nothing pass.

May import: standard library.
"""

from __future__ import annotations

import asyncio
from typing import Self
from urllib.parse import parse_qs, urlsplit


class Relay:
    """Forwards connections to one server. Use it as an async context manager.

    Args:
        url: Of a PostgreSQL that listens on a socket in a folder.

    Attributes:
        sent: Bytes that clients have sent so far.
        may_pass: Cleared: what is sent waits, in both directions, and nobody is told.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        place = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._socket = f"{place['host']}/.s.PGSQL.{place['port']}"
        self._path = parts.path
        self._user = parts.username
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0
        self.may_pass = asyncio.Event()
        self.may_pass.set()

    @property
    def url(self) -> str:
        """The same database, by way of this relay."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://{self._user}@127.0.0.1:{port}{self._path}?sslmode=disable"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(self._socket)
        for source, sink, counts in ((reader, there[1], True), (there[0], writer, False)):
            task = asyncio.create_task(self._pass_on(source, sink, counts=counts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        try:
            while data := await source.read(65536):
                self.sent += len(data) if counts else 0
                await self.may_pass.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()
