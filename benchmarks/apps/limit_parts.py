"""Beside the rooms: the least code that stores rows and asks a provider.

May import: standard library, asyncpg.

A measuring stick: no timeouts, no cancellation, no retries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import asyncpg

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


class Database:
    """Connections that hold their statements prepared and need no reset; last in, first out."""

    def __init__(self) -> None:
        self._connections: list[Any] = []
        self._free: list[list[Any]] = []
        self._waiting: deque[asyncio.Future[list[Any]]] = deque()

    async def open(self, url: str, size: int, *queries: str) -> None:
        """Connect, and prepare everything everywhere."""
        self._connections = [await asyncpg.connect(url) for _ in range(size)]
        self._free = [[await each.prepare(q) for q in queries] for each in self._connections]

    async def close(self) -> None:
        """Disconnect."""
        for connection in self._connections:
            await connection.close()

    async def run(self, which: int, *values: object) -> list[Any]:
        """Run one of the statements, and return its rows."""
        if self._free:
            statements = self._free.pop()
        else:
            waiter: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            statements = await waiter
        try:
            rows: list[Any] = await statements[which].fetch(*values)
            return rows
        finally:
            if self._waiting:
                self._waiting.popleft().set_result(statements)
            else:
                self._free.append(statements)


class Call(asyncio.Protocol):
    """One connection to the provider that is kept; gives the decoded bytes of bodies."""

    is_closed = False
    _done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)

    def start(self, request: bytes, on_data: Callable[[bytes], None]) -> asyncio.Future[None]:
        """Send a request; what is returned is done when the answer is complete."""
        self._buffer = b""
        self._left = -1
        self._is_chunked = False
        self._on_data = on_data
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._done

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        data = self._buffer + data if self._buffer else data
        if self._left < 0:
            end = data.find(_HEAD_END)
            if end < 0:
                self._buffer = data
                return
            head, data = data[:end].lower(), data[end + len(_HEAD_END) :]
            if not head.startswith(b"http/1.1 200"):
                self._fail(head.decode())
                return
            self._read_head(head)
        if self._is_chunked:
            self._read_chunks(data)
            return
        self._buffer = data
        if len(data) >= self._left:
            self._on_data(data)
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        """Let whoever waits know."""
        self.is_closed = True
        self._fail(str(error))

    def _read_head(self, head: bytes) -> None:
        at = head.find(_LENGTH)
        self._is_chunked, self._left = at < 0, 0
        if at >= 0:
            begin = at + len(_LENGTH)
            end = head.find(b"\r\n", begin)
            self._left = int(head[begin : end if end >= 0 else len(head)])

    def _read_chunks(self, data: bytes) -> None:
        parts: list[bytes] = []
        at, is_over = 0, False
        while not is_over and (line := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line], 16)
            if len(data) < line + 4 + size:
                break
            parts.append(data[line + 2 : line + 2 + size])
            at = line + 4 + size
            is_over = size == 0
        self._buffer = data[at:]
        if parts:
            self._on_data(b"".join(parts))  # all of one read at once
        if is_over:
            self._end()

    def _end(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, why: str) -> None:
        self._transport.close()
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError(why))


class Provider:
    """Connections to a provider; the last that was used is used first."""

    def __init__(self, url: str, api_key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._free: list[Call] = []
        self._head = (
            f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {api_key}\r\nContent-Type: application/json\r\n"
            "Content-Length: "
        )

    async def ask(self, body: bytes, on_data: Callable[[bytes], None]) -> None:
        """Send a request and pass on its answer as it comes."""
        call = self._free.pop() if self._free else None
        while call is not None and call.is_closed:
            call = self._free.pop() if self._free else None
        if call is None:
            loop = asyncio.get_running_loop()
            _, call = await loop.create_connection(Call, self._host, self._port)
        await call.start(f"{self._head}{len(body)}\r\n\r\n".encode() + body, on_data)
        self._free.append(call)
