"""A client that reads a reply event by event, as a browser would.

May import: standard library, aiohttp, tests.integration.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.integration.served import Service


@dataclass
class Event:
    """One event: its name, its data, and when it came by the monotonic clock."""

    name: str
    data: Any
    at: float


@dataclass
class Reading:
    """What has come of one stream so far.

    Attributes:
        last_id: Of the latest event that had one: where to go on from.
        is_over: Set when the stream has ended, well or not.
        is_cut: The connection broke in the middle of the answer.
    """

    status: int
    task: asyncio.Task[None] | None = None
    events: list[Event] = field(default_factory=list)
    last_id: str | None = None
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    is_cut: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def names(self) -> list[str]:
        """The names of the events, several deltas in a row as one."""
        found = [event.name for event in self.events]
        return [
            name for n, name in enumerate(found) if not n or (name, found[n - 1]) != ("delta",) * 2
        ]

    @property
    def text(self) -> str:
        """What the deltas since the last restart add up to."""
        text = ""
        for event in self.events:
            if event.name == "restart":
                text = ""
            elif event.name == "delta":
                text += event.data["text"]
        return text

    async def until(self, name: str, *, within_seconds: float = 10.0) -> Event:
        """Wait for the first event of a name."""
        async with asyncio.timeout(within_seconds):
            while True:
                for event in self.events:
                    if event.name == name:
                        return event
                assert not self.is_over.is_set(), f"it ended without: {self.names}"
                self._changed.clear()
                await self._changed.wait()

    async def read(self, answer: aiohttp.ClientResponse) -> None:
        """Read to the end."""
        block: dict[str, str] = {}
        try:
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    block[name] = value
                    continue
                self._take(block)
                block = {}
        except aiohttp.ClientPayloadError:
            self.is_cut = True
        finally:
            self.is_over.set()
            self._changed.set()

    def _take(self, block: dict[str, str]) -> None:
        self.last_id = block.get("id", self.last_id)
        if "event" in block:
            self.events.append(Event(block["event"], json.loads(block["data"]), time.monotonic()))
            self._changed.set()


@asynccontextmanager
async def asking(service: Service, message: str, **fields: Any) -> AsyncIterator[Reading]:
    """Send a question and read the reply as it comes."""
    body = {"message": message, "stream": True, **fields}
    async with _reading(service.client.post(f"{service.address}/chat", json=body)) as reading:
        yield reading


@asynccontextmanager
async def following(
    service: Service, path: str, *, after: str | None = None
) -> AsyncIterator[Reading]:
    """Follow a turn, whose path is given, from a place on."""
    headers = {} if after is None else {"Last-Event-ID": after}
    sent = service.client.get(f"{service.address}{path}/events", headers=headers)
    async with _reading(sent) as reading:
        yield reading


def path_of(event: Event) -> str:
    """Return the path of the turn that an event names."""
    return f"/sessions/{event.data['session_id']}/turns/{event.data['turn_id']}"


@asynccontextmanager
async def _reading(sent: Awaitable[aiohttp.ClientResponse]) -> AsyncIterator[Reading]:
    answer = await sent
    reading = Reading(answer.status)
    reading.task = asyncio.create_task(reading.read(answer))
    try:
        yield reading
    finally:
        reading.task.cancel()
        await asyncio.wait([reading.task])
        answer.close()
