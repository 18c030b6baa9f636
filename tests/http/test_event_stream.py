"""The form of event streams, byte for byte.

May import: standard library, app, chatcore, hypothesis, pytest, tests.http.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.edge import Edge
from app.http.event_stream import KEEP_ALIVE_SECONDS, EventStream
from app.http.events import NATIVE
from chatcore import (
    LLMRateLimited,
    LLMUnavailable,
    ReplyDelta,
    ReplyPosition,
    ServiceStopping,
    SessionId,
    StorageUnavailable,
    TurnId,
    TurnReader,
)
from chatcore.turns.live_reply import LiveReply
from tests.http.door import VISITOR_A, Door, bearer, open_door
from tests.http.sockets import Place, serving
from tests.http.streams import Event, asking, following, parse, request, text_of

SESSION = "00000000-0001-7000-8000-000000000001"
TURN = "00000000-0002-7000-8000-000000000002"
KEY = "k" * 16
ORIGIN = "http://localhost:3000"
COME_BACK = b": come back with the last id\nretry: 500\n\n"
LAST = {"done", "stopped", "error"}
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


async def test_a_stream_byte_for_byte(door: Door, served: Place) -> None:
    """The ids first, then pieces with the place after each, then the answer as JSON gives it."""
    dictation = door.llm.dictate()
    async with asking(served, "x", f"Idempotency-Key: {KEY}") as stream:
        received = [(await stream.event()).raw]
        for piece in ("Hello", ', "you" \\', "\r\n\n\u2028data: no\r", "é😀"):
            dictation.say(piece)
            received.append((await stream.event()).raw)
        dictation.end()
        received += [event.raw for event in await stream.rest()]
    again = await door.client.post("/chat", json={"message": "x"}, headers={"Idempotency-Key": KEY})
    assert received == [
        b"event: turn\nretry: 1000\n"
        b'data: {"session_id":"%b","turn_id":"%b"}\n\n' % (SESSION.encode(), TURN.encode()),
        b'event: delta\nid: 1.5\ndata: {"text":"Hello"}\n\n',
        b'event: delta\nid: 1.14\ndata: {"text":", \\"you\\" \\\\"}\n\n',
        b'event: delta\nid: 1.27\ndata: {"text":"\\r\\n\\n\xe2\x80\xa8data: no\\r"}\n\n',
        b'event: delta\nid: 1.29\ndata: {"text":"\xc3\xa9\xf0\x9f\x98\x80"}\n\n',
        b"event: done\nid: 1.29.end\ndata: %b\n\n" % again.content,
    ]
    assert again.json()["status"] == "completed"


async def test_the_headers_of_a_stream(served: Place) -> None:
    """A stream is not cached, not transformed and not held back; each header is said once."""
    async with asking(served, "x", "X-Request-ID: mine", f"Origin: {ORIGIN}") as stream:
        assert stream.status == 200
        assert sorted(stream.raw_headers) == [
            ("access-control-allow-origin", ORIGIN),
            (
                "access-control-expose-headers",
                "X-Request-ID, Retry-After, X-Should-Retry, Idempotent-Replayed",
            ),
            ("cache-control", "no-cache, no-transform"),
            ("content-type", "text/event-stream; charset=utf-8"),
            ("date", stream.headers["date"]),
            ("transfer-encoding", "chunked"),
            ("vary", "Origin"),
            ("x-accel-buffering", "no"),
            ("x-content-type-options", "nosniff"),
            ("x-request-id", "mine"),
        ]


async def test_a_page_may_send_where_it_was(door: Door) -> None:
    """The preflight of a page that comes back with Last-Event-ID is answered with it."""
    asked = {"origin": ORIGIN, "access-control-request-method": "GET"}
    answer = await door.client.options("/sessions/x/turns/y/events", headers=asked)
    assert "Last-Event-ID" in answer.headers["access-control-allow-headers"].split(", ")


@given(texts)
def test_no_text_ends_a_line_or_an_event(text: str) -> None:
    """Whatever a model says is one event with one line of data, and comes out as it went in."""
    raw = NATIVE.encode(ReplyDelta(text, ReplyPosition(1, len(text))))
    assert b"\r" not in raw
    assert raw.endswith(b"\n\n")
    assert raw.count(b"\n") == 4
    assert parse(raw) == Event(raw, "delta", f"1.{len(text)}", "", {"text": text})


async def test_a_new_attempt_is_announced() -> None:
    """After `restart` the reply begins again at 0, and its places carry the new attempt."""
    async with open_door(LLM_MAX_ATTEMPTS="2") as door, serving(door.app) as (place, _):
        first, second = door.llm.dictate(), door.llm.dictate()
        async with asking(place) as stream:
            first.say("half of an ans")
            await stream.until("half of an ans")
            first.fail(LLMUnavailable("reset"))
            assert (await stream.event()).raw == b"event: restart\nid: 2.0\ndata: {}\n\n"
            second.say("Whole.")
            second.end()
            events = await stream.rest()
        assert [(event.name, event.id) for event in events] == [
            ("delta", "2.6"),
            ("done", "2.6.end"),
        ]
        assert events[-1].data["response"] == "Whole."
        async with following(place, events[-1].data, "1.9") as stream:
            names = [event.name for event in await stream.rest()]
    assert names == ["turn", "restart", "delta", "done"]


async def test_a_stop_is_announced(door: Door, served: Place) -> None:
    """`stopped` carries the answer with the part that is kept."""
    dictation = door.llm.dictate()
    async with asking(served) as stream:
        dictation.say("half")
        turn = (await stream.until("half"))[0].data
        stopped = await stop(door, turn)
        (event,) = await stream.rest()
    assert (event.name, event.id) == ("stopped", "1.4.end")
    assert event.data["status"] == "stopped"
    assert event.data["response"] == stopped["response"] == "half"
    assert event.data["message_id"] == stopped["message_id"]
    assert event.data.keys() == (await door.ask("y")).keys()


async def test_a_stop_before_any_text(door: Door, served: Place) -> None:
    """A reply that was stopped before it began has no message, and the time of its end."""
    door.llm.dictate()
    async with asking(served) as stream:
        turn = (await stream.event()).data
        await door.llm.asked.wait()
        stopped = await stop(door, turn)
        (event,) = await stream.rest()
    assert (event.name, event.id) == ("stopped", "1.0.end")
    assert event.data["response"] == ""
    assert event.data["message_id"] is None
    assert event.data["timestamp"] == stopped["ended_at"]


async def test_a_failure_is_announced(door: Door, served: Place) -> None:
    """`error` carries the problem that a JSON answer would be; the provider's words stay out."""
    dictation = door.llm.dictate()
    async with asking(served, "x", f"Idempotency-Key: {KEY}", "X-Request-ID: one") as stream:
        dictation.say("half")
        turn = (await stream.until("half"))[0].data
        dictation.fail(LLMRateLimited("canary"))
        (event,) = await stream.rest()
    assert (event.name, event.id) == ("error", "1.4.end")
    assert b"canary" not in event.raw
    headers = {"Idempotency-Key": KEY, "X-Request-ID": "one"}
    again = await door.client.post("/chat", json={"message": "x"}, headers=headers)
    assert again.status_code == 503
    assert event.raw == b"event: error\nid: 1.4.end\ndata: %b\n\n" % again.content
    assert event.data["code"] == "llm_rate_limited"
    assert event.data["retryable"] is True
    assert event.data["request_id"] == "one"
    assert {"session_id": event.data["session_id"], "turn_id": event.data["turn_id"]} == turn


async def test_silence_is_broken(door: Door, served: Place) -> None:
    """While nothing is said a comment shows that the connection lives; it changes no place."""
    door.app.state.keep_alive_seconds = 0.02
    dictation = door.llm.dictate()
    async with asking(served) as stream:
        await stream.event()
        for _ in range(3):
            assert (await stream.event()).raw == b": keep-alive\n\n"
        dictation.say("a")
        dictation.end()
        events = [event for event in await stream.rest() if event.name]
    assert [(event.name, event.id) for event in events] == [("delta", "1.1"), ("done", "1.1.end")]


def test_silence_is_broken_in_time() -> None:
    """Proxies cut idle connections after 60 seconds, some after 30."""
    assert KEEP_ALIVE_SECONDS == 15


async def test_an_erased_session_is_announced(door: Door, served: Place) -> None:
    """Readers of a reply whose session is erased are told so, and that there is no way back."""
    dictation = door.llm.dictate()
    async with asking(served, "x", f"Authorization: Bearer {VISITOR_A}") as stream:
        dictation.say("half")
        turn = (await stream.until("half"))[0].data
        erased = await door.client.delete(
            f"/sessions/{turn['session_id']}", headers=bearer(VISITOR_A)
        )
        assert erased.status_code == 204
        (event,) = await stream.rest()
    assert (event.name, event.id) == ("error", "")
    assert (event.data["code"], event.data["retryable"]) == ("turn_lost", False)
    assert event.data["turn_id"] == turn["turn_id"]


async def test_a_closing_process_sends_its_readers_away(door: Door, served: Place) -> None:
    """Without a last event a stream is not over: its reader is to come back, soon."""
    dictation = door.llm.dictate()
    async with asking(served) as stream:
        dictation.say("half")
        await stream.until("half")
        await door.app.state.lifecycle._service.close(timeout_seconds=0)
        assert [event.raw for event in await stream.rest()] == [COME_BACK]


async def sent_by(trouble: Any, *, receive: Any = None) -> list[bytes]:
    """Return what a stream sends of a reply that meets trouble after its first piece."""
    live = LiveReply()
    live.append("half")
    live.fail(trouble)
    ids = {"session_id": SessionId(UUID(SESSION)), "turn_id": TurnId(UUID(TURN))}
    reader = TurnReader(live, **ids)  # type: ignore[arg-type]
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asked: Any = type("Asked", (), {"app": type("App", (), {"state": {}})})
    answer = EventStream(reader).to_asgi_response(None, asked)
    await answer({}, receive or never, send)  # type: ignore[arg-type]
    assert live.readers == 0
    assert [message.get("more_body") for message in sent][-1] is False
    return [message["body"] for message in sent[1:]]


@pytest.mark.parametrize(
    "trouble",
    [StorageUnavailable("canary"), ServiceStopping(), RuntimeError("canary"), KeyError("canary")],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_what_ends_a_stream_early_is_no_end(door: Door, trouble: Exception) -> None:
    """Whatever breaks in the middle, the reader gets all text and is asked to come back."""
    *events, last = await sent_by(trouble)
    assert last == COME_BACK
    assert [parse(event).name for event in events] == ["turn", "delta"]
    logged = [line["error"] for line in door.log_lines() if line["event"] == "stream_broken"]
    ours = isinstance(trouble, (RuntimeError, KeyError))
    assert logged == ([type(trouble).__name__] if ours else [])
    assert "canary" not in door.stream.getvalue()


async def test_a_stream_is_logged_when_it_ends(door: Door, served: Place) -> None:
    """The request's one line comes at the end of its stream, with all the time it took."""
    dictation = door.llm.dictate()
    async with asking(served, "x", "X-Request-ID: mine") as stream:
        await stream.event()
        assert lines_of(door, "mine") == []
        dictation.say("a")
        dictation.end()
        await stream.rest()
        await asyncio.sleep(0.01)
    (line,) = lines_of(door, "mine")
    assert (line["route"], line["status"]) == ("/chat", 200)


async def test_a_refusal_is_no_stream(door: Door, served: Place) -> None:
    """What is refused before the question is stored is a problem with its status."""
    for body in ({"message": ""}, {"message": "x", "session_id": SESSION}, {"message": 1}):
        async with request(served, "POST", "/chat", body | {"stream": True}) as stream:
            assert stream.headers["content-type"] == "application/problem+json"
            assert stream.status in {404, 422}
    assert door.repository.is_empty


async def test_a_broken_read_is_no_stream(door: Door, served: Place) -> None:
    """Trouble before the first byte is an ordinary answer."""
    door.repository.error = StorageUnavailable()
    async with request(served, "POST", "/chat", {"message": "x", "stream": True}) as stream:
        assert (stream.status, stream.headers["retry-after"]) == (503, "2")


async def test_a_body_nobody_asked_for(door: Door, served: Place) -> None:
    """A body sent along with GET disturbs nothing."""
    turn = await door.ask()
    path = f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}/events"
    async with request(served, "GET", path, {"x": "y" * 100_000}) as stream:
        assert text_of(await stream.rest()) == turn["response"]


async def test_a_body_that_does_not_come(door: Door, served: Place) -> None:
    """Who announces a body with GET and does not send it is told to come back, not waited for."""
    edge = door.app.asgi_handler
    assert isinstance(edge, Edge)
    edge.body_seconds = 0.1
    dictation = door.llm.dictate()
    async with asking(served) as first:
        turn = (await first.event()).data
        async with following(served, turn, None, "Content-Length: 5") as stream:
            assert [event.name for event in await stream.rest()] == ["turn"]
        dictation.say("a")
        dictation.end()
        assert text_of(await first.rest()) == "a"
    assert not [line for line in door.log_lines() if line["level"] == "error"]


def lines_of(door: Door, request_id: str) -> list[dict[str, Any]]:
    """Return the request lines logged under an id."""
    return [
        line
        for line in door.log_lines()
        if line["event"] == "request" and line["request_id"] == request_id
    ]


async def stop(door: Door, turn: dict[str, Any]) -> dict[str, Any]:
    """Stop a turn that is being followed."""
    path = f"/sessions/{turn['session_id']}/turns/{turn['turn_id']}/stop"
    answer = await door.client.post(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
