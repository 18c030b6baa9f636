"""ChatKit's stop button: a reader that leaves stops the answer, unless somebody else reads it.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.doors.chatkit.conftest import GRACE_SECONDS
from tests.doors.chatkit.frontend import (
    Frontend,
    Shown,
    events_of,
    until_text,
    user_input,
    uuid_in,
)
from tests.http.door import VISITOR_A, Door, bearer, open_door
from tests.http.sockets import serving
from tests.http.streams import request

LONG_AFTER = 2 * GRACE_SECONDS


async def status_of(door: Door, shown: Shown) -> str:
    """Return where the first turn of a thread stands."""
    path = f"/sessions/{uuid_in(shown.thread.id)}/messages"
    answer = await door.client.get(path, headers=bearer(VISITOR_A))
    return str(answer.json()["items"][0]["turn_status"])


async def stops(door: Door, shown: Shown) -> float:
    """Wait until a turn has stopped; return when, in seconds."""
    async with asyncio.timeout(10):
        while await status_of(door, shown) == "running":
            await asyncio.sleep(0.01)
    assert await status_of(door, shown) == "stopped"
    return time.monotonic()


async def test_who_leaves_stops(page: Frontend, door: Door) -> None:
    """The answer goes on for a grace, then ends; what had come by then is kept."""
    told = door.llm.dictate()
    told.say("Half ")
    async with page.open("threads.create", input=user_input("x")) as stream:
        shown = await until_text(stream, "Half ")
        left_at = time.monotonic()
        stream.leave()
    await asyncio.sleep(GRACE_SECONDS / 3)
    told.say("an answer")
    assert await stops(door, shown) > left_at + GRACE_SECONDS * 2 / 3
    assert await page.texts(shown.thread.id) == ["x", "Half an answer"]
    assert door.llm.running == 0
    assert (await page.add(shown.thread.id, "y")).texts == ["y", "You asked: y"]


async def test_what_ends_within_the_grace_is_whole(page: Frontend, door: Door) -> None:
    """Leaving just before the end loses nothing."""
    told = door.llm.dictate()
    told.say("Half ")
    async with page.open("threads.create", input=user_input("x")) as stream:
        shown = await until_text(stream, "Half ")
        stream.leave()
    told.say("and half.")
    told.end()
    await asyncio.sleep(LONG_AFTER)
    assert await status_of(door, shown) == "completed"
    assert await page.texts(shown.thread.id) == ["x", "Half and half."]


async def test_somebody_else_reads(page: Frontend, door: Door) -> None:
    """While anybody reads it, over whatever door, an answer goes on; the last to leave ends it."""
    told = door.llm.dictate()
    told.say("Half ")
    async with page.open("threads.create", input=user_input("x")) as stream:
        shown = await until_text(stream, "Half ")
        answer = list(shown.items)[-1]
        path = f"/sessions/{uuid_in(shown.thread.id)}/turns/{uuid_in(answer)}/events"
        header = f"Authorization: Bearer {VISITOR_A}"
        async with request(page._place, "GET", path, None, header) as native:
            stream.leave()
            await asyncio.sleep(LONG_AFTER)
            assert await status_of(door, shown) == "running"
            async with page.open("threads.create", input=user_input("x")) as third:
                await until_text(third, "Half ")
                left_at = time.monotonic()
                native.leave()
                third.leave()
    assert await stops(door, shown) > left_at + GRACE_SECONDS * 2 / 3


async def test_two_who_leave_together(page: Frontend, door: Door) -> None:
    """Two readers do not wait for each other for ever."""
    door.llm.dictate().say("Half ")
    async with page.open("threads.create", input=user_input("x")) as one:
        shown = await until_text(one, "Half ")
        async with page.open("threads.create", input=user_input("x")) as two:
            await until_text(two, "Half ")
            one.leave()
            two.leave()
    await stops(door, shown)
    assert await page.texts(shown.thread.id) == ["x", "Half "]


async def test_who_comes_back_in_time(page: Frontend, door: Door) -> None:
    """The grace is for whoever lost the connection: a retry within it reads to the end."""
    told = door.llm.dictate()
    told.say("Half ")
    async with page.open("threads.create", input=user_input("x")) as stream:
        shown = await until_text(stream, "Half ")
        stream.leave()
    place = {"thread_id": shown.thread.id, "item_id": next(iter(shown.items))}
    async with page.open("threads.retry_after_item", **place) as stream:
        again = await until_text(stream, "Half ")
        await asyncio.sleep(LONG_AFTER)
        told.say("and half.")
        told.end()
        for event in await events_of(stream):
            again.take(event)
    assert again.texts == ["Half and half."]
    assert await status_of(door, shown) == "completed"


@pytest.fixture
async def patient() -> AsyncIterator[Door]:
    """Give the application where leaving means nothing."""
    async with open_door(CHATKIT_DISCONNECT="continue") as opened:
        opened.app.state.chatkit_grace_seconds = GRACE_SECONDS
        yield opened


async def test_leaving_may_mean_nothing(patient: Door) -> None:
    """With `continue` the answer is written to its end."""
    told = patient.llm.dictate()
    told.say("Half ")
    async with serving(patient.app) as (place, _):
        page = Frontend(place, VISITOR_A)
        async with page.open("threads.create", input=user_input("x")) as stream:
            shown = await until_text(stream, "Half ")
            stream.leave()
        await asyncio.sleep(LONG_AFTER)
        assert await status_of(patient, shown) == "running"
        told.say("and half.")
        told.end()
        async with asyncio.timeout(5):
            while await status_of(patient, shown) == "running":
                await asyncio.sleep(0.01)
        assert await page.texts(shown.thread.id) == ["x", "Half and half."]
