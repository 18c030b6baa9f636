"""A client of event streams on a real socket: every byte, every block, as it comes.

May import: standard library, tests.http.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.http.sockets import Place

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Event:
    """One event as a client understands it; comments and bare fields have no name.

    Attributes:
        raw: Its bytes, with the empty line that ends it.
    """

    raw: bytes
    name: str = ""
    id: str = ""
    retry: str = ""
    data: Any = None


class Stream:
    """An answer under way, however its bytes are cut on their way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self._is_whole = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.raw_headers: list[tuple[str, str]] = []

    async def read_head(self) -> None:
        """Read status and headers."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.strip().split("\r\n")
        self.status = int(status.split()[1])
        self.raw_headers = [(k.lower(), v) for k, _, v in (x.partition(": ") for x in lines)]
        self.headers = dict(self.raw_headers)

    async def block(self) -> Event | None:
        """Wait for the next block; None at the proper end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"\n\n" not in self._rest:
                if self._is_whole:
                    assert self._rest == b""
                    return None
                self._rest += await self._chunk()
        raw, _, self._rest = self._rest.partition(b"\n\n")
        return parse(raw + b"\n\n")

    async def event(self) -> Event:
        """Wait for the next event; there must be one."""
        found = await self.block()
        assert found is not None
        return found

    async def rest(self) -> list[Event]:
        """Wait for everything up to the proper end."""
        found = []
        while (event := await self.block()) is not None:
            found.append(event)
        return found

    async def until(self, text: str) -> list[Event]:
        """Wait until so much of the reply has come."""
        found, seen = [], ""
        while seen != text:
            found.append(await self.event())
            seen += found[-1].data["text"] if found[-1].name == "delta" else ""
            assert text.startswith(seen)
        return found

    async def body(self) -> bytes:
        """Wait for an answer that is no stream."""
        if "content-length" in self.headers:
            return await self._reader.readexactly(int(self.headers["content-length"]))
        return b"".join([event.raw for event in await self.rest()])

    def leave(self) -> None:
        """Go away without a word."""
        self._writer.transport.abort()

    async def _chunk(self) -> bytes:
        size = int(await self._reader.readline(), 16)
        data = await self._reader.readexactly(size + 2)
        self._is_whole = size == 0
        return data[:-2]


def parse(raw: bytes) -> Event:
    """Read one block by the rules of the standard."""
    fields: dict[str, list[str]] = {}
    for line in raw.decode().removesuffix("\n\n").split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    data = "\n".join(fields.get("data", []))
    return Event(
        raw=raw,
        name="".join(fields.get("event", [])),
        id="".join(fields.get("id", [])),
        retry="".join(fields.get("retry", [])),
        data=json.loads(data) if data else None,
    )


@asynccontextmanager
async def request(
    place: Place,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *headers: str,
    receive_bytes: int | None = None,
) -> AsyncIterator[Stream]:
    """Send a request on a connection of its own and read the head of its answer.

    Args:
        place: Where the server is.
        method: What to do.
        path: With what.
        body: Sent as JSON; None: no body.
        headers: More of them, as lines.
        receive_bytes: How much the system keeps for us while we do not read; None: as usual.
    """
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, place)
    reader, writer = await asyncio.open_connection(sock=connection)
    lines = [f"{method} {path} HTTP/1.1", "Host: t", *headers]
    sent = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
    stream = Stream(reader, writer)
    try:
        await stream.read_head()
        yield stream
    finally:
        writer.transport.abort()


@asynccontextmanager
async def asking(
    place: Place, message: str = "x", *headers: str, **fields: Any
) -> AsyncIterator[Stream]:
    """Ask a question and read the reply while it is written."""
    body = {"message": message, "stream": True, **fields}
    async with request(place, "POST", "/chat", body, *headers) as stream:
        yield stream


@asynccontextmanager
async def following(
    place: Place, turn: dict[str, Any], after: str | None = None, *headers: str
) -> AsyncIterator[Stream]:
    """Follow the turn that an event or an answer names."""
    query = "" if after is None else f"?after={after}"
    path = f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}/events{query}"
    async with request(place, "GET", path, None, *headers) as stream:
        yield stream


def text_of(events: list[Event]) -> str:
    """Return what a reader has of the reply after these events."""
    text = ""
    for event in events:
        if event.name == "restart":
            text = ""
        elif event.name == "delta":
            text += event.data["text"]
    return text
