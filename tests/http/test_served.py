"""The same application behind a real server: what only shows on a socket.

May import: standard library, adapters, tests.http.
"""

from __future__ import annotations

import asyncio
import json

from adapters.memory.llm import ScriptedAnswer
from tests.http.door import Door
from tests.http.sockets import Place, exchange, post


async def test_a_conversation_over_a_socket(door: Door, served: Place) -> None:
    """Two questions over real HTTP end in one session."""
    status, headers, body = await exchange(served, post(b'{"message": "one"}'), close=False)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert "server" not in headers
    session = json.loads(body)["session_id"].encode()
    more = b'{"message": "two", "session_id": "%b"}' % session
    status, _, body = await exchange(served, post(more), close=False)
    assert (status, json.loads(body)["session_id"].encode()) == (200, session)


async def test_one_megabyte_with_a_length(door: Door, served: Place) -> None:
    """A body that announces too much is refused at once, before it was sent."""
    head = post(b"", "Content-Length: 1000000", length=False)
    status, _, body = await exchange(served, head, close=False)
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")
    assert door.repository.is_empty


async def test_one_megabyte_in_chunks(door: Door, served: Place) -> None:
    """A chunked body is refused as soon as it passes the limit, however it goes on."""
    reader, writer = await asyncio.open_connection(*served)
    writer.write(post(b"", "Transfer-Encoding: chunked", length=False))
    for _ in range(64):
        writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert door.repository.is_empty
    writer.close()


async def test_odd_bytes_in_the_address(door: Door, served: Place) -> None:
    """Percent-encoded NULs, slashes and invalid UTF-8 in an id are an unknown session."""
    for path in ("%00", "%ff%fe", "a%2Fb", "..%2f..", "%F0%9F%98%80", "x" * 4000):
        raw = f"GET /sessions/{path} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
        status, _, body = await exchange(served, raw, close=False)
        assert status == 404, path
        assert json.loads(body)["code"] in {"session_not_found", "not_found"}


async def test_a_wrong_host_header_is_a_problem(door: Door, served: Place) -> None:
    """What the framework refuses on its own is a problem document too."""
    raw = b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n"
    status, headers, body = await exchange(served, raw, close=False)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["code"] == "bad_request"


async def test_a_client_that_leaves_while_sending(door: Door, served: Place) -> None:
    """Half a body changes nothing, and is logged as the client's leaving, not as our fault."""
    _, writer = await asyncio.open_connection(*served)
    writer.write(post(b'{"mess', "Content-Length: 100", length=False))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()
    await asyncio.sleep(0.1)
    events = [(line["event"], line.get("status")) for line in door.log_lines()]
    assert ("request", 499) in events
    assert not [event for event, _ in events if event == "request_broken"]
    assert door.repository.is_empty


async def test_a_client_that_leaves_while_waiting(door: Door, served: Place) -> None:
    """G5: the question of a client that went away is answered and stored all the same."""
    door.llm.script(ScriptedAnswer((0.1, "whole")))
    _, writer = await asyncio.open_connection(*served)
    writer.write(post(b'{"message": "x"}'))
    await door.llm.asked.wait()
    writer.transport.abort()
    await asyncio.sleep(0.3)
    ended = [line for line in door.log_lines() if line["event"] == "turn_ended"]
    assert [line["status"] for line in ended] == ["completed"]
