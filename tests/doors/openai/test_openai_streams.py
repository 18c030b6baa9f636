"""Responses as streams, with OpenAI's own client over real HTTP: all that can happen to one.

May import: standard library, chatcore, openai, pytest, tests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI

from chatcore import LLMUnavailable, ServiceStopping
from tests.doors.openai.client import (
    CELL,
    WHOLE,
    checked,
    client_of,
    hear,
    refusal,
    said,
    until_text,
)
from tests.http.door import VISITOR_A, Door, bearer, open_door
from tests.http.sockets import Place, serving
from tests.http.streams import request

TEXT = "Balance is kept by moving the center of mass."
DELTAS = -(-len(TEXT) // CELL)


async def begin(anna: AsyncOpenAI, **more: Any) -> Any:
    """Ask for a stream."""
    return await anna.responses.create(input="x", stream=True, **more)


async def test_a_stream(anna: AsyncOpenAI, door: Door) -> None:
    """Every event is there, in order, of the right form, and says the same as the response."""
    door.llm.script(TEXT)
    heard = await hear(begin(anna, metadata={"a": "b"}))
    assert heard.kinds == WHOLE
    assert heard.numbers == list(range(DELTAS + 8))
    assert heard.text == TEXT
    assert checked(heard.response) == await anna.responses.retrieve(heard.response.id)
    first = heard.events[0].response
    assert (first.id, first.created_at) == (heard.response.id, heard.response.created_at)
    assert (first.status, first.output, first.metadata) == ("in_progress", [], {"a": "b"})


async def test_the_form_of_a_stream(served: Place) -> None:
    """Two lines a block, named; nothing else, and no id that would confuse the clients."""
    body = {"input": "x", "stream": True}
    async with request(served, "POST", "/v1/responses", body) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        for event in await stream.rest():
            lines = event.raw.split(b"\n")
            assert [line.split(b":")[0] for line in lines] == [b"event", b"data", b"", b""]
            assert event.name == event.data["type"]


async def test_text_comes_as_it_is_written(anna: AsyncOpenAI, door: Door) -> None:
    """Nothing is held back longer than it takes to fill a cell."""
    dictation = door.llm.dictate()
    stream = await begin(anna)
    dictation.say("12345678")
    await until_text(stream, "12345678")
    dictation.say("abc")
    dictation.say("defgh1234")
    await until_text(stream, "abcdefgh")
    dictation.end()
    rest = await hear(stream)
    assert rest.text == "1234"
    assert rest.response.output_text == "12345678abcdefgh1234"


async def test_the_helper(anna: AsyncOpenAI, door: Door) -> None:
    """The client's own helper takes the stream, also when it comes back by id."""
    door.llm.script(TEXT)
    async with anna.responses.stream(input="x", model="scripted") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert final.output_text == TEXT
    async with anna.responses.stream(response_id=final.id, starting_after=6) as stream:
        numbers = [event.sequence_number async for event in stream]
        assert (await stream.get_final_response()).output_text == TEXT
    assert numbers == list(range(7, DELTAS + 8))


async def test_coming_back_after_the_end(anna: AsyncOpenAI, door: Door) -> None:
    """From every event on, the rest is what it was."""
    door.llm.script(TEXT)
    whole = await hear(begin(anna))
    again: Any = anna.responses.retrieve
    for after in (None, *whole.numbers[:-1]):
        given = {} if after is None else {"starting_after": after}
        heard = await hear(again(whole.response.id, stream=True, **given))
        assert heard.events == whole.events[0 if after is None else after + 1 :]


async def test_coming_back_while_it_is_written(anna: AsyncOpenAI, door: Door) -> None:
    """A reader that was cut off, and any number of others, get what comes after where they were."""
    dictation = door.llm.dictate()
    stream = await begin(anna, background=True)
    dictation.say("12345678abcdefghXY")
    heard = await until_text(stream, "12345678abcdefgh")
    await stream.close()
    known = heard.events[0].response.id
    again: Any = anna.responses.retrieve
    readers = [await again(known, stream=True, starting_after=n) for n in (0, 3, 4, 5)]
    dictation.say("Z")
    dictation.end()
    texts = [(await hear(reader)).text for reader in readers]
    whole = "12345678abcdefghXYZ"
    assert texts == [whole, whole, whole[8:], whole[16:]]


@pytest.mark.parametrize("how", ["plain", "background", "conversation", "chain"])
async def test_leaving_is_not_stopping(anna: AsyncOpenAI, door: Door, how: str) -> None:
    """What is kept is answered to its end, whoever reads it (G5)."""
    more: dict[str, Any] = {}
    if how == "conversation":
        more = {"conversation": (await anna.conversations.create()).id}
    elif how == "chain":
        more = {"previous_response_id": (await anna.responses.create(input="one")).id}
    elif how == "background":
        more = {"background": True}
    dictation = door.llm.dictate()
    stream = await begin(anna, **more)
    known = (await anext(stream)).response.id
    await stream.close()
    await asyncio.sleep(0.05)
    dictation.say(TEXT)
    dictation.end()
    heard = await hear(anna.responses.retrieve(known, stream=True))
    assert heard.response.output_text == TEXT


async def test_stopping(anna: AsyncOpenAI, door: Door) -> None:
    """Its readers are told, with the part there is; so is everybody who comes later."""
    dictation = door.llm.dictate()
    stream = await begin(anna)
    dictation.say("12345678abc")
    heard = await until_text(stream, "12345678")
    cancelled = await anna.responses.cancel(heard.events[0].response.id)
    rest = await hear(stream)
    assert rest.kinds[-4:] == [
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
    ]
    assert heard.text + rest.text == cancelled.output_text == "12345678abc"
    assert checked(rest.response) == cancelled
    later = await hear(anna.responses.retrieve(cancelled.id, stream=True))
    assert later.last == rest.last


@pytest.mark.parametrize("part", ["", "half of an ans"])
async def test_failing(anna: AsyncOpenAI, door: Door, part: str) -> None:
    """The response failed, in our words, and its part is kept."""
    dictation = door.llm.dictate()
    stream = await begin(anna)
    if part:
        dictation.say(part)
    dictation.fail(LLMUnavailable("secret"))
    heard = await hear(stream)
    assert heard.kinds[-1] == "failed"
    assert checked(heard.response).status == "failed"
    assert heard.response.error is not None
    assert heard.response.error.code == "server_error"
    assert heard.response.output_text == part == heard.text
    assert "secret" not in heard.response.model_dump_json()
    found = await anna.responses.retrieve(heard.response.id)
    assert found == heard.response
    again = await hear(anna.responses.retrieve(found.id, stream=True))
    assert again.events == heard.events


async def test_a_new_attempt_before_any_text_was_sent() -> None:
    """Nobody notices: what was not sent yet is dropped."""
    async with (
        open_door(LLM_MAX_ATTEMPTS="2", OVERLOAD_LAG_SECONDS="0") as door,
        serving(door.app) as (place, _),
        client_of(place, VISITOR_A) as anna,
    ):
        first, second = door.llm.dictate(), door.llm.dictate()
        stream = await begin(anna)
        first.say("1234567")
        first.fail(LLMUnavailable("reset"))
        second.say(TEXT)
        second.end()
        heard = await hear(stream)
        assert (heard.kinds, heard.text) == (WHOLE, TEXT)


async def test_a_new_attempt_after_text_was_sent() -> None:
    """It cannot be taken back: the stream ends and says so, and the whole is there all the same."""
    async with (
        open_door(LLM_MAX_ATTEMPTS="2", OVERLOAD_LAG_SECONDS="0") as door,
        serving(door.app) as (place, _),
        client_of(place, VISITOR_A) as anna,
    ):
        first, second = door.llm.dictate(), door.llm.dictate()
        stream = await begin(anna)
        first.say("12345678ab")
        heard = await until_text(stream, "12345678")
        first.fail(LLMUnavailable("reset"))
        last = [event async for event in stream]
        assert [event.type for event in last] == ["error"]
        assert (last[0].code, last[0].sequence_number) == ("stream_restarted", heard.numbers[-1])
        known = heard.events[0].response.id
        second.say(TEXT)
        second.end()
        whole = await hear(anna.responses.retrieve(known, stream=True))
        assert (whole.kinds, whole.text) == (WHOLE, TEXT)
        again: Any = anna.responses.retrieve
        mixed = again(known, stream=True, starting_after=heard.numbers[-1])
        error = await refusal(mixed)
        assert said(error) == (400, "stream_restarted", "starting_after")
        lifecycle = await hear(again(known, stream=True, starting_after=3))
        assert lifecycle.text == TEXT


async def test_a_process_that_ends(anna: AsyncOpenAI, door: Door) -> None:
    """The response goes on elsewhere: the reader is told to come back, and to where."""
    dictation = door.llm.dictate()
    stream = await begin(anna)
    dictation.say("12345678ab")
    heard = await until_text(stream, "12345678")
    service = door.app.state.lifecycle._service
    for turn in service._runner.turns._by_id.values():
        turn.live.fail(ServiceStopping())
    last = [event async for event in stream]
    assert [event.type for event in last] == ["error"]
    assert (last[0].code, last[0].sequence_number) == ("stream_interrupted", heard.numbers[-1])
    dictation.end()


async def test_deleted_meanwhile(anna: AsyncOpenAI, door: Door) -> None:
    """Who reads a response of a conversation that is erased is told."""
    dictation = door.llm.dictate()
    stream = await begin(anna)
    dictation.say("12345678ab")
    heard = await until_text(stream, "12345678")
    await anna.conversations.delete(f"conv_{heard.events[0].response.id[5:37]}")
    dictation.end()
    last = [event async for event in stream]
    assert [event.type for event in last] == ["error"]
    assert last[0].code == "response_not_found"


async def test_silence(door: Door, served: Place) -> None:
    """A comment without an empty line after it, which is all that every client's parser takes."""
    door.app.state.keep_alive_seconds = 0.05
    dictation = door.llm.dictate()
    async with client_of(served, VISITOR_A) as anna:
        stream = await begin(anna)
        await asyncio.sleep(0.3)
        dictation.say(TEXT)
        dictation.end()
        heard = await hear(stream)
        assert (heard.kinds, heard.text) == (WHOLE, TEXT)
        door.llm.dictate()
        body = {"input": "x", "stream": True}
        async with request(served, "POST", "/v1/responses", body) as raw:
            opened = [await raw.event(), await raw.event()]
            await asyncio.sleep(0.2)
            assert opened[1].name == "response.in_progress"
            raw_bytes = await asyncio.wait_for(raw._reader.readuntil(b"\r\n: ka\n\r\n"), 5)
            assert b": ka\n" in raw_bytes


@pytest.mark.parametrize("after", [0, 3, 50, 2**31])
async def test_coming_back_from_nowhere(anna: AsyncOpenAI, door: Door, after: int) -> None:
    """Who claims to have seen more than there is learns how it ended, at least."""
    door.llm.script("tiny")
    whole = await anna.responses.create(input="x")
    again: Any = anna.responses.retrieve
    heard = await hear(again(whole.id, stream=True, starting_after=after))
    assert heard.numbers[0] == after + 1
    assert heard.response == whole


@pytest.mark.parametrize("query", ["starting_after=-1", "starting_after=x", "stream=maybe"])
async def test_a_bad_place(anna: AsyncOpenAI, door: Door, query: str) -> None:
    """What is no number of an event is refused."""
    known = (await anna.responses.create(input="x")).id
    answer = await door.client.get(
        f"/v1/responses/{known}?stream=true&{query}", headers=bearer(VISITOR_A)
    )
    if "maybe" in query:
        answer = await door.client.get(f"/v1/responses/{known}?{query}", headers=bearer(VISITOR_A))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query.split("=")[0]


async def test_not_to_be_kept(anna: AsyncOpenAI, door: Door) -> None:
    """The same events, of a response that cannot be found afterwards."""
    door.llm.script(TEXT)
    heard = await hear(begin(anna, store=False))
    assert (heard.kinds, heard.text) == (WHOLE, TEXT)
    assert heard.response.model_dump()["store"] is False
    assert door.repository.is_empty
    error = await refusal(anna.responses.retrieve(heard.response.id))
    assert said(error) == (404, "response_not_found", None)


async def test_not_to_be_kept_and_failing(anna: AsyncOpenAI, door: Door) -> None:
    """It failed, in our words."""
    dictation = door.llm.dictate()
    dictation.say("half")
    stream = await begin(anna, store=False)
    dictation.fail(LLMUnavailable("secret"))
    heard = await hear(stream)
    assert heard.kinds[-1] == "failed"
    assert heard.response.output_text == "half"
    assert "secret" not in heard.response.model_dump_json()
