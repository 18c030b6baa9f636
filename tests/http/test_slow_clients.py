"""What a client may take its time with, and how much it may send before it is a request.

May import: standard library, adapters, app, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from adapters.memory.llm import HANG, ScriptedAnswer
from app.http.edge import Edge
from app.http.protocol import HEAD_MAX_BYTES, BoundedProtocol
from tests.http.door import Door
from tests.http.sockets import Place, exchange, post, read_answer, serving

SHORT_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
PROBE = b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n"


class Impatient(BoundedProtocol):
    """The protocol, waiting only shortly for a head."""

    head_seconds = SHORT_SECONDS


@pytest.fixture
async def impatient(door: Door) -> AsyncIterator[Place]:
    """Give a server that waits only shortly for a head."""
    async with serving(door.app, Impatient) as (place, _):
        yield place


def hurry(door: Door) -> None:
    """Let bodies take only a short time."""
    edge = door.app.asgi_handler
    assert isinstance(edge, Edge)
    edge.body_seconds = SHORT_SECONDS


async def dribble(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send a piece again and again until the connection breaks."""
    while not writer.is_closing():
        writer.write(piece)
        await asyncio.sleep(SHORT_SECONDS / 10)


async def answer_to_a_dribble(place: Place, begin: bytes, piece: bytes) -> bytes:
    """Return everything a server sends to a client that goes on and on, until it closes."""
    reader, writer = await asyncio.open_connection(*place)
    writer.write(begin)
    sending = asyncio.create_task(dribble(writer, piece))
    received = b""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while data := await reader.read(65_536):
                received += data
    except ConnectionError:
        pass
    finally:
        sending.cancel()
        writer.close()
    return received


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (post(b"", "Content-Length: 200000", length=False), b""),
        (post(b'{"message": "', "Content-Length: 200000", length=False), b"x"),
        (post(b"", "Transfer-Encoding: chunked", length=False), b""),
        (post(b"", "Transfer-Encoding: chunked", length=False), b"1\r\n \r\n"),
    ],
    ids=["nothing", "byte by byte", "no chunk", "chunk by chunk"],
)
async def test_a_body_that_takes_too_long(
    door: Door, served: Place, begin: bytes, piece: bytes
) -> None:
    """A body has its time in all, not for each piece: then it is a 408, and the connection ends."""
    hurry(door)
    head, _, body = (await answer_to_a_dribble(served, begin, piece)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert head.lower().count(b"connection: close") == 1
    problem = json.loads(body)
    assert (problem["code"], problem["retryable"]) == ("request_timeout", True)
    assert problem["request_id"].encode() in head
    assert door.repository.is_empty
    (line,) = [line for line in door.log_lines() if line["event"] == "request"]
    assert line["status"] == 408


async def test_an_answer_may_take_longer_than_a_body(door: Door, impatient: Place) -> None:
    """Once the request is there, no time for sending one cuts off its answer."""
    hurry(door)
    door.llm.script(ScriptedAnswer((SHORT_SECONDS * 3, "whole")))
    status, _, body = await exchange(impatient, post(b'{"message": "x"}'), close=False)
    assert (status, json.loads(body)["response"]) == (200, "whole")


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET /health HTTP/1.1\r\nHost: t\r\n", b""),
        (b"GET /health HTTP/1.1\r\nHost: t\r\n", b"a: b\r\n"),
        (b"GET /", b"x"),
    ],
    ids=["nothing", "empty lines", "half a head", "header by header", "address byte by byte"],
)
async def test_a_head_that_takes_too_long(impatient: Place, begin: bytes, piece: bytes) -> None:
    """A connection that sends no whole head in time is closed, whatever else it sends."""
    assert await answer_to_a_dribble(impatient, begin, piece) == b""


async def test_a_second_head_that_takes_too_long(impatient: Place) -> None:
    """Nor can a connection be kept by beginning a second request."""
    received = await answer_to_a_dribble(impatient, PROBE, b"\r\n")
    assert received.count(b"HTTP/1.1 200 ") == 1


async def test_the_rest_of_an_answered_body_is_not_waited_for(door: Door, impatient: Place) -> None:
    """A body that is answered before its end does not keep the connection."""
    begin = b"GET /health HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n"
    received = await answer_to_a_dribble(impatient, begin, b"x")
    assert received.startswith(b"HTTP/1.1 200 ")


async def test_a_usual_connection_is_kept(impatient: Place) -> None:
    """Requests one after the other, and several at once, are answered on one connection."""
    reader, writer = await asyncio.open_connection(*impatient)
    for _ in range(4):
        writer.write(PROBE)
        assert (await read_answer(reader))[0] == 200
        await asyncio.sleep(SHORT_SECONDS / 2)
    writer.write(PROBE * 200)
    for _ in range(200):
        assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_the_wait_for_a_head_begins_with_the_last_answer(
    door: Door, impatient: Place
) -> None:
    """A client that waited for its answer has the whole time again for its next request."""
    door.llm.script(ScriptedAnswer((SHORT_SECONDS * 0.7, "whole")))
    reader, writer = await asyncio.open_connection(*impatient)
    writer.write(post(b'{"message": "x"}'))
    assert (await read_answer(reader))[0] == 200
    await asyncio.sleep(SHORT_SECONDS * 0.6)
    writer.write(PROBE)
    assert (await read_answer(reader))[0] == 200
    writer.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /health HTTP/1.1\r\nHost: t\r\n" + b"a: b\r\n" * 200_000,
        b"GET /health HTTP/1.1\r\nHost: t\r\na: " + b"b" * 2_000_000,
        b"GET /health HTTP/1.1\r\nHost: t\r\n" + b"a" * 2_000_000,
        b"GET /" + b"x" * 2_000_000,
        b"GET /health HTTP/1.1\r\nHost: t\r\na: " + b"b" * HEAD_MAX_BYTES + b"\r\n\r\n",
        b"GET /" + b"x" * HEAD_MAX_BYTES + b" HTTP/1.1\r\nHost: t\r\n\r\n",
        b"\r\n" * 200_000,
    ],
    ids=["headers", "value", "name", "address", "a whole head", "a whole address", "empty lines"],
)
async def test_a_head_that_is_too_long(door: Door, served: Place, raw: bytes) -> None:
    """A head over 64 KiB is a 431 problem, or a closed connection; no request comes of it."""
    received = await answer_to_a_dribble(served, raw, b"")
    assert received == b"" or received.startswith(b"HTTP/1.1 431 ")
    assert not [line for line in door.log_lines() if line["event"] == "request"]


async def test_a_head_that_is_too_long_is_a_problem(door: Door, served: Place) -> None:
    """The 431 is like every other problem, with an id that the log has too."""
    raw = b"GET /health HTTP/1.1\r\nHost: t\r\na: " + b"b" * HEAD_MAX_BYTES + b"\r\n\r\n"
    status, headers, body = await exchange(served, raw, close=False)
    problem = json.loads(body)
    assert (status, problem["code"]) == (431, "headers_too_large")
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-request-id"] == problem["request_id"]
    (line,) = [line for line in door.log_lines() if line["event"] == "request_refused"]
    assert (line["code"], line["request_id"]) == ("headers_too_large", problem["request_id"])


async def test_trailers_that_are_too_long(door: Door, served: Place) -> None:
    """Headers after a chunked body count like those before it."""
    begin = post(b"2\r\n{}\r\n0\r\n", "Transfer-Encoding: chunked", length=False)
    received = await answer_to_a_dribble(served, begin + b"a: b\r\n" * 200_000, b"")
    assert not received.startswith(b"HTTP/1.1 2")
    assert door.repository.is_empty


async def test_a_long_head_within_the_bound(served: Place) -> None:
    """A head of nearly 64 KiB and the longest body are read, in however many pieces."""
    head = "a: " + "b" * (HEAD_MAX_BYTES - 1000)
    raw = post(b'{"message": "x"}'.ljust(262_144), head)
    reader, writer = await asyncio.open_connection(*served)
    for start in range(0, len(raw), 10_000):
        writer.write(raw[start : start + 10_000])
        await writer.drain()
    assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_what_is_no_http_is_a_problem(served: Place) -> None:
    """Bytes that are no request are answered as a problem like everything else."""
    status, headers, body = await exchange(served, b"hello\r\n\r\n", close=False)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["code"] == "bad_request"


async def test_a_request_that_is_cut_off_at_the_end_of_the_process(door: Door) -> None:
    """What the server cancels when its time is up is answered: 503, try elsewhere, with the id."""
    door.llm.script(ScriptedAnswer((HANG,)))
    async with serving(door.app) as (place, server):
        reader, writer = await asyncio.open_connection(*place)
        writer.write(post(b'{"message": "x"}', "X-Request-ID: mine"))
        await door.llm.asked.wait()
        for task in server.server_state.tasks:
            task.cancel()
        status, headers, body = await read_answer(reader)
        assert await reader.read() == b""
        writer.close()
    problem = json.loads(body)
    assert (status, problem["code"], problem["retryable"]) == (503, "service_stopping", True)
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == problem["request_id"] == "mine"
    assert (headers["connection"], headers["retry-after"]) == ("close", "1")
    await door.app.state.lifecycle._service.close(timeout_seconds=0)
