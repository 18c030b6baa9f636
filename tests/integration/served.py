"""A real service in a process of its own, for tests of the whole.

May import: standard library, aiohttp.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]


@dataclass
class Service:
    """A running service and a client for it."""

    process: asyncio.subprocess.Process
    address: str
    client: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        """Send a request and return status and body."""
        sent = self.client.request(method, self.address + path, json=body, headers=headers)
        async with sent as answer:
            found = await answer.json(content_type=None) if answer.status != 204 else None
            return answer.status, found

    async def ask(self, message: str, **fields: Any) -> tuple[int, Any]:
        """Send a question and return status and body."""
        return await self.call("POST", "/chat", {"message": message, **fields})


@asynccontextmanager
async def serving(**settings: str) -> AsyncIterator[Service]:
    """Run the service with these settings until it answers, and stop it at the end."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), **settings}  # noqa: TID251
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        "serve",
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        service = Service(process, f"http://127.0.0.1:{port}", client)
        try:
            await _until_ready(service)
            yield service
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), timeout=30)


async def _until_ready(service: Service) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        if service.process.returncode is not None:
            raise AssertionError(f"the service ended with {service.process.returncode}")
        try:
            if (await service.call("GET", "/health/ready"))[0] == 200:
                return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the service was not ready in time")
