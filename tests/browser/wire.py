"""A way from the browser to the service that can be cut.

May import: standard library, tests.http.
"""

from __future__ import annotations

import asyncio
from typing import Self

from tests.http.sockets import Place


class Wire:
    """One listening port in front of a server. Use it as an async context manager.

    Args:
        leads_to: Where the server is.

    Attributes:
        leads_to: Where connections that are made from now on go.
    """

    def __init__(self, leads_to: Place) -> None:
        self.leads_to = leads_to
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """Where the browser finds it, also after a cut."""
        return f"http://127.0.0.1:{self._port}"

    async def join(self) -> None:
        """Let connections through, always at the same port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

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
        await self.join()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, there = await asyncio.open_connection(*self.leads_to)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there}
        for source, sink in ((reader, there), (answers, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(sink)
            sink.close()
