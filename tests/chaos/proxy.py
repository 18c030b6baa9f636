"""A TCP proxy between a replica and PostgreSQL that reads along, and breaks things.

May import: standard library.

It knows enough of PostgreSQL's protocol to tell an admission from a heartbeat, so that a connection
can be cut right before or right after a statement of a certain kind took effect.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

_KINDS = (
    (b"INSERT INTO chatcore.turns", "admit"),
    (b"reply_journal (owner_id", "beat"),
    (b"'assistant'", "finish"),
    (b"chatcore.attempts SET outcome", "next_attempt"),
)
KINDS = ("admit", "beat", "finish", "next_attempt", "commit")
"""Kinds of statements that a cut can be aimed at."""


class Proxy:
    """One listening port in front of PostgreSQL, for one replica.

    Attributes:
        port: Where it listens.
        cuts: How many connections were cut on purpose.
        statements: How many requests were sent on.
        delay_seconds: How long the server's answers are held back.
    """

    def __init__(self, socket_path: str) -> None:
        self._upstream = socket_path
        self._pairs: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._aim: tuple[str, bool] | None = None
        self._is_dark = False
        self._is_silent = False
        self._light = asyncio.Event()
        self.port = 0
        self.cuts = 0
        self.statements = 0
        self.delay_seconds = 0.0

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and cut all connections."""
        assert self._server is not None
        self._server.close()
        self.cut_all()
        await asyncio.sleep(0)

    def dsn(self, database: str) -> str:
        """Return the way through."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def cut_all(self) -> int:
        """Cut every connection; returns how many there were."""
        pairs = tuple(self._pairs)
        for pair in pairs:
            pair.cut()
        self.cuts += len(pairs)
        return len(pairs)

    def cut_one(self) -> None:
        """Cut any one connection."""
        if self._pairs:
            random.choice(tuple(self._pairs)).cut()
            self.cuts += 1

    def aim(self, kind: str, *, after: bool) -> None:
        """Cut the connection of the next statement of a kind.

        Args:
            kind: One of `KINDS`.
            after: True: it takes effect, and the answer is lost; False: it is never sent on.
        """
        self._aim = (kind, after)

    def lead_to(self, socket_path: str) -> None:
        """Lead to another server, or a pooler, from now on; who is connected has to come again."""
        self._upstream = socket_path
        self.cut_all()

    async def black_hole(self, seconds: float, *, silent: bool = False) -> None:
        """Let nothing through in either direction for a while, and cut nothing.

        Args:
            seconds: How long.
            silent: Nor is anybody told that the other side has closed. What was sent into the hole
                arrives after it, also from who has given up since, as a network's repetitions do.
        """
        self._is_dark, self._is_silent = True, silent
        self._light.clear()
        await asyncio.sleep(seconds)
        self._is_dark = self._is_silent = False
        self._light.set()
        for pair in tuple(self._pairs):
            pair.go_on()

    def is_hit(self, kinds: Iterable[str]) -> bool | None:
        """Whether these statements are aimed at: before (False) or after (True); None: not."""
        if self._aim is None or self._aim[0] not in kinds:
            return None
        after = self._aim[1]
        self._aim = None
        self.cuts += 1
        return after


class _Client(asyncio.Protocol):
    """A replica's connection, and with it the one to the server."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._transport: Any = None
        self._upstream: Any = None
        self._waiting: list[bytes] = []
        self._held_back: list[bytes] = []
        self._frames = b""
        self._started = False
        self._statements: dict[bytes, str] = {}
        self._is_last_answer = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._proxy._pairs.add(self)
        self._task = asyncio.ensure_future(self._connect())

    def connection_lost(self, _: Exception | None) -> None:
        if self._proxy._is_silent and self._upstream is not None:
            return  # the server learns of it when there is light
        self._proxy._pairs.discard(self)
        if self._upstream is not None:
            self._upstream.close()

    def data_received(self, data: bytes) -> None:
        if self._proxy._is_dark or self._upstream is None:
            self._waiting.append(data)
            return
        hit = self._proxy.is_hit(self._kinds(data))
        if hit is False:
            self.cut()
            return
        self._is_last_answer = self._is_last_answer or hit is True
        self._upstream.write(data)

    def answer(self, data: bytes) -> None:
        """Pass an answer on to the replica."""
        if self._is_last_answer:
            self.cut()
        elif self._proxy._is_dark:
            self._held_back.append(data)
        elif self._proxy.delay_seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self._proxy.delay_seconds, self._pass_on, data)
        else:
            self._pass_on(data)

    def go_on(self) -> None:
        """Let through what was held back."""
        if self._upstream is None:
            return
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.data_received(data)
        held_back, self._held_back = self._held_back, []
        for data in held_back:
            self._pass_on(data)
        if self._transport.is_closing():
            self._proxy._pairs.discard(self)
            self._upstream.close()
        elif self._upstream.is_closing():
            self._transport.close()

    def cut(self) -> None:
        """Break both sides off."""
        for transport in (self._transport, self._upstream):
            if transport is not None:
                transport.abort()

    def _pass_on(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        if self._proxy._is_silent:
            await self._proxy._light.wait()
        try:
            transport, _ = await loop.create_unix_connection(
                lambda: _Server(self), self._proxy._upstream
            )
        except OSError:
            self._transport.abort()
            return
        if self._transport.is_closing():
            transport.abort()
            return
        self._upstream = transport
        if not self._proxy._is_dark:
            self.go_on()

    def _kinds(self, data: bytes) -> set[str]:
        """Read the messages in this, and return which kinds of statements they run."""
        frames, kinds = self._frames + data, set()
        if not self._started and len(frames) >= 8:
            self._started = True
            frames = frames[int.from_bytes(frames[:4], "big") :]
        while len(frames) >= 5:
            size = 1 + int.from_bytes(frames[1:5], "big")
            if len(frames) < size:
                break
            kinds.update(self._kind(frames[:1], frames[5:size]))
            frames = frames[size:]
        self._frames = frames
        return kinds

    def _kind(self, message: bytes, body: bytes) -> list[str]:
        if message == b"P":
            name, sql = body.split(b"\x00", 2)[:2]
            self._statements[name] = next((kind for part, kind in _KINDS if part in sql), "other")
        elif message == b"B":
            self._proxy.statements += 1
            return [self._statements.get(body.split(b"\x00", 2)[1], "other")]
        elif message == b"Q":
            self._proxy.statements += 1
            return ["commit"] if body.upper().startswith(b"COMMIT") else ["other"]
        return []


class _Server(asyncio.Protocol):
    """The connection to the server."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.answer(data)

    def connection_lost(self, _: Exception | None) -> None:
        transport = self._client._transport
        if transport is not None and not self._client._proxy._is_silent:
            transport.close()
