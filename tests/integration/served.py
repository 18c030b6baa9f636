"""A real service in a process of its own, for tests of the whole.

May import: standard library, aiohttp, tests.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.ports import kept_port
from tests.provider import Provider

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


def environment(**settings: str) -> dict[str, str]:
    """Return an environment with these settings and no others."""
    return {"PATH": os.environ["PATH"], **settings}  # noqa: TID251


def settings_for(postgres_url: str, schema: str, provider: Provider) -> dict[str, str]:
    """Return the settings of a service that is where the tests are."""
    return {
        "DATABASE_URL": postgres_url,
        "DATABASE_SCHEMA": schema,
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_MODEL": "test-model",
    }


@asynccontextmanager
async def serving(drain_seconds: float | None = None, /, **settings: str) -> AsyncIterator[Service]:
    """Run the service with these settings until it answers, and stop it at the end.

    Args:
        drain_seconds: How long turns may go on after SIGTERM; None: the default.
        settings: By the names of the environment variables.
    """
    hasty = f"import sys; from app.cli import serve; sys.exit(serve(drain_seconds={drain_seconds}))"
    with kept_port() as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(("-m", "app", "serve") if drain_seconds is None else ("-c", hasty)),
            cwd=ROOT,
            env=environment(PORT=str(port), **settings),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        # Idle connections are the client's to close first: the service does so after ten seconds.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0)
        async with aiohttp.ClientSession(connector=connector) as client:
            service = Service(process, f"http://127.0.0.1:{port}", client)
            try:
                await until_ready(service)
                yield service
            finally:
                if process.returncode is None:
                    process.terminate()
                await asyncio.wait_for(process.wait(), timeout=30)


async def until_ready(service: Service) -> None:
    """Wait until a service that was started says it is ready."""
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


@dataclass(frozen=True)
class Done:
    """What a command of ours did."""

    code: int | None
    output: bytes
    errors: str


async def run(*arguments: str, **settings: str) -> Done:
    """Run `python -m app` with these arguments and settings to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        *arguments,
        cwd=ROOT,
        env=environment(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), timeout=60)
    return Done(process.returncode, output, errors.decode())
