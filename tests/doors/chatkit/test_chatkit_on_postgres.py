"""The ChatKit door of a real process, on a real PostgreSQL, in front of a real socket's model.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from tests.doors.chatkit.frontend import (
    THREAD,
    THREADS,
    Frontend,
    text_of,
    until_text,
    user_input,
)
from tests.http.sockets import Place
from tests.integration.served import serving
from tests.provider import Provider, Then, error, events, say, streamed

pytestmark = pytest.mark.postgres
HOSTILE = "<script>\n\ndata: x\r\n\u2028😀\\\"'"
PATIENCE_SECONDS = 20


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give the model."""
    async with Provider() as started:
        started.default(streamed(["Hello ", "there."]))
        yield started


@pytest.fixture
async def place(postgres_url: str, empty_schema: str, provider: Provider) -> AsyncIterator[Place]:
    """Give the service."""
    async with serving(
        DATABASE_URL=postgres_url,
        DATABASE_SCHEMA=empty_schema,
        OPENAI_BASE_URL=provider.base_url,
        LLM_MAX_ATTEMPTS="1",
    ) as service:
        host, _, port = service.address.removeprefix("http://").partition(":")
        yield host, int(port)


def visitor(place: Place) -> Frontend:
    """Return the page of a visitor who was never here."""
    return Frontend(place, f"visitor-{secrets.token_hex(32)}")


async def until_said(page: Frontend, thread_id: str, texts: list[str]) -> None:
    """Wait until this is what a thread holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await page.texts(thread_id) != texts:
            await asyncio.sleep(0.1)


async def test_a_conversation(place: Place, provider: Provider) -> None:
    """Begun, gone on with, retried, judged, renamed, listed and erased; strangers see nothing."""
    page, stranger = visitor(place), visitor(place)
    provider.script(streamed([HOSTILE, "!"]), error(400, "secret"))
    first = await page.create(HOSTILE, quoted_text=HOSTILE)
    thread_id, question = first.thread.id, next(iter(first.items))
    assert first.texts == [HOSTILE, f"{HOSTILE}!"]
    failed = await page.add(thread_id, "second?")
    assert (failed.texts, len(failed.errors)) == (["second?"], 1)
    assert "secret" not in failed.errors[0].message
    assert await page.items(thread_id) == [*first.items.values(), *failed.items.values()]
    assert (await page.items(thread_id, order="desc", limit=1))[::-1] == await page.items(thread_id)

    for _ in range(2):
        again = await page.retry(thread_id, question)
        assert again.texts == ["Hello there."]
    assert [item.id for item in await page.items(thread_id)] == [question, *again.items]
    judged = {"thread_id": thread_id, "item_ids": list(again.items), "kind": "negative"}
    assert await page.call("items.feedback", **judged) == (200, {})
    assert (await stranger.call("items.feedback", **judged))[0] == 404

    renamed = {"thread_id": thread_id, "title": "Renamed"}
    assert (await stranger.call("threads.update", **renamed))[0] == 404
    assert (await page.get(THREAD, "threads.update", **renamed)).title == "Renamed"
    [listed] = (await page.get(THREADS, "threads.list")).data
    assert (listed.id, listed.title) == (thread_id, "Renamed")
    assert (await stranger.get(THREADS, "threads.list")).data == []
    found = await page.get(THREAD, "threads.get_by_id", thread_id=thread_id)
    assert [text_of(item) for item in found.items.data] == [HOSTILE, "Hello there."]

    assert await page.call("threads.delete", thread_id=thread_id) == (200, {})
    assert (await page.call("threads.get_by_id", thread_id=thread_id))[0] == 404


async def test_repeats(place: Place, provider: Provider) -> None:
    """What is sent several times at once, or again, is asked once; later it is a question."""
    page = visitor(place)
    created = await asyncio.gather(*(page.create("yes") for _ in range(4)))
    thread_id = created[0].thread.id
    assert {shown.thread.id for shown in created} == {thread_id}
    assert (await page.create("yes")).thread.id == thread_id
    added = await asyncio.gather(*(page.add(thread_id, "and?") for _ in range(4)))
    assert all(shown == added[0] for shown in added)
    retried = await asyncio.gather(
        *(page.retry(thread_id, next(iter(added[0].items))) for _ in range(2))
    )
    # The second may come when the first has ended: then it is another retry.
    assert [shown.texts for shown in retried] == [["Hello there."]] * 2
    assert len([one for one in provider.requests if one.method == "POST"]) in (3, 4)
    assert await page.texts(thread_id) == ["yes", "Hello there.", "and?", "Hello there."]


async def test_leaving(place: Place, provider: Provider) -> None:
    """Who leaves stops the answer after the grace; what had come is kept, and the call ends."""
    page = visitor(place)
    provider.script(events(say("Half "), 1.0, say("an answer"), Then.HANG))
    async with page.open("threads.create", input=user_input("x")) as stream:
        shown = await until_text(stream, "Half ")
        stream.leave()
    await asyncio.sleep(1)
    assert await page.texts(shown.thread.id) == ["x"]
    await until_said(page, shown.thread.id, ["x", "Half an answer"])
    async with asyncio.timeout(PATIENCE_SECONDS):
        while provider.open_calls:
            await asyncio.sleep(0.05)
    assert (await page.add(shown.thread.id, "y")).texts == ["y", "Hello there."]
