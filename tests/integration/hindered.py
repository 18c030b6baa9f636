"""A real service in a process of its own that can be hindered: its log, its pace, its leases.

May import: standard library, aiohttp, app, dependency_injector, tests.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from dependency_injector import providers

from app import cli
from app import main as application
from app.container import AppContainer
from app.settings import Settings
from tests.integration.served import ROOT, Service, environment, until_ready
from tests.ports import kept_port

STALL = signal.SIGUSR1
"""What to send a hindered process so that its event loop stands still for a while."""
HASTE = {"lease_seconds": 1.5, "pulse_seconds": 0.1, "sweep_seconds": 0.3}
"""A policy under which what a dead process left is found soon."""

_LINE_BYTES = 2**22  # the last event of a reply holds all of it


@asynccontextmanager
async def hindered(
    settings: Mapping[str, str],
    policy: Mapping[str, object] | None = None,
    *,
    stall_seconds: float = 0.0,
    narrow: bool = False,
    sink: int | None = None,
    before: str = "",
) -> AsyncIterator[Service]:
    """Run the service until it answers, and end it at the end, if it is still there.

    Args:
        settings: By the names of the environment variables.
        policy: Fields of `ChatPolicy` to change.
        stall_seconds: How long its event loop stands still at every `STALL`.
        narrow: Whether the system holds next to nothing of what clients do not read.
        sink: Where its standard output and error go; None: nowhere.
        before: What a shell does to itself before it becomes the service, such as `exec 2>&-`.
    """
    hindrance = json.dumps(
        {"policy": dict(policy or {}), "stall_seconds": stall_seconds, "narrow": narrow}
    )
    with kept_port() as port:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f'{before}\nexec "$@"', "service"),
            *(sys.executable, "-m", __spec__.name, hindrance),
            cwd=ROOT,
            env=environment(**settings, PORT=str(port)),
            stdout=asyncio.subprocess.DEVNULL if sink is None else sink,
            stderr=asyncio.subprocess.DEVNULL if sink is None else sink,
        )
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, read_bufsize=_LINE_BYTES) as client:
            service = Service(process, f"http://127.0.0.1:{port}", client)
            try:
                await until_ready(service)
                yield service
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()


def main(hindrance: dict[str, Any]) -> int:
    """Serve so; everything else is as in earnest."""
    container = AppContainer(settings=Settings.load())
    policy = replace(container.policy(), **hindrance["policy"])
    container.policy.override(providers.Object(policy))
    served: Any = application
    served.AppContainer = lambda **_: container
    # Python runs handlers in the main thread, which is the event loop's: nothing else happens.
    signal.signal(STALL, lambda *_: time.sleep(hindrance["stall_seconds"]))
    if hindrance["narrow"]:
        _narrow()
    return cli.serve(drain_seconds=1.0)


def _narrow() -> None:
    """Let every connection have a small buffer to send from: it gets the listening socket's."""
    command: Any = cli
    bind = command.bind

    def bind_narrowly(settings: Settings) -> socket.socket:
        bound: socket.socket = bind(settings)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return bound

    command.bind = bind_narrowly


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
