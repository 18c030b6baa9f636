"""A Chat Completions provider on a real socket of 127.0.0.1 that does exactly as it is told.

May import: standard library.

    async with Provider() as provider:
        provider.script(streamed(["Hel", "lo"]), error(503))   # the next two requests
        provider.default(whole("Hello"))                       # every other
        OpenAILLM(base_url=provider.base_url, api_key="test", model="test")

It speaks raw HTTP/1.1, so that it can also break it. Nothing is scripted: it answers `Hello`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

MODEL = "test-model"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
CHUNKED = {"Transfer-Encoding": "chunked"}
EVENT_STREAM = {"Content-Type": "text/event-stream", **CHUNKED}


class Then(Enum):
    """What a provider can do instead of sending bytes."""

    CUT = "reset the connection"
    CLOSE = "close the connection in good order"
    HANG = "send nothing until the client leaves"


Step = bytes | float | Then
"""Bytes to send at once, seconds to wait, or how to end."""


@dataclass(frozen=True)
class Reply:
    """What to do with one request.

    Attributes:
        status: Of HTTP. None: no head at all, `steps` are the raw bytes of the answer.
        headers: With `Transfer-Encoding: chunked`, each bytes step becomes one chunk; without it
            and without `Content-Length`, the length is that of all bytes steps.
        delay_seconds: Before the head is sent.
    """

    steps: tuple[Step, ...] = ()
    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0

    @property
    def is_chunked(self) -> bool:
        """Whether bytes are sent as chunks."""
        return self.headers.get("Transfer-Encoding") == "chunked"

    @property
    def head(self) -> bytes:
        """The status line and the headers."""
        if self.status is None:
            return b""
        headers = dict(self.headers)
        if not self.is_chunked and "Content-Length" not in headers and Then.CLOSE not in self.steps:
            size = sum(len(step) for step in self.steps if isinstance(step, bytes))
            headers["Content-Length"] = str(size)
        lines = [f"HTTP/1.1 {self.status} Word", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass
class Request:
    """What a client sent, and what became of it.

    Attributes:
        headers: Names in lower case.
        connection: Number of the connection, to see whether one was used again.
        left: Set when the client left before the reply was whole.
        answered: Set when the reply was sent in full.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    left: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


ReplyTo = Reply | Callable[[Request], Reply]


class Provider:
    """The server. Use it as an async context manager."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._scripted: deque[ReplyTo] = deque()
        self._default: ReplyTo = lambda request: answer_as_asked(request, "Hello")
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._connection_count = 0
        self.base_url = ""

    def script(self, *replies: ReplyTo) -> None:
        """Do these with the next requests, in this order, each once."""
        self._scripted.extend(replies)

    def default(self, reply: ReplyTo) -> None:
        """Do this with every request that nothing is scripted for."""
        self._default = reply

    @property
    def open_calls(self) -> int:
        """How many requests are being answered."""
        return sum(not (r.left.is_set() or r.answered.is_set()) for r in self.requests)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.base_url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._connection_count += 1
        try:
            await self._converse(reader, writer, self._connection_count)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        first = b""
        while True:
            request = await _read_request(reader, first, number)
            self.requests.append(request)
            reply = self._scripted.popleft() if self._scripted else self._default
            if not isinstance(reply, Reply):
                reply = reply(request)
            leaving = asyncio.create_task(reader.read(1))
            try:
                stays_open = await _until_left(_send(writer, reply), leaving)
                (request.left if stays_open is None else request.answered).set()
                if not stays_open or not (first := await leaving):
                    return
            finally:
                leaving.cancel()


async def _read_request(reader: asyncio.StreamReader, first: bytes, number: int) -> Request:
    head = first + await reader.readuntil(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = start.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, number)


async def _until_left(
    sending: Coroutine[Any, Any, bool], leaving: asyncio.Task[bytes]
) -> bool | None:
    """What `sending` returns; None if the client leaves before that."""
    task = asyncio.create_task(sending)
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() or leaving.result() else None
    except ConnectionError:
        return None
    finally:
        task.cancel()


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Return whether the connection stays open."""
    await asyncio.sleep(reply.delay_seconds)
    writer.write(reply.head)
    for step in reply.steps:
        if isinstance(step, bytes):
            writer.write(b"%x\r\n%b\r\n" % (len(step), step) if reply.is_chunked else step)
            await writer.drain()
        elif isinstance(step, Then):
            await _end(writer, step)
            return False
        else:
            await asyncio.sleep(step)
    if reply.is_chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _end(writer: asyncio.StreamWriter, how: Then) -> None:
    if how is Then.HANG:
        await asyncio.Event().wait()
    await writer.drain()
    if how is Then.CUT:
        plain: socket.socket = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


def whole(
    text: str | None,
    *,
    finish_reason: str | None = "stop",
    usage: object = USAGE,
    delay_seconds: float = 0.0,
) -> Reply:
    """A whole answer."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish_reason,
    }
    body: dict[str, object] = {"id": "1", "object": "chat.completion", "model": MODEL}
    body |= {"choices": [choice], "usage": usage}
    return json_reply(body, delay_seconds=delay_seconds)


def json_reply(
    body: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    delay_seconds: float = 0.0,
) -> Reply:
    """Any JSON as the body."""
    return raw(
        json.dumps(body).encode(),
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        delay_seconds=delay_seconds,
    )


def raw(
    *steps: Step,
    status: int | None = 200,
    headers: Mapping[str, str] | None = None,
    delay_seconds: float = 0.0,
) -> Reply:
    """Any bytes as the body; with `status=None`, as the whole answer."""
    return Reply(steps, status, headers or {}, delay_seconds)


def events(*steps: Step, delay_seconds: float = 0.0) -> Reply:
    """A stream of these bytes as they are, one chunk each."""
    return Reply(steps, 200, EVENT_STREAM, delay_seconds)


def streamed(
    pieces: Iterable[str],
    *,
    finish_reason: str | None = "stop",
    usage: object = USAGE,
    pause_seconds: float = 0.0,
    then: Then | None = None,
    delay_seconds: float = 0.0,
) -> Reply:
    """A streamed answer. `then` follows in place of finish reason, usage and `[DONE]`."""
    steps: list[Step] = [event({"role": "assistant", "content": ""})]
    for piece in pieces:
        steps += [*([pause_seconds] if pause_seconds else []), say(piece)]
    if then is not None:
        return events(*steps, then, delay_seconds=delay_seconds)
    if finish_reason is not None:
        steps.append(event({}, finish_reason=finish_reason))
    if usage is not None:
        steps.append(data({"object": "chat.completion.chunk", "choices": [], "usage": usage}))
    return events(*steps, DONE, delay_seconds=delay_seconds)


DONE = b"data: [DONE]\n\n"


def event(delta: Mapping[str, object], *, finish_reason: str | None = None) -> bytes:
    """One event of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return data({"object": "chat.completion.chunk", "model": MODEL, "choices": [choice]})


def say(text: str) -> bytes:
    """One event that brings a piece of text."""
    return event({"content": text})


def data(value: object) -> bytes:
    """One event with any JSON."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def error(
    status: int,
    message: str = "no",
    *,
    code: str | int | None = None,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error as OpenAI tells it."""
    body = {"error": {"message": message, "type": kind, "code": code, "param": None}}
    return json_reply(body, status=status, headers=headers)


def cut() -> Reply:
    """The connection is reset before a byte is sent."""
    return raw(Then.CUT, status=None)


def hang() -> Reply:
    """Nothing at all, until the client leaves."""
    return raw(Then.HANG, status=None)


def garbled() -> Reply:
    """Bytes that are not HTTP."""
    return raw(b"\x00\xff not HTTP at all\r\n\r\n", Then.CLOSE, status=None)


def answer_as_asked(request: Request, text: str, *, delay_seconds: float = 0.0) -> Reply:
    """A whole or a streamed answer, as the request wants it; an empty list for other paths."""
    if request.method == "GET":
        return json_reply({"object": "list", "data": []})
    if request.json.get("stream"):
        return streamed([text], delay_seconds=delay_seconds)
    return whole(text, delay_seconds=delay_seconds)
