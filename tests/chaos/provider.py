"""A model that answers in words one can trace, misbehaves on request, and writes everything down.

May import: standard library, msgspec.

What it is to do stands in the question, between brackets: `[v1.3 words=40 pace=5 fault=cut on=1]`.
Every word of an answer carries the question's name and the attempt it was made for, and is more
bytes than characters, so that whatever is mixed up, spliced or miscounted shows.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

FAULTS = (
    "429",
    "429-wait",
    "500",
    "503",
    "hang",
    "silent",
    "reset",
    "cut",
    "json",
    "html",
    "nul",
    "surrogate",
    "huge",
    "length",
    "filter",
)
"""Every way to misbehave. `cut` is a clean end without a finish reason, `reset` an abrupt one."""
_TAG = re.compile(r"\[(?P<name>[a-z0-9.]+)(?P<options>(?: [a-z]+=[a-z0-9-]+)*)\]")
_STATUS = {"429": 429, "429-wait": 429, "500": 500, "503": 503}
_HUGE_CHARS = 300_000
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def tag(name: str, **options: object) -> str:
    """Return the part of a question that says what to answer."""
    return "[" + " ".join([name, *(f"{key}={value}" for key, value in options.items())]) + "]"


def word(name: str, attempt: str, index: int) -> str:
    """Return one word of an answer."""
    return f"{name}a{attempt}w{index}\N{LATIN SMALL LETTER E WITH ACUTE}\N{ROCKET} "


@dataclass(eq=False)
class Call:
    """One call, as it came and as it went; what the diary holds of it.

    Attributes:
        replica: Which life of which replica called.
        turn: For which turn; empty where it did not say.
        attempt: For which attempt of it.
        digest: SHA-256 of the request's body, hex.
        sent: The text that went out, as a store may keep it.
        is_whole: Whether it went out with a finish reason.
        closed: When the caller closed the connection before the end; None: it did not.
    """

    name: str
    replica: str
    turn: str
    attempt: str
    digest: str
    stream: bool
    fault: str
    began: float
    options: dict[str, str]
    sent: list[str] = field(default_factory=list)
    is_whole: bool = False
    closed: float | None = None
    first: float | None = None

    def as_line(self) -> dict[str, Any]:
        """Return what is written down."""
        return {
            "name": self.name,
            "replica": self.replica,
            "turn": self.turn,
            "attempt": int(self.attempt or 0),
            "digest": self.digest,
            "stream": self.stream,
            "fault": self.fault,
            "began": self.began,
            "first": self.first,
            "ended": time.monotonic(),
            "closed": self.closed,
            "whole": self.is_whole,
            "sent": "".join(self.sent),
        }


# Longer than a stopped turn's call may go on at another replica.
_REST_SECONDS = 3.0


class Provider:
    """The server, and the diary of its calls.

    Attributes:
        calls: How many calls came.
        running: Those that are being answered.
    """

    def __init__(self, diary: Path) -> None:
        self._diary = diary.open("ab")
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.calls = 0
        self.running: set[Call] = set()
        self.faults: dict[str, int] = {}
        self.listeners: list[Any] = []

    async def start(self) -> str:
        """Listen, and return the base URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Cut all connections; what ran is written down as it stands."""
        assert self._server is not None
        self._server.close()
        for connection in tuple(self._connections):
            connection.cut()
        await asyncio.sleep(0)
        for call in tuple(self.running):
            self.write_down(call)
        self._diary.close()

    def begun(self, call: Call) -> None:
        """Note that a call came."""
        self.calls += 1
        self.running.add(call)
        if call.fault:
            self.faults[call.fault] = self.faults.get(call.fault, 0) + 1

    def write_down(self, call: Call) -> None:
        """Note how a call went; once."""
        if call in self.running:
            self.running.discard(call)
            self._diary.write(msgspec.json.encode(call.as_line()) + b"\n")
            for listener in self.listeners:
                listener(call)

    async def come_to_rest(self) -> None:
        """Make the diary whole and readable: a call may outlive its stopped turn by a moment."""
        give_up_at = time.monotonic() + _REST_SECONDS
        while self.running and time.monotonic() < give_up_at:
            await asyncio.sleep(0.01)
        for call in tuple(self.running):
            self.write_down(call)
        self._diary.flush()


class _Connection(asyncio.Protocol):
    """One connection of a caller; requests on it come one after the other."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._call: Call | None = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._provider._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._provider._connections.discard(self)
        if self._call is not None and self._call.closed is None:
            self._call.closed = time.monotonic()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found or self._task is not None:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        body, self._buffer = rest[:length], rest[length:]
        self._task = asyncio.ensure_future(self._answer(lines[0], headers, body))
        self._task.add_done_callback(self._answered)

    def cut(self, *, abruptly: bool = False) -> None:
        """Close, or have the other side find its connection reset."""
        if abruptly:
            raw = self._transport.get_extra_info("socket")
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if self._call is not None:
            call, self._call = self._call, None
            self._provider.write_down(call)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._transport.abort()
            raise error
        if self._buffer and not self._transport.is_closing():
            self.data_received(b"")

    async def _answer(self, first_line: str, headers: dict[str, str], body: bytes) -> None:
        if first_line.startswith("GET "):
            self._write_whole(200, b'{"object":"list","data":[]}')
            return
        request = msgspec.json.decode(body)
        question = request["messages"][-1]["content"]
        found = _TAG.search(question)
        options = dict(re.findall(r"([a-z]+)=([a-z0-9-]+)", found["options"])) if found else {}
        replica, turn, attempt = (headers.get("x-attempt", "") + "::").split(":")[:3]
        on = options.get("on", "1")
        self._call = call = Call(
            name=found["name"] if found else "",
            replica=replica,
            turn=turn,
            attempt=attempt,
            digest=sha256(body).hexdigest(),
            stream=request.get("stream", False),
            fault=options.get("fault", "") if on in {"all", attempt} else "",
            began=time.monotonic(),
            options=options,
        )
        self._provider.begun(call)
        if call.fault in _STATUS:
            wait = "0" if call.fault == "429-wait" else None
            self._write_whole(_STATUS[call.fault], b'{"error":{"message":"no"}}', wait=wait)
        elif call.fault == "html":
            self._write_whole(200, b"<html><body>hello</body></html>", kind="text/html")
        elif call.fault == "hang":
            await asyncio.sleep(60)
        elif call.stream:
            await self._stream(call)
        else:
            await self._whole(call)

    async def _whole(self, call: Call) -> None:
        pieces = list(_pieces(call))
        await asyncio.sleep(_pace(call) * len(pieces))
        fault = call.fault
        if fault == "silent":
            await asyncio.sleep(60)
        if fault in {"reset", "cut", "json"}:
            if fault == "json":
                self._write_whole(200, b'{"choices": [{"mess')
            else:
                self.cut(abruptly=fault == "reset")
            return
        call.sent = [kept for _, kept in pieces]
        call.first = time.monotonic()
        text = "".join(raw for raw, _ in pieces)
        choice = b'{"index":0,"message":{"role":"assistant","content":"%b"},"finish_reason":"%b"}'
        reason = {"length": "length", "filter": "content_filter"}.get(fault, "stop")
        call.is_whole = fault != "filter"
        filled = choice % (text.encode(), reason.encode())
        self._write_whole(200, b'{"id":"c","model":"chaos","choices":[%b]}' % filled)

    async def _stream(self, call: Call) -> None:
        pace, fault = _pace(call), call.fault
        self._write(_HEAD)
        if fault == "silent":
            await asyncio.sleep(60)
        pieces = list(_pieces(call))
        breaks_at = len(pieces) // 2 if fault in {"reset", "cut", "json", "filter"} else -1
        due = time.monotonic()
        for index, (raw, kept) in enumerate(pieces):
            if index == breaks_at:
                return await self._break(fault)
            call.sent.append(kept)
            call.first = call.first or time.monotonic()
            self._event(
                b'{"model":"chaos","choices":[{"index":0,"delta":{"content":"%b"}}]}'
                % (raw.encode())
            )
            due += pace
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
        call.is_whole = True
        reason = b"length" if fault == "length" else b"stop"
        self._event(b'{"choices":[{"index":0,"delta":{},"finish_reason":"%b"}]}' % reason)
        self._event(b"[DONE]")
        self._write(b"0\r\n\r\n")
        return None

    async def _break(self, fault: str) -> None:
        # What was written before is to arrive: a reset throws away what is on its way.
        await asyncio.sleep(0.02)
        if fault == "reset":
            self.cut(abruptly=True)
        elif fault == "json":
            self._event(b'{"choices": [{"de')
            self._write(b"0\r\n\r\n")
        elif fault == "filter":
            self._event(b'{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}')
            self._write(b"0\r\n\r\n")
        else:
            self._write(b"0\r\n\r\n")

    def _event(self, data: bytes) -> None:
        event = b"data: %b\n\n" % data
        self._write(b"%x\r\n%b\r\n" % (len(event), event))

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _write_whole(
        self, status: int, body: bytes, *, kind: str = "application/json", wait: str | None = None
    ) -> None:
        head = f"HTTP/1.1 {status} Some\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        if wait is not None:
            head += f"Retry-After: {wait}\r\n"
        self._write(head.encode() + b"\r\n" + body)


def _pace(call: Call) -> float:
    """Return the seconds between two pieces."""
    return int(call.options.get("pace", "2")) / 1000


def _pieces(call: Call) -> Iterator[tuple[str, str]]:
    """Yield the pieces of an answer: as JSON escapes them, and as a store may keep them."""
    if call.fault == "huge":
        text = word(call.name, call.attempt, 0)
        text *= _HUGE_CHARS // len(text) + 1
        yield text, text
    odd = {"nul": r"\u0000", "surrogate": r"\ud800"}.get(call.fault)
    chunk = max(1, int(call.options.get("chunk", "2")))
    count = int(call.options.get("words", "12"))
    for start in range(0, count, chunk):
        indexes = range(start, min(start + chunk, count))
        text = "".join(word(call.name, call.attempt, index) for index in indexes)
        yield (f"{odd}.{text}", f"\ufffd.{text}") if odd else (text, text)
