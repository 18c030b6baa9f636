"""Threads and items over ChatKit: listed, renamed, judged, erased; and what is refused.

May import: standard library, chatcore, pytest, tests.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from chatcore import LLMRejected, OwnerId, SessionId, StorageUnavailable
from tests.doors.chatkit.frontend import (
    ITEMS,
    PATH,
    THREAD,
    THREADS,
    Frontend,
    Shown,
    body_of,
    events_of,
    text_of,
    until_text,
    user_input,
    uuid_in,
)
from tests.http.door import VISITOR_A, VISITOR_B, Door, bearer, open_door, problem_of
from tests.http.sockets import Place
from tests.http.streams import request

QUESTIONS = [f"question {number}" for number in range(1, 14)]
SAID = [text for asked in QUESTIONS for text in (asked, f"You asked: {asked}")]


async def long_thread(page: Frontend) -> str:
    """Return a thread of more than a page."""
    thread_id = (await page.create(QUESTIONS[0])).thread.id
    for question in QUESTIONS[1:]:
        await page.add(thread_id, question)
    return str(thread_id)


def message_of(answer: Any) -> str:
    """Return what a frontend shows of a refusal, having checked its form."""
    body = problem_of(answer)
    assert isinstance(body["message"], str)
    assert body["message"]
    return str(body["message"])


async def post(door: Door, body: Any, token: str | None = VISITOR_A) -> Any:
    """Send any body."""
    headers = {"content-type": "application/json"} | (bearer(token) if token else {})
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await door.client.post(PATH, content=content, headers=headers)


async def test_items_page_by_page(page: Frontend) -> None:
    """Both orders, pages of any size: every item once, in order."""
    thread_id = await long_thread(page)
    for order, expected in [("asc", SAID), ("desc", SAID[::-1])]:
        for limit in (1, 2, 7, 20, 26, 100, 5000):
            found = await page.items(thread_id, order=order, limit=limit)
            assert [text_of(item) for item in found] == expected


async def test_first_page(page: Frontend) -> None:
    """A thread comes with its first 20 items; a list of items, unasked, is the last 20."""
    thread_id = await long_thread(page)
    thread = await page.get(THREAD, "threads.get_by_id", thread_id=thread_id)
    assert (thread.id, thread.title, thread.metadata) == (thread_id, QUESTIONS[0], {})
    assert [text_of(item) for item in thread.items.data] == SAID[:20]
    rest = await page.get(
        ITEMS, "items.list", thread_id=thread_id, order="asc", after=thread.items.after
    )
    assert [text_of(item) for item in rest.data] == SAID[20:]
    last = await page.get(ITEMS, "items.list", thread_id=thread_id)
    assert [text_of(item) for item in last.data] == SAID[:5:-1]
    assert last.has_more


async def test_what_is_superseded_fills_no_page(page: Frontend) -> None:
    """However often an answer was asked for again, pages are as long as they should be."""
    first = await page.create("x")
    thread_id, question = first.thread.id, next(iter(first.items))
    for _ in range(60):
        await page.retry(thread_id, question)
    await page.add(thread_id, "y")
    for order in ("asc", "desc"):
        texts = ["x", "You asked: x", "y", "You asked: y"]
        found = await page.get(ITEMS, "items.list", thread_id=thread_id, order=order, limit=3)
        expected = texts if order == "asc" else texts[::-1]
        assert [text_of(item) for item in found.data] == expected[:3]
        assert [text_of(i) for i in await page.items(thread_id, order=order, limit=3)] == expected
    newest = await page.get(ITEMS, "items.list", thread_id=thread_id, limit=4)
    assert not newest.has_more  # behind these there is nothing that counts


async def test_threads_page_by_page(page: Frontend) -> None:
    """Latest activity first, without items; a rename shows."""
    made = [(await page.create(f"thread {number}")).thread.id for number in range(5)]
    status, thread = await page.call("threads.update", thread_id=made[2], title="A new name")
    assert (status, thread["title"], thread["items"]) == (
        200,
        "A new name",
        {"data": [], "has_more": False},
    )
    found, after = [], None
    while True:
        listed = await page.get(THREADS, "threads.list", limit=2, after=after)
        found += [(thread.id, thread.title) for thread in listed.data]
        assert all(thread.items.data == [] for thread in listed.data)
        after = listed.after
        if not listed.has_more:
            break
    expected = [made[2], *(one for one in made[::-1] if one != made[2])]
    assert [one for one, _ in found] == expected
    assert found[0][1] == "A new name"


async def test_an_empty_thread(anybody: Frontend, door: Door) -> None:
    """A thread in which nothing was said has no title and no items; its notes stay here."""
    service = door.app.state.lifecycle._service
    session = await service.open_session(OwnerId("public"), metadata=(("secret", "note"),))
    status, document = await anybody.call("threads.get_by_id", thread_id=f"thr_{session.id.hex}")
    assert status == 200
    assert document.keys() == {"id", "created_at", "status", "metadata", "items"}
    assert document["metadata"] == {}
    assert document["created_at"].endswith("Z")


async def test_the_shared_owner_has_no_list(anybody: Frontend) -> None:
    """Nobody in particular sees nobody's threads; who knows an id has the right to it."""
    shown = await anybody.create("x")
    assert (await anybody.get(THREADS, "threads.list")).data == []
    assert await anybody.texts(shown.thread.id) == ["x", "You asked: x"]


async def test_running_and_failed(page: Frontend, door: Door) -> None:
    """Of an answer that is being written, or failed before its first word, there is no item."""
    door.llm.script(LLMRejected(""))
    shown = await page.create("x")
    door.llm.dictate().say("Half")
    asked = {"thread_id": shown.thread.id, "input": user_input("y")}
    async with page.open("threads.add_user_message", **asked) as stream:
        await until_text(stream, "Half")
        assert await page.texts(shown.thread.id) == ["x", "y"]


async def feedback_in(door: Door, shown: Shown) -> list[str | None]:
    """Return what is kept about each message of a thread."""
    session_id = SessionId(uuid_in(shown.thread.id))
    [owner_id] = [owner for owner, known in door.repository._kept if known == session_id]
    said = (await door.repository.messages(owner_id, session_id, limit=100)).items
    return [message.feedback.rating.value if message.feedback else None for message in said]


async def test_feedback(page: Frontend, door: Door) -> None:
    """Thumbs are kept with the answer, may flip, and may be about several at once."""
    first = await page.create("x")
    second = await page.add(first.thread.id, "y")
    answers = [list(shown.items)[-1] for shown in (first, second)]
    place = {"thread_id": first.thread.id}
    for kind, item_ids, expected in [
        ("positive", answers, [None, "up", None, "up"]),
        ("negative", answers[:1], [None, "down", None, "up"]),
        ("negative", answers[:1] * 3, [None, "down", None, "up"]),
        ("positive", [*answers, next(iter(second.items))], [None, "up", "up", "up"]),
        ("negative", [], [None, "up", "up", "up"]),
    ]:
        params = place | {"item_ids": item_ids, "kind": kind}
        assert await page.call("items.feedback", **params) == (200, {})
        assert await feedback_in(door, first) == expected


async def test_feedback_is_for_all_or_none(page: Frontend, door: Door) -> None:
    """One unknown item, and nothing is kept about any."""
    first, other = await page.create("x"), await page.create("other")
    answer = list(first.items)[-1]
    for unknown in (f"msg_{uuid4().hex}", "msg_1", "", list(other.items)[-1], first.thread.id):
        params = {"thread_id": first.thread.id, "item_ids": [answer, unknown], "kind": "positive"}
        status, problem = await page.call("items.feedback", **params)
        assert (status, problem["code"]) == (404, "message_not_found")
        assert await feedback_in(door, first) == [None, None]


async def test_delete(page: Frontend, door: Door) -> None:
    """An erased thread is gone, like one that never was."""
    shown = await page.create("x")
    place = {"thread_id": shown.thread.id}
    assert await page.call("threads.delete", **place) == (200, {})
    assert door.repository.is_empty
    for kind in ("threads.delete", "threads.get_by_id", "items.list"):
        status, problem = await page.call(kind, **place)
        assert (status, problem["code"]) == (404, "session_not_found")


def requests_about(thread_id: str, item_id: str) -> list[dict[str, Any]]:
    """Return every request about one thread."""
    return [
        body_of("threads.add_user_message", thread_id=thread_id, input=user_input("x")),
        body_of("threads.retry_after_item", thread_id=thread_id, item_id=item_id),
        body_of("threads.get_by_id", thread_id=thread_id),
        body_of("items.list", thread_id=thread_id),
        body_of("items.list", thread_id=thread_id, order="asc"),
        body_of("threads.update", thread_id=thread_id, title="mine"),
        body_of("threads.delete", thread_id=thread_id),
        body_of("items.feedback", thread_id=thread_id, item_ids=[item_id], kind="positive"),
    ]


KINDS = range(len(requests_about("", "")))


@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize("stranger", [VISITOR_B, None], ids=["visitor", "nobody"])
async def test_strangers(page: Frontend, door: Door, number: int, stranger: str | None) -> None:
    """G11: what is somebody else's, unknown, or no id at all, is refused alike, byte for byte."""
    shown = await page.create("x")
    places = [
        (shown.thread.id, next(iter(shown.items))),
        (shown.thread.id, list(shown.items)[-1]),
        (f"thr_{uuid4().hex}", f"msg_{uuid4().hex}"),
        ("thr_", "msg_"),
        (str(uuid_in(shown.thread.id)), "x"),
        (shown.thread.id.upper(), "😀" * 300),
    ]
    refusals = set()
    for place in places:
        answer = await door.client.post(
            PATH,
            json=requests_about(*place)[number],
            headers=(bearer(stranger) if stranger else {}) | {"x-request-id": "same"},
        )
        message_of(answer)
        refusals.add((answer.status_code, answer.content))
    assert len(refusals) == 1
    assert refusals.pop()[0] == 404
    assert (await page.get(THREAD, "threads.get_by_id", thread_id=shown.thread.id)).title == "x"
    assert await page.texts(shown.thread.id) == ["x", "You asked: x"]
    assert await feedback_in(door, shown) == [None, None]


UNSUPPORTED = [
    body_of("threads.add_client_tool_output", thread_id="t", result={"a": 1}),
    body_of("threads.add_structured_input", thread_id="t", item_id="i", input={"answers": {}}),
    body_of("threads.custom_action", thread_id="t", action={"type": "x", "payload": {}}),
    body_of("threads.sync_custom_action", thread_id="t", action={"type": "x", "payload": {}}),
    body_of("attachments.create", name="a.txt", size=1, mime_type="text/plain"),
    body_of("attachments.delete", attachment_id="a"),
    body_of("input.transcribe", audio_base64="", mime_type="audio/webm"),
    body_of("threads.create", input=user_input("x", attachments=["a"])),
    body_of("threads.add_user_message", thread_id="t", input=user_input("x", attachments=["a"])),
]


@pytest.mark.parametrize("body", UNSUPPORTED, ids=lambda body: str(body["type"]))
async def test_what_this_service_does_not_do(door: Door, body: dict[str, Any]) -> None:
    """It says so in one sentence, for good, and nothing happens."""
    answer = await post(door, body)
    assert answer.status_code == 400
    assert message_of(answer).endswith(".")
    assert door.repository.is_empty


GOOD = body_of("threads.create", input=user_input("x"))
BAD: list[tuple[Any, int, str]] = [
    (b"", 400, "JSON"),
    (b"{", 400, "JSON"),
    (b"\xff", 400, "UTF-8"),
    (b'{"type":"threads.list","type":"threads.list","params":{}}', 400, "twice"),
    (b'{"type":"threads.create","params":' + b"[" * 100 + b"]" * 100 + b"}", 400, "nested"),
    (json.dumps(GOOD).replace('"x"', '"\\ud800"').encode(), 422, "surrogate"),
    ([], 422, "object"),
    ({}, 422, "type"),
    ({"type": 1, "params": {}}, 422, "type"),
    ({"type": "threads.stop", "params": {}}, 422, "type"),
    ({"type": "threads.create"}, 422, "params"),
    ({"type": "threads.create", "params": {}}, 422, "input"),
    ({"type": "threads.create", "params": {"input": {"content": [{"text": "x"}]}}}, 422, "type"),
    (GOOD | {"params": {"input": user_input("x", quoted_text=7)}}, 422, "quoted_text"),
    (body_of("threads.create", input=user_input()), 422, "message is empty"),
    (body_of("threads.create", input=user_input(" \n")), 422, "message is empty"),
    (body_of("threads.create", input=user_input("x" * 32_001)), 422, "message is longer"),
    (body_of("threads.create", input=user_input("a\x00b")), 422, "NUL"),
    (body_of("threads.create", input=user_input("x", quoted_text="\n")), 422, "selected_text"),
    (body_of("threads.create", input=user_input("x", quoted_text="q" * 16_001)), 422, "longer"),
    (body_of("threads.list", limit=-1), 422, "limit"),
    (body_of("threads.list", after="nowhere"), 422, "after"),
    (body_of("threads.list", order="asc"), 400, "order"),
    (body_of("items.list", thread_id=f"thr_{'0' * 32}", after="bXXX"), 422, "after"),
    (body_of("items.feedback", thread_id="t", item_ids=["i"] * 101, kind="positive"), 422, "100"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD)
async def test_bad_requests(door: Door, body: Any, status: int, words: str) -> None:
    """Whatever is wrong is said in a sentence that a frontend can show; nothing is stored."""
    answer = await post(door, body)
    assert answer.status_code == status, answer.text
    assert words in message_of(answer)
    assert door.repository.is_empty


async def test_bad_titles(page: Frontend, door: Door) -> None:
    """A title that says nothing, or too much, is none."""
    place = {"thread_id": (await page.create("x")).thread.id}
    for title, words in [("", "empty"), ("t" * 201, "longer")]:
        answer = await post(door, body_of("threads.update", title=title, **place))
        assert (answer.status_code, words in message_of(answer)) == (422, True)
    assert (await page.get(THREAD, "threads.get_by_id", **place)).title == "x"


async def test_what_is_not_json(door: Door) -> None:
    """Only JSON, uncompressed, from somebody with an accepted credential, and not without end."""
    sent = json.dumps(GOOD).encode()
    as_json = {"content-type": "application/json"}
    for status, headers in [
        (415, {"content-type": "text/plain"}),
        (415, as_json | {"content-encoding": "gzip"}),
        (401, as_json | {"authorization": "Bearer sk-1"}),
    ]:
        answer = await door.client.post(PATH, content=sent, headers=headers)
        assert (answer.status_code, bool(message_of(answer))) == (status, True)
    answer = await post(door, b" " * 300_000 + sent)
    assert (answer.status_code, bool(message_of(answer))) == (413, True)
    assert door.repository.is_empty


async def test_unknown_fields_are_let_through(page: Frontend) -> None:
    """The protocol grows, and integrators send what they like along."""
    asked = body_of("threads.create", input=user_input("x"))
    asked |= {"metadata": {"page": [1, {"a": None}]}, "later": True}
    asked["params"]["later"] = asked["params"]["input"]["later"] = [None]
    answer = await open_raw(page, asked)
    assert answer.texts == ["x", "You asked: x"]


async def open_raw(page: Frontend, body: dict[str, Any]) -> Shown:
    """Send a body that the official types do not know."""
    async with request(page._place, "POST", PATH, body, *page._headers) as stream:
        return Shown.after(await events_of(stream))


async def test_a_store_that_does_not_answer(page: Frontend, door: Door) -> None:
    """What breaks behind the door is a problem with a message; it may be sent again."""
    shown = await page.create("x")
    door.repository.messages = _fails  # type: ignore[method-assign]
    answer = await post(door, body_of("items.list", thread_id=shown.thread.id))
    assert (answer.status_code, "secret" in answer.text) == (503, False)
    assert message_of(answer)


async def _fails(*_: Any, **__: Any) -> Any:
    raise StorageUnavailable("secret")


async def test_one_page_at_a_time(served: Place, door: Door) -> None:
    """Visitors see their own threads and no others."""
    a, b = Frontend(served, VISITOR_A), Frontend(served, VISITOR_B)
    mine, theirs = await a.create("mine"), await b.create("theirs")
    for one, shown in ((a, mine), (b, theirs)):
        [thread] = (await one.get(THREADS, "threads.list")).data
        assert thread.id == shown.thread.id


async def test_hidden_from_our_own_document() -> None:
    """The protocol is described elsewhere: our OpenAPI document is about our own API."""
    async with open_door() as door:
        schema = (await door.client.get("/schema/openapi.json")).json()
        assert PATH not in schema["paths"]
