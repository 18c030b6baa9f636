"""ChatKit's streams: every event is one of the official types, and together they show the truth.

May import: standard library, adapters, app, chatcore, pytest, tests.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

import pytest

from adapters.memory.llm import ScriptedAnswer
from app.doors.chatkit import asking
from chatcore import LLMError, LLMRejected, LLMUnavailable, StorageUnavailable
from tests.doors.chatkit.frontend import (
    Frontend,
    Shown,
    events_of,
    next_event,
    read_events,
    text_of,
    until_text,
    user_input,
)
from tests.http.door import VISITOR_A, Door, open_door
from tests.http.sockets import Place, serving
from tests.http.streams import request

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "line\nline\r\nline\rdata: {}\n\nevent: done\n\n: comment\n\n",
    "\u2028\u2029\u0085\u000b\u000c\u0001\u007f\ufeff",
    "a é 😀 👩‍🔬 e\u0301 \u202eltr \\\\ \" ' ` ${x} %s {}",
    '{"type":"error","code":"custom"}',
    "[click](javascript:alert(1)) <!-- --> ]]> &lt;",
]


def kinds(events: list[Any]) -> list[str]:
    """Return what the events are, the same ones in a row once."""
    names = [getattr(event, "update", event).type for event in events]
    return [name for i, name in enumerate(names) if not i or names[i - 1] != name]


ANSWER = [
    "thread.item.added",
    "assistant_message.content_part.added",
    "assistant_message.content_part.text_delta",
    "assistant_message.content_part.done",
    "thread.item.done",
]


async def test_several_turns(page: Frontend, door: Door) -> None:
    """A thread is begun and goes on: events in the protocol's order, the same ids in lists."""
    door.llm.script("It is a joint.", "Many kinds.")
    events = await page.stream("threads.create", input=user_input("What is\na servo?"))
    assert kinds(events) == ["thread.created", "thread.item.done", "stream_options", *ANSWER]
    first = Shown.after(events)
    assert first.can_stop
    assert first.texts == ["What is\na servo?", "It is a joint."]
    assert first.thread.title == "What is a servo?"
    assert first.thread.id.startswith("thr_")
    assert first.thread.created_at.tzinfo == UTC

    asked = user_input("Which?", quoted_text="a joint")
    thread_id = first.thread.id
    events = await page.stream("threads.add_user_message", thread_id=thread_id, input=asked)
    assert kinds(events) == ["thread.item.done", "stream_options", *ANSWER]
    second = Shown.after(events)
    items = await page.items(thread_id)
    assert items == [*first.items.values(), *second.items.values()]
    assert [item.quoted_text for item in items[::2]] == [None, "a joint"]
    assert "a joint" in door.llm.requests[-1].body.decode()
    assert len({item.id for item in items}) == 4


async def test_head_of_a_stream(page: Frontend) -> None:
    """Nothing on the way may hold a stream back."""
    async with page.open("threads.create", input=user_input("x")) as stream:
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        await events_of(stream)


async def test_silence_is_filled_with_comments_alone(page: Frontend, door: Door) -> None:
    """A keep-alive has no empty line, which the frontend would take for a message."""
    door.app.state.keep_alive_seconds = 0.02
    told = door.llm.dictate()
    async with page.open("threads.create", input=user_input("x")) as stream:
        for _ in range(3):
            await next_event(stream)
        assert [await stream._chunk() for _ in range(3)] == [b": ka\n"] * 3
        told.say("Hello.")
        told.end()
        assert text_of((await events_of(stream))[-1].item) == "Hello."


async def test_tags_are_read_as_their_text(page: Frontend, door: Door) -> None:
    """A tag stands in the sentence; two texts are two lines; options ask for nothing."""
    tag = {"type": "input_tag", "id": "1", "text": "R2", "data": {"a": [1]}, "interactive": True}
    asked = user_input("Is ", tag, " tall?", "Really?")
    asked["inference_options"] = {"model": "big", "tool_choice": {"id": "search"}}
    shown = Shown.after(await page.stream("threads.create", input=asked))
    assert shown.texts[0] == "Is R2 tall?\nReally?"
    assert "big" not in door.llm.requests[-1].body.decode()


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text(page: Frontend, door: Door, text: str) -> None:
    """Whatever is said, and answered, comes out as it was, and ends no event."""
    door.llm.script(ScriptedAnswer((text, *text)))
    shown = await page.create(text, quoted_text=text)
    assert shown.texts == [text, text + text]
    assert await page.texts(shown.thread.id) == shown.texts
    thread_id = shown.thread.id
    assert (await page.items(thread_id))[0].quoted_text == text
    door.llm.script(ScriptedAnswer((text,)))
    assert (await page.add(thread_id, "more")).texts == ["more", text]


async def test_a_retry_drops_what_came_after(page: Frontend, door: Door) -> None:
    """The question keeps its id, however often; its answers, and all after them, are gone."""
    door.llm.script("One.", "Two.", "Three.", "Four.")
    first = await page.create("first?")
    thread_id, question = first.thread.id, next(iter(first.items))
    second = await page.add(thread_id, "second?")
    for answer in ("Three.", "Four."):
        params = {"thread_id": thread_id, "item_id": question}
        events = await page.stream("threads.retry_after_item", **params)
        assert kinds(events) == ["stream_options", *ANSWER]
        again = Shown.after(events)
        assert again.texts == [answer]
        items = await page.items(thread_id)
        assert [text_of(item) for item in items] == ["first?", answer]
        assert [item.id for item in items] == [question, *again.items]
    assert not {"One.", "Two.", "second?"} & set(await page.texts(thread_id))
    status, problem = await page.call(
        "threads.retry_after_item", thread_id=thread_id, item_id=next(iter(second.items))
    )
    assert (status, problem["code"]) == (409, "message_superseded")
    assert problem["message"] == problem["detail"]


async def test_a_retry_of_what_was_retried_too_often(
    anybody: Frontend, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old id is followed so far and no further: one look-up is not to cost a thousand."""
    monkeypatch.setattr(asking, "_MOST_TIMES", 2)
    session_id = (await door.ask("one"))["session_id"]
    thread_id = f"thr_{UUID(session_id).hex}"
    question = (await anybody.items(thread_id))[0]
    place = {"thread_id": thread_id, "item_id": question.id}
    for _ in range(2):
        assert (await anybody.retry(**place)).errors == []
    status, problem = await anybody.call("threads.retry_after_item", **place)
    assert (status, problem["code"]) == (409, "message_superseded")


async def test_a_retry_of_what_was_asked_elsewhere(anybody: Frontend, door: Door) -> None:
    """Questions of other doors get another id each time; a page that knows the old one goes on."""
    door.llm.script("One.", "Two.", "Three.")
    asked = await door.ask("first?")
    thread_id = f"thr_{UUID(asked['session_id']).hex}"
    question, answer = await anybody.items(thread_id)
    assert (await anybody.retry(thread_id, question.id)).texts == ["Two."]
    assert (await anybody.retry(thread_id, question.id)).texts == ["Three."]
    assert await anybody.texts(thread_id) == ["first?", "Three."]
    for wrong in (answer.id, f"msg_{UUID(asked['message_id']).hex}"):
        params = {"thread_id": thread_id, "item_id": wrong}
        status, problem = await anybody.call("threads.retry_after_item", **params)
        assert (status, problem["code"]) == (404, "message_not_found")


async def test_a_new_question_stops_the_answer_before(page: Frontend, door: Door) -> None:
    """Whoever types on does not wait: what there was is kept, and both streams end well."""
    told = door.llm.dictate()
    told.say("Half an ")
    async with page.open("threads.create", input=user_input("first?")) as stream:
        shown = await until_text(stream, "Half an ")
        second = await page.add(shown.thread.id, "second?")
        for event in await events_of(stream):
            shown.take(event)
    assert shown.errors == second.errors == []
    texts = ["first?", "Half an ", "second?", "You asked: second?"]
    assert shown.texts + second.texts == texts
    assert await page.texts(shown.thread.id) == texts


async def test_a_new_attempt_begins_the_answer_anew(page: Frontend, door: Door) -> None:
    """What a broken attempt said is taken away before the next one speaks."""
    door.llm.script(ScriptedAnswer(("Wrong ", "and", LLMUnavailable("secret"))), "Right.")
    events = await page.stream("threads.create", input=user_input("x"))
    assert kinds(events)[3:] == [*ANSWER[:3], "thread.item.removed", *ANSWER]
    shown = Shown.after(events)
    assert (shown.texts, shown.errors) == (["x", "Right."], [])


@pytest.mark.parametrize(
    ("errors", "allow_retry"),
    [([LLMUnavailable("secret")] * 2, True), ([LLMRejected("secret")], False)],
    ids=["unavailable", "rejected"],
)
async def test_no_answer(
    page: Frontend, door: Door, errors: list[LLMError], allow_retry: bool
) -> None:
    """A failure is told in our words; the question is kept, and can be asked again."""
    door.llm.script(*errors)
    shown = await page.create("x")
    assert shown.texts == ["x"]
    [told] = shown.errors
    assert (told.code, told.allow_retry) == ("custom", allow_retry)
    assert "secret" not in told.message
    assert "model" in told.message
    again = await page.retry(shown.thread.id, next(iter(shown.items)))
    assert again.texts == ["You asked: x"]


async def test_half_an_answer(page: Frontend, door: Door) -> None:
    """What came before a failure is kept as it was shown."""
    door.llm.script(
        ScriptedAnswer((LLMUnavailable(""),)), ScriptedAnswer(("Half", LLMRejected("secret")))
    )
    shown = await page.create("x")
    assert shown.texts == ["x", "Half"]
    assert len(shown.errors) == 1
    assert await page.items(shown.thread.id) == list(shown.items.values())


async def test_a_thread_that_goes_away(page: Frontend, door: Door) -> None:
    """Somebody erases the thread: the stream says so and ends."""
    told = door.llm.dictate()
    told.say("Half")
    async with page.open("threads.create", input=user_input("x")) as stream:
        shown = await until_text(stream, "Half")
        assert await page.call("threads.delete", thread_id=shown.thread.id) == (200, {})
        told.say(" more")
        told.end()
        for event in await events_of(stream):
            shown.take(event)
    assert shown.texts in (["x"], ["x", "Half"])
    assert [error.allow_retry for error in shown.errors] == [False]


async def test_a_thread_begun_empty_gets_its_title(anybody: Frontend, door: Door) -> None:
    """The first question names a thread that another door began."""
    session = await door.app.state.lifecycle._service.open_session("public")
    thread_id = f"thr_{session.id.hex}"
    shown = await anybody.add(thread_id, "What is a servo?")
    assert shown.thread.title == "What is a servo?"
    assert (await anybody.add(thread_id, "And?")).thread is None


@pytest.mark.parametrize("kind", ["threads.create", "threads.retry_after_item"])
async def test_a_store_in_doubt(page: Frontend, door: Door, kind: str) -> None:
    """A question that may be stored is never answered with what the frontend sends again."""
    first = await page.create("first?")
    place = {"thread_id": first.thread.id, "item_id": next(iter(first.items))}
    params = {"input": user_input("x")} if kind == "threads.create" else place
    door.repository.error = StorageUnavailable("secret")
    async with page.open(kind, **params) as stream:
        assert (stream.status, stream.headers["content-type"][:17]) == (200, "text/event-stream")
        [told] = read_events(await stream.body())
    assert (told.type, told.allow_retry) == ("error", False)
    assert "secret" not in told.message
    door.repository.error = None
    assert (await page.create("x")).texts == ["x", "You asked: x"]


async def test_a_server_that_stops(page: Frontend, door: Door) -> None:
    """Whoever reads when the process ends is told that there is more to come."""
    told = door.llm.dictate()
    told.say("Half")
    async with page.open("threads.create", input=user_input("x")) as stream:
        shown = await until_text(stream, "Half")
        await door.app.state.lifecycle._service.close(timeout_seconds=0.1)
        for event in await events_of(stream):
            shown.take(event)
    assert shown.texts == ["x", "Half"]
    assert [error.allow_retry for error in shown.errors] == [True]


async def test_overload_refuses_before_anything() -> None:
    """With too much to do a question is refused, to be sent again; looking goes on."""
    async with open_door(MAX_RUNNING_TURNS="1") as door, serving(door.app) as (place, _):
        told, page = door.llm.dictate(), Frontend(place, VISITOR_A)
        async with page.open("threads.create", input=user_input("x")) as stream:
            shown = Shown.after([await next_event(stream)])
            status, problem = await page.call("threads.create", input=user_input("y"))
            assert (status, problem["code"]) == (503, "service_overloaded")
            assert problem["message"] == problem["detail"]
            assert await page.texts(shown.thread.id) == ["x"]
            told.say("Done.")
            told.end()
            await events_of(stream)
        assert (await page.create("y")).texts == ["y", "You asked: y"]


async def test_get_is_no_way_in(served: Place) -> None:
    """There is one address and one method."""
    async with request(served, "GET", "/chatkit") as answer:
        assert answer.status == 405
