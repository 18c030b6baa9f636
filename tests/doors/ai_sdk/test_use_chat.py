"""The real hook `useChat`, in both versions, over real HTTP: what people do on a page.

May import: standard library, chatcore, pytest, tests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatcore import LLMRejected, StorageUnavailable
from tests.doors.ai_sdk.pages import Browser, Page, Shown
from tests.http.door import VISITOR_A, VISITOR_B, Door, bearer

pytestmark = pytest.mark.node

CHAT = "a-chat-of-sixteen-characters"
SECRET = "the provider's own words"


async def history(door: Door, chat: str = CHAT, token: str = VISITOR_A) -> list[dict[str, Any]]:
    """Return what the door says was said."""
    answer = await door.client.get(f"/api/chat/{chat}", headers=bearer(token))
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


async def reloaded(browser: Browser, door: Door, **options: Any) -> Page:
    """Open the chat anew, with what the door says was said."""
    return await browser.open(CHAT, messages=await history(door), **options)


def asked_of_model(door: Door) -> list[str]:
    """Return the texts of the latest request to the model."""
    messages = json.loads(door.llm.requests[-1].body)["messages"]
    return [message["content"] for message in messages[1:]]


def without_state(shown: Shown) -> list[dict[str, Any]]:
    """Return a page's messages without what the client adds: that text is all there."""
    messages: list[dict[str, Any]] = json.loads(json.dumps(shown.messages))
    for message in messages:
        for part in message["parts"]:
            part.pop("state", None)
    return messages


@pytest.mark.parametrize("shape", ["all", "last"])
async def test_a_conversation(door: Door, browser: Browser, shape: str) -> None:
    """Several turns stream, the model gets what was said, and a reload shows the same."""
    page = await browser.open(CHAT, shape=shape)
    said = door.llm.dictate()
    await page.begin("one")
    said.say("first ", "half, ")
    half = await page.until(text="first half, ")
    assert half.status == "streaming"
    said.say("whole.")
    said.end()
    await page.until(status="ready", text="whole.")
    await page.send("two")
    shown = await page.send("three")
    assert (shown.status, shown.errors) == ("ready", [])
    assert shown.said == [
        ("user", "one"),
        ("assistant", "first half, whole."),
        ("user", "two"),
        ("assistant", "You asked: two"),
        ("user", "three"),
        ("assistant", "You asked: three"),
    ]
    assert asked_of_model(door) == shown.texts[:-1]
    assert [each["finishReason"] for each in shown.finishes] == ["stop"] * 3
    stored = await history(door)
    assistants = [each for each in without_state(shown) if each["role"] == "assistant"]
    assert [each for each in stored if each["role"] == "assistant"] == assistants
    assert [each["id"] for each in stored] == shown.names


async def test_both_shapes_end_in_one_history(door: Door, browser: Browser) -> None:
    """A chat goes on however much of it is sent, after reloads too."""
    first = await browser.open(CHAT, shape="all")
    await first.send("one")
    second = await reloaded(browser, door, shape="last")
    await second.send("two")
    third = await reloaded(browser, door, shape="all")
    shown = await third.send("three")
    assert shown.texts[::2] == ["one", "two", "three"]
    assert asked_of_model(door) == shown.texts[:-1]
    assert [each["id"] for each in await history(door)] == shown.names


async def test_an_error_before_the_stream(door: Door, browser: Browser) -> None:
    """The page shows our problem, and tries again without asking twice or losing the question."""
    page = await browser.open(CHAT)
    door.repository.error = StorageUnavailable(SECRET)
    shown = await page.send("one")
    assert (shown.status, shown.texts) == ("error", ["one"])
    assert shown.error is not None
    assert json.loads(shown.error)["code"] == "storage_unavailable"
    assert SECRET not in shown.error
    door.repository.error = None
    shown = await page.run("regenerate")
    assert (shown.status, shown.texts) == ("ready", ["one", "You asked: one"])
    assert [each["id"] for each in await history(door)] == shown.names


async def test_a_chat_that_anybody_could_guess(door: Door, browser: Browser) -> None:
    """Without a credential a short chat id is refused, with a hint; a long one is not."""
    shown = await (await browser.open("chat", token=None)).send("one")
    assert "visitor token" in (shown.error or "")
    assert door.repository.is_empty
    shown = await (await browser.open(CHAT, token=None)).send("one")
    assert shown.status == "ready"


async def test_an_error_in_the_stream(door: Door, browser: Browser) -> None:
    """What had come stays, the error is in our words, and asking again puts all right."""
    page = await browser.open(CHAT)
    said = door.llm.dictate()
    await page.begin("one")
    said.say("half ")
    await page.until(text="half ")
    said.fail(LLMRejected(SECRET))
    shown = await page.until(status="error")
    assert shown.error == "The model does not take this request."
    assert shown.texts == ["one", "half "]
    assert shown.messages[-1]["metadata"]["status"] == "failed"
    assert without_state(shown)[-1] == (await history(door))[-1] | {
        "metadata": shown.messages[-1]["metadata"]
    }
    shown = await page.run("regenerate")
    assert (shown.status, shown.texts) == ("ready", ["one", "You asked: one"])
    assert [each["id"] for each in await history(door)] == shown.names


async def test_an_error_before_any_text(door: Door, browser: Browser) -> None:
    """A question without an answer stays, and the next one leaves it alone: in both shapes."""
    page = await browser.open(CHAT)
    await page.send("one")
    door.llm.script(LLMRejected(SECRET))
    shown = await page.send("two")
    assert (shown.status, shown.error) == ("error", "The model does not take this request.")
    shown = await page.send("three")
    assert shown.status == "ready"
    assert [each["parts"] for each in await history(door) if each["role"] == "user"] == [
        [{"text": text, "type": "text"}] for text in ("one", "two", "three")
    ]


@pytest.mark.parametrize("shape", ["all", "last"])
async def test_asking_once_more_after_an_error(door: Door, browser: Browser, shape: str) -> None:
    """`sendMessage()` without a message asks the last one again, in its place."""
    page = await browser.open(CHAT, shape=shape)
    door.llm.script(LLMRejected(SECRET))
    await page.send("one")
    await page.run("setMessages", (await page.until()).messages[:1])
    shown = await page.run("sendMessage")
    assert (shown.status, shown.texts) == ("ready", ["one", "You asked: one"])
    assert [each["id"] for each in await history(door)] == shown.names


async def test_stopping(door: Door, browser: Browser) -> None:
    """The stop button of the documentation: the part is kept, readers end, the chat goes on."""
    page = await browser.open(CHAT)
    watcher = await browser.open(CHAT)
    said = door.llm.dictate()
    await page.begin("one")
    said.say("half ")
    await page.until(text="half ")
    await watcher.start("resumeStream")
    await watcher.until(text="half ")
    stop = await door.client.post(
        f"/api/chat/{CHAT}/stop",
        json={"assistantMessage": {"id": "x", "role": "assistant", "parts": []}},
        headers=bearer(VISITOR_A),
    )
    assert (stop.status_code, stop.json()) == (200, {"success": True})
    for each in (page, watcher):
        shown = await each.until(status="ready", finishes=1)
        assert (shown.errors, shown.texts[-1]) == ([], "half ")
        assert shown.messages[-1]["metadata"]["status"] == "stopped"
    shown = await page.send("two")
    assert shown.texts == ["one", "half ", "two", "You asked: two"]
    assert asked_of_model(door) == ["one", "half ", "two"]
    assert door.llm.running == 0


async def test_leaving_is_not_stopping(door: Door, browser: Browser) -> None:
    """G5: `stop()` alone, or leaving the page, only leaves; a reload shows the whole answer."""
    page = await browser.open(CHAT)
    said = door.llm.dictate()
    await page.begin("one")
    said.say("half, ")
    await page.until(text="half, ")
    assert (await page.run("stop")).status == "ready"
    await page.close()
    again = await reloaded(browser, door, resume=True)
    await again.until(status="streaming", text="half, ")
    said.say("whole.")
    said.end()
    shown = await again.until(status="ready", text="half, whole.")
    assert shown.texts == ["one", "half, whole."]
    assert shown.errors == []
    assert [each["id"] for each in await history(door)] == shown.names


async def test_coming_back_on_the_same_page(door: Door, browser: Browser) -> None:
    """G6: who comes back with half an answer on the screen sees no word twice."""
    page = await browser.open(CHAT)
    await page.send("one")
    said = door.llm.dictate()
    await page.begin("two")
    said.say("half, ")
    await page.until(text="half, ")
    await page.run("stop")
    await page.start("resumeStream")
    await page.until(status="streaming", text="half, ")
    said.say("whole.")
    said.end()
    shown = await page.until(status="ready", text="whole.")
    assert shown.texts == ["one", "You asked: one", "two", "half, whole."]
    assert [each["id"] for each in await history(door)] == shown.names


async def test_nothing_to_come_back_to(door: Door, browser: Browser) -> None:
    """A fresh chat and a finished one open without an error and without asking anything."""
    fresh = await browser.open(CHAT, resume=True)
    assert (await fresh.until(status="ready")).messages == []
    await fresh.send("one")
    page = await reloaded(browser, door, resume=True)
    shown = await page.run("resumeStream")
    assert (shown.status, shown.errors) == ("ready", [])
    assert shown.texts == ["one", "You asked: one"]
    assert len(door.llm.requests) == 1


async def test_typing_on_while_an_answer_comes(door: Door, browser: Browser) -> None:
    """The answer makes room and keeps its part; nobody is told that the chat is busy."""
    page = await browser.open(CHAT)
    said = door.llm.dictate()
    await page.begin("one")
    said.say("half ")
    await page.until(text="half ")
    await page.run("stop")
    shown = await page.send("two")
    assert (shown.errors, shown.texts) == ([], ["one", "half ", "two", "You asked: two"])
    assert asked_of_model(door) == ["one", "half ", "two"]
    assert [each["id"] for each in await history(door)] == shown.names


@pytest.mark.parametrize("shape", ["all", "last"])
async def test_editing(door: Door, browser: Browser, shape: str) -> None:
    """An edited question takes the place of the old one, and what followed is gone."""
    page = await browser.open(CHAT, shape=shape)
    for text in ("one", "two", "three"):
        await page.send(text)
    name = (await page.until()).names[2]
    shown = await page.send("other", messageId=name)
    assert shown.texts == ["one", "You asked: one", "other", "You asked: other"]
    assert asked_of_model(door) == shown.texts[:-1]
    shown = await page.send("four")
    assert asked_of_model(door) == shown.texts[:-1]
    stored = await history(door)
    assert [each["id"] for each in stored] == shown.names
    assert stored[2]["id"] == name


@pytest.mark.parametrize("shape", ["all", "last"])
async def test_regenerating(door: Door, browser: Browser, shape: str) -> None:
    """The last answer, any answer, and the answer to a question can be had again."""
    page = await browser.open(CHAT, shape=shape)
    for text in ("one", "two"):
        await page.send(text)
    door.llm.script("second")
    shown = await page.run("regenerate")
    assert shown.texts == ["one", "You asked: one", "two", "second"]
    assert asked_of_model(door) == shown.texts[:-1]
    door.llm.script("third")
    shown = await page.run("regenerate", {"messageId": shown.names[3]})
    assert shown.texts == ["one", "You asked: one", "two", "third"]
    door.llm.script("fourth")
    shown = await page.run("regenerate", {"messageId": shown.names[0]})
    assert (shown.errors, shown.texts) == ([], ["one", "fourth"])
    assert [each["id"] for each in await history(door)] == shown.names
    shown = await page.send("five")
    assert asked_of_model(door) == ["one", "fourth", "five"]


async def test_a_page_that_cuts_its_history(door: Door, browser: Browser) -> None:
    """Where a page drops messages and sends all that is left, the rest is gone at the door too."""
    page = await browser.open(CHAT)
    for text in ("one", "two", "three"):
        await page.send(text)
    await page.run("setMessages", (await page.until()).messages[:2])
    shown = await page.send("other")
    assert shown.texts == ["one", "You asked: one", "other", "You asked: other"]
    assert asked_of_model(door) == shown.texts[:-1]
    assert [each["id"] for each in await history(door)] == shown.names


async def test_two_people_in_one_chat(door: Door, browser: Browser) -> None:
    """G11: two owners who make up the same chat id never meet."""
    mine = await browser.open(CHAT, token=VISITOR_A)
    theirs = await browser.open(CHAT, token=VISITOR_B)
    await mine.send("mine")
    said = door.llm.dictate()
    await mine.begin("more of mine")
    said.say("half ")
    await mine.until(text="half ")
    await theirs.run("resumeStream")
    await theirs.send("theirs")
    assert asked_of_model(door) == ["theirs"]
    said.end()
    assert (await mine.until(status="ready")).texts[-1] == "half "
    assert [each["id"] for each in await history(door, token=VISITOR_B)] == (
        await theirs.until()
    ).names


async def test_a_chat_from_another_door(door: Door, browser: Browser) -> None:
    """A session that began elsewhere is a chat under its id, to be read, edited, gone on with."""
    headers = bearer(VISITOR_A)
    passage = {"text": "gears", "title": "Gears"}
    door.llm.script("first")
    begun = await door.client.post(
        "/chat", json={"message": "one", "selected_text": passage}, headers=headers
    )
    chat = begun.json()["session_id"]
    page = await browser.open(chat, messages=await history(door, chat))
    shown = await page.send("two")
    assert shown.texts == ["one", "first", "two", "You asked: two"]
    assert shown.messages[0]["metadata"]["selected_text"] == passage | {"url": None, "anchor": None}
    name = shown.names[0]
    door.llm.script("second")
    shown = await page.send("other", messageId=name)
    assert shown.texts == ["other", "second"]
    assert "gears" in asked_of_model(door)[0]
    door.llm.script("again")
    shown = await page.run("regenerate")
    assert shown.texts == ["other", "again"]
    assert (
        [each["id"] for each in await history(door, chat)]
        == shown.names
        == [
            name,
            shown.names[1],
        ]
    )
    items = await door.client.get(f"/sessions/{chat}/messages", headers=headers)
    assert [each["content"] for each in items.json()["items"]][-2:] == ["other", "again"]
