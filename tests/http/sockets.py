"""A real server on a loopback socket, and requests as bytes.

May import: standard library, app, litestar, uvicorn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from litestar import Litestar

from app.http.protocol import BoundedProtocol

Place = tuple[str, int]


@asynccontextmanager
async def serving(
    app: Litestar,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    *,
    send_bytes: int | None = None,
) -> AsyncIterator[tuple[Place, uvicorn.Server]]:
    """Run a server for an application that is started already; give its place and itself.

    Args:
        app: What is served.
        protocol: What connections are.
        send_bytes: How much the system keeps of what a client does not read; None: as usual.
    """
    bound = socket.create_server(("127.0.0.1", 0))
    if send_bytes is not None:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)  # inherited
    config = uvicorn.Config(
        app,
        http=protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:  # uvicorn offers nothing to wait for
        await asyncio.sleep(0.01)
    try:
        yield bound.getsockname()[:2], server
    finally:
        server.should_exit = True
        await task


async def exchange(
    place: Place, raw: bytes, *, close: bool = True
) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and read one answer."""
    reader, writer = await asyncio.open_connection(*place)
    writer.write(raw)
    if close:
        writer.write_eof()
    answer = await read_answer(reader)
    writer.close()
    return answer


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, headers, body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.strip().split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(status.split()[1]), headers, body


def post(body: bytes, *extra: str, length: bool = True) -> bytes:
    """Return a POST /chat."""
    lines = ["POST /chat HTTP/1.1", "Host: t", "Content-Type: application/json", *extra]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
