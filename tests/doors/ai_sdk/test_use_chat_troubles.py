"""The real hook `useChat`, in both versions, over real HTTP: what happens to people on a page.

May import: standard library, app, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.http.event_stream import KEEP_ALIVE_STATE
from chatcore import LLMUnavailable
from tests.doors.ai_sdk.pages import Browser
from tests.http.door import VISITOR_A, Door, bearer, open_door
from tests.markup import HOSTILE

pytestmark = pytest.mark.node

CHAT = "a-chat-of-sixteen-characters"
SECRET = "the provider's own words"
WIRE = [
    "line\nline\r\nline\rdata: {}\n\nevent: done\n\n: comment\n\ndata: [DONE]\n\n",
    'data: {"type":"error","errorText":"x"}\n\n',
    '{"type":"text-end","id":"text-1"}',
    "\u2028\u2029\u0085\u000b\u000c\u0001\u007f\ufeff",
    "a é 😀 👩\u200d🔬 e\u0301 \u202eltr \\\\ \" ' ` ${x} %s {}",
]


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Give the application without a socket; the model is asked twice, if need be."""
    async with open_door(LLM_MAX_ATTEMPTS="2") as opened:
        yield opened


async def test_hostile_texts(door: Door, browser: Browser) -> None:
    """G14: whatever is asked and answered is shown as it is, character by character."""
    page = await browser.open(CHAT, shape="last")
    texts = [*WIRE, "\n".join(HOSTILE)]
    for text in texts:
        said = door.llm.dictate()
        # Cut within what might look like a line of the stream.
        said.say(text[:1], text[1:7], text[7:])
        said.end()
        shown = await page.send(text)
        assert (shown.errors, shown.texts[-2:]) == ([], [text, text])
    stored = await door.client.get(f"/api/chat/{CHAT}", headers=bearer(VISITOR_A))
    again = await (await browser.open(CHAT, messages=stored.json())).until()
    assert again.said == shown.said


async def test_model_output_that_cannot_be_stored(door: Door, browser: Browser) -> None:
    """G14: NULs and halves of characters are repaired before anybody sees them."""
    page = await browser.open(CHAT)
    door.llm.script("a\x00b\ud800c")
    shown = await page.send("one")
    assert (shown.status, shown.texts[-1]) == ("ready", "a\ufffdb\ufffdc")


async def test_questions_that_cannot_be_stored(door: Door, browser: Browser) -> None:
    """G14: they are refused, with the reason, and nothing is changed."""
    page = await browser.open(CHAT)
    for text in ("a\x00b", "a\ud800b", " ", "x" * 32_001):
        shown = await page.send(text)
        assert shown.status == "error"
        assert "invalid_request" in (shown.error or "")
        await page.run("setMessages", [])
    assert door.repository.is_empty


async def test_an_answer_that_starts_over(door: Door, browser: Browser) -> None:
    """G6: what came before counts no more, and is marked so; who comes in later never sees it."""
    first, second = door.llm.dictate(), door.llm.dictate()
    page = await browser.open(CHAT)
    late = await browser.open(CHAT)
    await page.begin("one")
    first.say("wrong ")
    await page.until(text="wrong ")
    first.fail(LLMUnavailable(SECRET))
    second.say("right, ")
    shown = await page.until(text="right, ")
    parts = shown.messages[-1]["parts"]
    assert [part["type"] for part in parts] == ["text", "data-restart", "text"]
    assert parts[0] == {"type": "text", "text": "wrong ", "state": "done"}
    assert parts[1]["data"] == {"text_parts_before": 1}
    await late.start("resumeStream")
    await late.until(text="right, ")
    second.say("and whole.")
    second.end()
    shown = await page.until(status="ready", text="whole.")
    assert shown.messages[-1]["parts"][-1]["text"] == "right, and whole."
    seen = await late.until(status="ready", text="whole.")
    assert [part["type"] for part in seen.messages[-1]["parts"]] == ["text"]
    stored = await door.client.get(f"/api/chat/{CHAT}", headers=bearer(VISITOR_A))
    assert stored.json()[-1]["parts"] == [{"type": "text", "text": "right, and whole."}]
    assert (await page.send("two")).texts[-1] == "You asked: two"


async def test_an_answer_that_starts_over_before_any_text(door: Door, browser: Browser) -> None:
    """Nobody notices."""
    door.llm.script(LLMUnavailable(SECRET), "right")
    shown = await (await browser.open(CHAT)).send("one")
    assert [part["type"] for part in shown.messages[-1]["parts"]] == ["text"]
    assert (shown.status, shown.texts) == ("ready", ["one", "right"])


async def test_a_process_that_shuts_down(door: Door, browser: Browser) -> None:
    """The page keeps what came, does not take it for the whole, and is told to come back."""
    page = await browser.open(CHAT)
    said = door.llm.dictate()
    await page.begin("one")
    said.say("half ")
    await page.until(text="half ")
    await door.app.state.lifecycle._service.close(timeout_seconds=0)
    shown = await page.until(status="error")
    assert shown.error == (
        "The connection ended before the answer did. Reload the page to see the rest."
    )
    assert shown.texts == ["one", "half "]
    shown = await page.send("two")
    assert "service_stopping" in (shown.error or "")


async def test_a_chat_that_is_erased_while_it_is_answered(door: Door, browser: Browser) -> None:
    """G12: the page is told, in our words; the next question begins a chat of the same name."""
    page = await browser.open(CHAT)
    said = door.llm.dictate()
    await page.begin("one")
    said.say("half ")
    shown = await page.until(text="half ")
    session = shown.messages[-1]["metadata"]["session_id"]
    await door.client.delete(f"/sessions/{session}", headers=bearer(VISITOR_A))
    shown = await page.until(status="error")
    assert shown.error == "The turn was ended or erased meanwhile."
    await page.run("setMessages", [])
    assert (await page.send("two")).texts == ["two", "You asked: two"]


async def test_a_long_silence(door: Door, browser: Browser) -> None:
    """What keeps the connection open is nothing to the client."""
    door.app.state[KEEP_ALIVE_STATE] = 0.01
    page = await browser.open(CHAT)
    said = door.llm.dictate()
    await page.begin("one")
    await asyncio.sleep(0.1)
    said.say("half, ")
    await page.until(text="half, ")
    await asyncio.sleep(0.1)
    said.say("whole.")
    said.end()
    shown = await page.until(status="ready", text="whole.")
    assert (shown.errors, shown.texts) == ([], ["one", "half, whole."])


async def test_selected_text(door: Door, browser: Browser) -> None:
    """A passage sent in the body goes to the model, and comes back with the question."""
    page = await browser.open(CHAT, body={"selected_text": "A gear has teeth.", "theme": "dark"})
    door.llm.script("answer")
    await page.send("why?")
    assert b"A gear has teeth." in door.llm.requests[-1].body
    stored = await door.client.get(f"/api/chat/{CHAT}", headers=bearer(VISITOR_A))
    assert stored.json()[0]["metadata"]["selected_text"]["text"] == "A gear has teeth."


async def test_files_are_left_out(door: Door, browser: Browser) -> None:
    """Of a message with text and a file the text is taken; one without text is refused."""
    page = await browser.open(CHAT)
    file = {"type": "file", "mediaType": "text/plain", "url": "data:text/plain,x"}
    shown = await page.run("sendMessage", {"text": "one", "files": [file]})
    assert (shown.status, shown.texts[-1]) == ("ready", "You asked: one")
    shown = await page.run("sendMessage", {"files": [file]})
    assert "have no text" in (shown.error or "")
