"""Standard streams that nobody reads, that are full, or that are not there at all.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.integration.served import ROOT, environment
from tests.ports import kept_port
from tests.provider import Provider

pytestmark = pytest.mark.postgres

EXIT_SECONDS = 12.0


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """Give a pipe that holds all it can, and that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x")
    os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("sink", ["closed", "full"])
async def test_nobody_reads_the_log(
    postgres_url: str, empty_schema: str, full_pipe: int, sink: str
) -> None:
    """The service starts, answers and ends in good order, whatever its log goes to."""
    before = "exec 1>&- 2>&-; " if sink == "closed" else ""
    with kept_port() as port:
        async with Provider() as provider:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                before + 'exec "$@"',
                "sh",
                *(sys.executable, "-m", "app", "serve"),
                cwd=ROOT,
                env=environment(
                    PORT=str(port),
                    DATABASE_URL=postgres_url,
                    DATABASE_SCHEMA=empty_schema,
                    OPENAI_BASE_URL=provider.base_url,
                ),
                stdout=full_pipe,
                stderr=full_pipe,
            )
            try:
                assert await _status(port, "GET", "/health/ready", tries=300) == 200
                assert await _status(port, "POST", "/chat", '{"message": "hello"}') == 200
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), EXIT_SECONDS) == 0
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def _status(port: int, method: str, path: str, body: str = "", *, tries: int = 1) -> int:
    for _ in range(tries):
        with contextlib.suppress(OSError, IndexError):
            return await _ask(port, method, path, body)
        await asyncio.sleep(0.1)
    return 0


async def _ask(port: int, method: str, path: str, body: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])
