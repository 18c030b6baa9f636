"""A stream of server-sent events, read the way a careful client would.

May import: standard library, aiohttp, msgspec.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

TERMINAL = frozenset({"done", "stopped", "error"})
Run = list[Any]


@dataclass
class Reading:
    """What one response has told so far.

    Attributes:
        start: The place it was asked to go on from.
        runs: Text by attempt: [attempt, offset it begins at, text], a new one at each restart.
        position: The last id.
        terminal: Name of the last event, if the stream came to its end.
        data: That event's object.
        fault: The first thing that should not have been, in words.
        on_opened: Told session and turn, as soon as they are known.
        timeline: When each place in the reply was reached: attempt, offset, moment.
    """

    start: tuple[int, int] | None = None
    session: str | None = None
    turn: str | None = None
    runs: list[Run] = field(default_factory=list)
    position: str | None = None
    terminal: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None
    timeline: list[tuple[int, int, float]] = field(default_factory=list)
    on_opened: Callable[[str, str], None] | None = None

    def __post_init__(self) -> None:
        if self.start is not None:
            self.runs.append([*self.start, ""])
            self.position = f"{self.start[0]}.{self.start[1]}"

    @property
    def chars(self) -> int:
        """How far it has come in the reply."""
        return self.runs[-1][1] + len(self.runs[-1][2]) if self.runs else 0

    @property
    def is_cut(self) -> bool:
        """Whether the stream broke off: one is to come back."""
        return self.terminal is None

    async def consume(
        self,
        response: aiohttp.ClientResponse,
        *,
        leave_at: int | None = None,
        until_attempt: int | None = None,
        silence_seconds: float = 6.0,
    ) -> None:
        """Read until the end, until there is nothing for long, or until a place is reached.

        Args:
            response: The stream.
            leave_at: Leave at so many characters.
            until_attempt: Leave at the first text of this attempt; nothing may come for long.
            silence_seconds: How long nothing may come else.
        """
        silence = silence_seconds if until_attempt is None else 60.0
        pending = b""
        while self.terminal is None:
            if leave_at is not None and self.turn and self.chars >= leave_at:
                return
            if until_attempt is not None and self._has_text_of(until_attempt):
                return
            async with asyncio.timeout(silence):
                chunk = await response.content.readany()
            if not chunk:
                return
            *blocks, pending = (pending + chunk).split(b"\n\n")
            for block in blocks:
                self.take(block)

    def take(self, block: bytes) -> None:
        """Take one event."""
        said = dict(line.partition(b": ")[::2] for line in block.split(b"\n") if line[:1] != b":")
        if b"event" not in said:
            return
        name = said[b"event"].decode()
        data = msgspec.json.decode(said[b"data"])
        if self.terminal is not None:
            self._complain(f"{name} after {self.terminal}")
        place = said[b"id"].decode() if b"id" in said else None
        if name == "turn":
            self.session, self.turn = data["session_id"], data["turn_id"]
            if self.on_opened is not None:
                self.on_opened(data["session_id"], data["turn_id"])
        elif name == "delta":
            self._take_delta(place, data["text"])
        elif name == "restart":
            self._take_restart(place)
        elif name in TERMINAL:
            self.terminal, self.data = name, data
        else:
            self._complain(f"unknown event {name}")
        self.position = place or self.position

    def _take_delta(self, place: str | None, text: str) -> None:
        attempt, _, end = (place or "0.0").partition(".")
        if not self.runs:
            self.runs.append([int(attempt), 0, ""])
        run = self.runs[-1]
        if run[0] != int(attempt):
            self._complain(f"text of attempt {attempt} after attempt {run[0]} without a restart")
            self.runs.append(run := [int(attempt), int(end) - len(text), ""])
        run[2] += text
        if int(end) != run[1] + len(run[2]):
            self._complain(f"id {place} after {run[1] + len(run[2])} characters")
        if not text:
            self._complain("an empty delta")
        self.timeline.append((run[0], int(end), time.monotonic()))

    def _take_restart(self, place: str | None) -> None:
        attempt, _, offset = (place or "0.0").partition(".")
        if self.runs and int(attempt) <= self.runs[-1][0]:
            self._complain(f"restart as {place} after attempt {self.runs[-1][0]}")
        if offset != "0":
            self._complain(f"restart at {place}")
        self.runs.append([int(attempt), 0, ""])

    def _has_text_of(self, attempt: int) -> bool:
        return any(run[0] >= attempt and run[2] for run in self.runs)

    def _complain(self, what: str) -> None:
        self.fault = self.fault or what
