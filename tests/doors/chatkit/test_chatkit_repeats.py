"""G2 over ChatKit: a question that the frontend sends again, on its own, is asked once.

May import: standard library, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatcore import LLMRejected
from tests.doors.chatkit.frontend import (
    THREADS,
    Frontend,
    Shown,
    events_of,
    next_event,
    until_text,
    user_input,
)
from tests.http.door import VISITOR_B, Door
from tests.http.sockets import Place

AT_ONCE = 5
LATER = 10  # readings of the clock, a second each


async def rest_of(stream: Any, shown: Shown) -> Shown:
    """Read a stream to its end."""
    for event in await events_of(stream):
        shown.take(event)
    return shown


async def pass_time(page: Frontend, thread_id: str) -> None:
    """Let the clock of the tests go on: it moves whenever it is read."""
    for _ in range(LATER):
        await page.call("threads.update", thread_id=thread_id, title="Renamed")


async def asked_in(page: Frontend, thread_id: str | None, text: str) -> Shown:
    """Ask in a thread, or in a new one."""
    return await (page.create(text) if thread_id is None else page.add(thread_id, text))


@pytest.mark.parametrize("is_new", [True, False], ids=["create", "add"])
async def test_several_at_once(page: Frontend, door: Door, is_new: bool) -> None:
    """The same question, sent several times at once, is one question, shown to all."""
    thread_id = None if is_new else (await page.create("before")).thread.id
    calls = len(door.llm.requests)
    door.repository.may_answer.clear()
    asking = [asyncio.create_task(asked_in(page, thread_id, "yes")) for _ in range(AT_ONCE)]
    await asyncio.sleep(0.2)  # all of them have looked, and found nothing
    door.repository.may_answer.set()
    shown = await asyncio.gather(*asking)
    assert len(door.llm.requests) == calls + 1
    assert all(one == shown[0] for one in shown)
    assert shown[0].texts == ["yes", "You asked: yes"]
    threads = await page.get(THREADS, "threads.list")
    assert len(threads.data) == 1
    assert (await page.texts(threads.data[0].id))[-2:] == shown[0].texts


@pytest.mark.parametrize("is_new", [True, False], ids=["create", "add"])
async def test_again_while_it_is_answered(page: Frontend, door: Door, is_new: bool) -> None:
    """The connection broke, the question is sent again: the second reader gets all of it."""
    thread_id = None if is_new else (await page.create("before")).thread.id
    told = door.llm.dictate()
    told.say("One ")
    kind = "threads.create" if is_new else "threads.add_user_message"
    params = {"input": user_input("yes")} | ({} if is_new else {"thread_id": thread_id})
    async with page.open(kind, **params) as stream:
        first = await until_text(stream, "One ")
        stream.leave()
    async with page.open(kind, **params) as stream:
        second = await until_text(stream, "One ")
        told.say("two.")
        told.end()
        await rest_of(stream, second)
    assert list(second.items) == list(first.items)
    assert second.texts == ["yes", "One two."]
    assert (await page.texts(thread_id or second.thread.id))[-2:] == second.texts


@pytest.mark.parametrize("is_new", [True, False], ids=["create", "add"])
async def test_again_a_moment_later(page: Frontend, door: Door, is_new: bool) -> None:
    """An answer that has just come is shown again; a while later the question is a second one."""
    thread_id = None if is_new else (await page.create("before")).thread.id
    first = await asked_in(page, thread_id, "yes")
    calls = len(door.llm.requests)
    assert await asked_in(page, thread_id, "yes") == first
    assert len(door.llm.requests) == calls
    await pass_time(page, thread_id or first.thread.id)
    later = await asked_in(page, thread_id, "yes")
    assert not set(later.items) & set(first.items)
    assert len(door.llm.requests) == calls + 1


async def test_yes_and_yes_again(page: Frontend) -> None:
    """Two questions in one breath are two if they differ, in their passage too."""
    thread_id = (await page.create("before")).thread.id
    for passage in (None, "a", "b"):
        await page.add(thread_id, "yes", quoted_text=passage)
    await page.add(thread_id, "no")
    await page.add(thread_id, "yes", quoted_text="b")
    assert (await page.texts(thread_id))[2::2] == ["yes", "yes", "yes", "no", "yes"]


async def test_what_failed_is_asked_again(page: Frontend, door: Door) -> None:
    """A question without an answer is no repeat of itself."""
    door.llm.script(LLMRejected(""), LLMRejected(""))
    first = await page.create("yes")
    assert (await page.create("yes")).thread != first.thread
    await page.add(first.thread.id, "yes")
    assert await page.texts(first.thread.id) == ["yes", "yes", "You asked: yes"]


async def test_what_was_erased_is_asked_again(page: Frontend) -> None:
    """A thread that is gone does not come back for the same question."""
    first = await page.create("yes")
    await page.call("threads.delete", thread_id=first.thread.id)
    second = await page.create("yes")
    assert second.thread.id != first.thread.id
    assert second.texts == ["yes", "You asked: yes"]


async def test_what_was_renamed_is_no_repeat(page: Frontend) -> None:
    """Somebody has been in the thread since: the same question begins another one."""
    first = await page.create("yes")
    await page.call("threads.update", thread_id=first.thread.id, title="Renamed")
    assert (await page.create("yes")).thread.id != first.thread.id


async def test_a_retry_joins_what_runs(page: Frontend, door: Door) -> None:
    """Whoever lost the stream and presses retry sees the answer that is being written."""
    told = door.llm.dictate()
    told.say("One ")
    async with page.open("threads.create", input=user_input("yes")) as stream:
        first = await until_text(stream, "One ")
        stream.leave()
    place = {"thread_id": first.thread.id, "item_id": next(iter(first.items))}
    async with page.open("threads.retry_after_item", **place) as stream:
        again = await until_text(stream, "One ")
        told.end()
        await rest_of(stream, again)
    assert list(again.items) == list(first.items)[1:]
    assert len(door.llm.requests) == 1


async def test_retries_at_once(page: Frontend, door: Door) -> None:
    """A retry that is sent twice is one."""
    first = await page.create("yes")
    place = first.thread.id, next(iter(first.items))
    door.repository.may_answer.clear()
    asking = [asyncio.create_task(page.retry(*place)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0.2)
    door.repository.may_answer.set()
    shown = await asyncio.gather(*asking)
    assert all(one == shown[0] for one in shown)
    assert len(door.llm.requests) == 2
    assert list(await page.texts(first.thread.id)) == ["yes", "You asked: yes"]


async def test_strangers_are_never_led_together(
    served: Place, page: Frontend, anybody: Frontend
) -> None:
    """Whoever asks the same at the same time gets a thread of their own."""
    pages = [page, Frontend(served, VISITOR_B), anybody, Frontend(served)]
    shown = await asyncio.gather(*(one.create("yes") for one in pages))
    assert len({one.thread.id for one in shown}) == len(pages)


async def test_a_question_of_nobody_in_particular(anybody: Frontend, door: Door) -> None:
    """In a thread that exists the shared owner's repeats are joined too."""
    thread_id = (await anybody.create("before")).thread.id
    first = await anybody.add(thread_id, "yes")
    assert await anybody.add(thread_id, "yes") == first
    assert len(door.llm.requests) == 2


async def test_a_stopped_answer_is_no_answer(page: Frontend, door: Door) -> None:
    """Whoever stopped and asks the same again wants another answer."""
    door.llm.dictate().say("Half")
    async with page.open("threads.create", input=user_input("yes")) as stream:
        first = await until_text(stream, "Half")
    async with asyncio.timeout(5):
        while len(await page.items(first.thread.id)) < 2:
            await asyncio.sleep(0.05)
    again = await page.add(first.thread.id, "yes")
    assert again.texts == ["yes", "You asked: yes"]
    assert await page.texts(first.thread.id) == ["yes", "Half", *again.texts]


async def test_first_event_of_a_repeat(page: Frontend, door: Door) -> None:
    """A repeated create begins with its thread, like the first one."""
    await page.create("yes")
    async with page.open("threads.create", input=user_input("yes")) as stream:
        assert (await next_event(stream)).type == "thread.created"
    assert len(door.llm.requests) == 1
