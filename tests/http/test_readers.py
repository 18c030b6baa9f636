"""G5 and G6: readers come, go, come back and dawdle; the reply does not care.

May import: standard library, adapters, app, chatcore, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from adapters.memory.llm import ScriptedAnswer
from app.http.protocol import WRITE_SECONDS, BoundedProtocol
from chatcore import LLMUnavailable
from tests.http.door import UNKNOWN_ID, Door, open_door, problem_of
from tests.http.sockets import Place, serving
from tests.http.streams import Event, Stream, asking, following, parse, request, text_of

KEY = "k" * 16
REPLY = "a é 😀 👩‍🔬 e\u0301 \u202eltr\r\n\n\x00 end".replace("\x00", "")
SHORT_SECONDS = 1.0
LONG = "😀" * 200_000
READERS = 100


class Impatient(BoundedProtocol):
    """The protocol, waiting only shortly for a client that does not read."""

    write_seconds = SHORT_SECONDS


@pytest.fixture
async def impatient(door: Door) -> AsyncIterator[Place]:
    """Give a server that waits only shortly for a client that does not read."""
    async with serving(door.app, Impatient, send_bytes=16_384) as (place, _):
        yield place


async def whole_turn(door: Door, reply: str = REPLY) -> dict[str, Any]:
    """Return the answer of a turn that has ended."""
    door.llm.script(ScriptedAnswer((reply,)))
    return await door.ask()


async def holds(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def request_lines(door: Door) -> list[dict[str, Any]]:
    """Return the lines of requests that are over."""
    return [line for line in door.log_lines() if line["event"] == "request"]


async def test_the_first_event_waits_for_nobody(door: Door, served: Place) -> None:
    """G1: before the model says anything, the client has the ids, and the question is stored."""
    dictation = door.llm.dictate()
    async with asking(served, "remember me") as stream:
        turn = (await stream.event()).data
        page = await door.client.get(f"/sessions/{turn['session_id']}/messages")
    dictation.end()
    (question,) = page.json()["items"]
    assert question["content"] == "remember me"
    assert (question["turn_id"], question["turn_status"]) == (turn["turn_id"], "running")


async def test_coming_back_anywhere_afterwards(door: Door, served: Place) -> None:
    """From every offset of a stored reply a reader gets exactly the rest, and the same end."""
    turn = await whole_turn(door)
    ends = set()
    for offset in range(len(REPLY) + 1):
        async with following(served, turn, f"1.{offset}") as stream:
            first, *pieces, end = await stream.rest()
        assert first.name == "turn"
        assert text_of(pieces) == REPLY[offset:]
        ends.add(end.raw)
    (raw,) = ends
    assert (parse(raw).id, parse(raw).data) == (f"1.{len(REPLY)}.end", turn)


async def test_coming_back_anywhere_meanwhile(door: Door, served: Place) -> None:
    """From every offset of a reply that is being written a reader gets the rest and what comes."""
    dictation = door.llm.dictate()
    half = len(REPLY) // 2
    async with asking(served) as first:
        dictation.say(REPLY[:half])
        turn = (await first.until(REPLY[:half]))[0].data
        gathering = [
            asyncio.create_task(read_all(served, turn, f"1.{offset}")) for offset in range(half + 1)
        ]
        await asyncio.sleep(0.2)
        dictation.say(REPLY[half:])
        dictation.end()
        for offset, events in enumerate(await asyncio.gather(*gathering)):
            assert text_of(events) == REPLY[offset:]
            assert events[-1].name == "done"


async def read_all(place: Place, turn: dict[str, Any], after: str | None = None) -> list[Event]:
    """Follow a turn to its end."""
    async with following(place, turn, after) as stream:
        return await stream.rest()


async def test_every_id_is_a_place_to_go_on(door: Door, served: Place) -> None:
    """Whichever event was the last to arrive, what follows it is nothing twice, nothing missing."""
    dictation = door.llm.dictate()
    async with asking(served) as stream:
        for piece in REPLY.split(" "):
            dictation.say(piece + " ")
        dictation.end()
        events = await stream.rest()
    turn = events[0].data
    for count, event in enumerate(events):
        if event.name == "delta":
            rest = await read_all(served, turn, event.id)
            assert text_of(events[: count + 1]) + text_of(rest) == text_of(events)


async def test_when_all_is_read_there_is_nothing(door: Door, served: Place) -> None:
    """With the last id of an ended turn the answer is 204, which ends a browser's tries."""
    turn = await whole_turn(door)
    last = f"1.{len(REPLY)}.end"
    for after, header in ((last, ()), (None, (f"Last-Event-ID: {last}",))):
        async with following(served, turn, after, *header) as stream:
            assert stream.status == 204
            assert "content-type" not in stream.headers
            assert stream.headers["cache-control"] == "no-store"
    async with following(served, turn, last[:-4]) as stream:
        assert [event.name for event in await stream.rest()] == ["turn", "done"]


async def test_the_end_of_a_failed_and_of_a_stopped_turn_stays(door: Door, served: Place) -> None:
    """G6: the end is always announced, also for turns that ended long ago."""
    door.llm.script(ScriptedAnswer(("half",), finish_reason=None))
    async with asking(served) as stream:
        *_, failed = await stream.rest()
    assert failed.name == "error"
    again = await read_all(served, failed.data)
    assert [event.name for event in again] == ["turn", "delta", "error"]
    assert again[-1].data | {"request_id": ""} == failed.data | {"request_id": ""}
    async with following(served, failed.data, failed.id) as stream:
        assert stream.status == 204


async def test_the_header_counts_more(door: Door, served: Place) -> None:
    """A browser repeats its first address, and says in the header how far it came since."""
    turn = await whole_turn(door)
    async with following(served, turn, "1.2", "Last-Event-ID: 1.7") as stream:
        assert text_of(await stream.rest()) == REPLY[7:]
    async with following(served, turn, "1.2", "Last-Event-ID:") as stream:
        assert text_of(await stream.rest()) == REPLY[2:]


NO_PLACES = (
    *("", "1", "1.", ".1", "1.-1", "0.0", "01.0", "1.00", "1.1.End", "1.1.end.", "x", "1.1%20"),
    *("1.1%0A", "%D9%A1.%D9%A1", "1.0000000000", "9" * 4000, "1.999999999", "2.0", "2.0.end"),
)


@pytest.mark.parametrize("after", NO_PLACES)
async def test_what_is_no_place(door: Door, after: str) -> None:
    """A place that no event named is refused; nothing is sent of the reply."""
    turn = await whole_turn(door)
    path = f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}/events"
    answer = await door.client.get(f"{path}?after={after}")
    assert (answer.status_code, problem_of(answer)["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == ["after"]


@pytest.mark.parametrize("header", ["x", "1", "1.1.fin", "é"])
async def test_what_is_no_place_in_the_header(door: Door, header: str) -> None:
    """The same goes for the header."""
    turn = await whole_turn(door)
    path = f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}/events"
    answer = await door.client.get(path, headers=[(b"last-event-id", header.encode())])
    assert (answer.status_code, problem_of(answer)["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == ["Last-Event-ID"]


@pytest.mark.parametrize("ids", [(UNKNOWN_ID, None), (None, UNKNOWN_ID), ("x", None), (None, "x")])
async def test_a_turn_that_is_not_there(door: Door, ids: tuple[str | None, str | None]) -> None:
    """Unknown and malformed ids are the same 404, before anything of a stream."""
    turn = await whole_turn(door)
    path = f"/sessions/{ids[0] or turn['session_id']}/turns/{ids[1] or turn['turn_id']}/events"
    answer = await door.client.get(path)
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "turn_not_found")


async def test_leaving_stops_nothing(door: Door, served: Place) -> None:
    """G5: the last reader leaves, its request ends, and the reply is written and stored."""
    dictation = door.llm.dictate()
    async with asking(served) as stream:
        dictation.say("first, ")
        turn = (await stream.until("first, "))[0].data
        stream.leave()
    await holds(lambda: len(request_lines(door)) == 1)
    assert request_lines(door)[0]["status"] == 200
    path = f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}"
    assert (await door.client.get(path)).json()["status"] == "running"
    dictation.say("second")
    dictation.end()
    assert text_of(await read_all(served, turn, "1.7")) == "second"
    assert (await door.client.get(path)).json()["response"] == "first, second"
    assert not [line for line in door.log_lines() if line["level"] in {"warning", "error"}]


async def test_leaving_before_the_first_byte(door: Door, served: Place) -> None:
    """G5: nor does it matter when the client leaves before its answer has begun."""
    door.repository.may_answer.clear()
    client = await silent(served, {"message": "x", "stream": True})
    await door.repository.asked.wait()
    client.close()
    await asyncio.sleep(0.05)
    door.repository.may_answer.set()
    await holds(lambda: ended_turns(door) == 1)
    await holds(lambda: len(request_lines(door)) == 1)
    assert not [line for line in door.log_lines() if line["level"] == "error"]


def ended_turns(door: Door) -> int:
    """Return how many turns have ended well."""
    lines = [line for line in door.log_lines() if line["event"] == "turn_ended"]
    return sum(line["status"] == "completed" for line in lines)


async def test_many_readers_of_one_reply(door: Door, served: Place) -> None:
    """G6: a hundred readers of one turn, come at any time, all read the same reply and end."""
    dictation = door.llm.dictate()
    async with asking(served) as first:
        turn = (await first.event()).data
        reading = []
        for number in range(READERS):
            reading.append(asyncio.create_task(read_all(served, turn)))
            dictation.say(f"{number} ")
            await asyncio.sleep(0.002)
        dictation.end()
        everybody = [await first.rest(), *await asyncio.gather(*reading)]
    assert len(door.llm.requests) == 1
    assert {text_of(events) for events in everybody} == {
        "".join(f"{number} " for number in range(READERS))
    }
    assert len({events[-1].raw for events in everybody}) == 1


async def restless(place: Place, turn: dict[str, Any], dice: random.Random) -> tuple[str, Event]:
    """Read in bits, leaving at any moment and coming back; return the text and the end."""
    read: list[Event] = []
    while True:
        last_id = next((event.id for event in reversed(read) if event.id), None)
        header = () if last_id is None else (f"Last-Event-ID: {last_id}",)
        async with following(place, turn, None, *header) as stream:
            for _ in range(dice.randrange(5)):
                read.append(await stream.event())
                if read[-1].name in {"done", "stopped", "error"}:
                    return text_of(read), read[-1]
        await asyncio.sleep(dice.random() / 50)


@pytest.mark.parametrize("seed", range(3))
async def test_readers_that_come_and_go(seed: int) -> None:
    """G6: whenever readers leave and come back, also over a restart, what they got adds up."""
    dice = random.Random(seed)
    async with open_door(LLM_MAX_ATTEMPTS="2") as door, serving(door.app) as (place, _):
        first, second = door.llm.dictate(), door.llm.dictate()
        async with asking(place) as stream:
            turn = (await stream.event()).data
            reading = [asyncio.create_task(restless(place, turn, dice)) for _ in range(20)]
            for dictation in (first, second):
                for _ in range(40):
                    dictation.say("".join(dice.choices(REPLY, k=dice.randrange(1, 8))))
                    await asyncio.sleep(dice.random() / 50)
                if dictation is first:
                    first.fail(LLMUnavailable("reset"))
            second.end()
            end = (await stream.rest())[-1]
        for text, seen in await asyncio.gather(*reading):
            assert (text, seen.raw) == (end.data["response"], end.raw)


async def silent(place: Place, body: dict[str, Any]) -> socket.socket:
    """Ask a question, and do not read a byte of the answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, place)
    raw = json.dumps(body).encode()
    head = "POST /chat HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    await loop.sock_sendall(client, f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)
    return client


async def remains(client: socket.socket) -> bytes:
    """Read what a connection still has, until its end or its breaking."""
    received = b""
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(client, 65_536):
            received += data
    except ConnectionError:
        pass
    finally:
        client.close()
    return received


async def test_who_does_not_read_is_cut_off(door: Door, impatient: Place) -> None:
    """A reader that stalls delays neither the reply nor others, and is gone after a while."""
    dictation = door.llm.dictate()
    client = await silent(impatient, {"message": "x", "stream": True})
    await door.llm.asked.wait()
    ((_, session_id),) = door.repository._kept
    for start in range(0, len(LONG), 20_000):
        dictation.say(LONG[start : start + 20_000])
        await asyncio.sleep(0.005)
    dictation.end()
    await holds(lambda: ended_turns(door) == 1)
    assert not is_cut(door)
    page = (await door.client.get(f"/sessions/{session_id}/messages")).json()
    assert page["items"][1]["content"] == LONG
    await holds(lambda: is_cut(door))
    await holds(lambda: any(line["route"] == "/chat" for line in request_lines(door)))
    received = await remains(client)
    assert b"event: turn" in received
    assert b"event: done" not in received


def is_cut(door: Door) -> bool:
    """Tell whether a client that does not read was left."""
    return any(line["event"] == "client_stalled" for line in door.log_lines())


async def test_who_reads_slowly_is_not_cut_off(door: Door, impatient: Place) -> None:
    """A reader that goes on reading, however slowly, gets all of it."""
    turn = await whole_turn(door, LONG)
    path = f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}/events"
    began = asyncio.get_running_loop().time()
    async with request(impatient, "GET", path, receive_bytes=4096) as stream:
        pieces = await slowly(stream)
    assert asyncio.get_running_loop().time() - began > 2 * SHORT_SECONDS
    assert LONG.encode() in pieces
    assert pieces.endswith(b"\r\n0\r\n\r\n")


async def slowly(stream: Stream) -> bytes:
    """Read all there is, in pauses."""
    pieces = b""
    while piece := await stream._reader.read(65_536):
        pieces += piece
        if pieces.endswith(b"\r\n0\r\n\r\n"):
            break
        await asyncio.sleep(SHORT_SECONDS / 8)
    return pieces


async def test_a_page_nobody_reads_is_given_up(door: Door, impatient: Place) -> None:
    """The same goes for an answer that is no stream: what is not read is not kept for ever."""
    door.llm.script(ScriptedAnswer((LONG,)))
    client = await silent(impatient, {"message": "x"})
    await holds(lambda: is_cut(door))
    assert len(await remains(client)) < len(LONG.encode())


def test_who_does_not_read_has_time() -> None:
    """A page that is only slow, or a laptop that sleeps shortly, is not cut off."""
    assert WRITE_SECONDS == 30


async def test_one_key_both_ways(door: Door, served: Place) -> None:
    """G2: a repeat may ask for a stream or not; both get the one turn, and are told so."""
    headers = {"Idempotency-Key": KEY}
    streamed = {"message": "x", "stream": True}
    async with asking(served, "x", f"Idempotency-Key: {KEY}") as stream:
        assert "idempotent-replayed" not in stream.headers
        *_, done = await stream.rest()
    again = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    assert (again.json(), again.headers["idempotent-replayed"]) == (done.data, "true")
    async with request(served, "POST", "/chat", streamed, f"Idempotency-Key: {KEY}") as stream:
        assert stream.headers["idempotent-replayed"] == "true"
        events = await stream.rest()
    assert [event.name for event in events] == ["turn", "delta", "done"]
    assert events[-1].raw == done.raw
    assert len(door.llm.requests) == 1
    other = await door.client.post("/chat", json=streamed | {"message": "y"}, headers=headers)
    assert (other.status_code, problem_of(other)["code"]) == (422, "idempotency_key_reused")


async def test_one_key_while_it_runs(door: Door, served: Place) -> None:
    """G2: repeats join the running turn, whole or in parts, and see all of it."""
    dictation = door.llm.dictate()
    async with asking(served, "x", f"Idempotency-Key: {KEY}") as first:
        dictation.say("one ")
        await first.until("one ")
        waiting = asyncio.create_task(
            door.client.post("/chat", json={"message": "x"}, headers={"Idempotency-Key": KEY})
        )
        async with asking(served, "x", f"Idempotency-Key: {KEY}") as second:
            assert second.headers["idempotent-replayed"] == "true"
            await second.until("one ")
            dictation.say("two")
            dictation.end()
            ends = [(await stream.rest())[-1] for stream in (first, second)]
    assert ends[0] == ends[1]
    assert (await waiting).json() == ends[0].data
    assert ends[0].data["response"] == "one two"
    assert len(door.llm.requests) == 1
