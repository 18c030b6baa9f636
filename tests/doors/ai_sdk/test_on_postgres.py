"""The real hook `useChat` on the service as it is run: processes, PostgreSQL, a provider over HTTP.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests import provider as say
from tests.doors.ai_sdk.pages import Browser, Page, Shown
from tests.doors.node.harness.process import NodeProcess
from tests.http.door import VISITOR_A
from tests.integration.served import Service, serving
from tests.provider import Provider, Reply, Request, Then

pytestmark = [pytest.mark.node, pytest.mark.postgres]

AUTHORIZATION = {"Authorization": f"Bearer {VISITOR_A}"}
DRAIN_SECONDS = 0.2
PATIENCE_SECONDS = 30.0
UNFINISHED = say.streamed(["half ", "an answer"], then=Then.HANG)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that repeats the question."""

    def answer(request: Request) -> Reply:
        asked = "" if request.method == "GET" else request.json["messages"][-1]["content"]
        return say.answer_as_asked(request, f"You asked: {asked}")

    async with Provider() as opened:
        opened.default(answer)
        yield opened


def at(service: Service, program: NodeProcess) -> Browser:
    """Return a browser for one of the processes."""
    host, _, port = service.address.removeprefix("http://").partition(":")
    return Browser(program, (host, int(port)))


async def history(service: Service, chat: str) -> Any:
    """Return what was said."""
    status, found = await service.call("GET", f"/api/chat/{chat}", **AUTHORIZATION)
    assert status == 200
    return found


async def same(service: Service, chat: str, shown: Shown) -> None:
    """See that what is on the page is what is stored."""
    stored = await history(service, chat)
    assert (shown.status, shown.errors) == ("ready", [])
    assert [each["id"] for each in stored] == shown.names
    assert [each["parts"][0]["text"] for each in stored] == shown.texts


async def seen(
    browser: Browser, service: Service, chat: str, texts: list[str]
) -> tuple[Page, Shown]:
    """Open a chat and listen for the rest of it; again, if it was over before that began."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            page = await browser.open(chat, messages=await history(service, chat))
            shown = await page.run("resumeStream")
            if shown.texts == texts:
                return page, shown
            await page.close()


@pytest.mark.parametrize("program", ["ai7"], indirect=True)
async def test_everything_once(
    settings: dict[str, str], provider: Provider, program: NodeProcess
) -> None:
    """Ask, ask again, edit, cut, reload, go on in the other shape, race: one history."""
    chat = uuid4().hex
    async with serving(**settings) as service:
        browser = at(service, program)
        page = await browser.open(chat, shape="all")
        for text in ("one", "two", "three"):
            shown = await page.send(text)
        await same(service, chat, shown)
        shown = await page.run("regenerate")
        await same(service, chat, shown)
        shown = await page.send("other", messageId=shown.names[2])
        assert shown.texts == ["one", "You asked: one", "other", "You asked: other"]
        await same(service, chat, shown)
        await page.run("setMessages", shown.messages[:2])
        shown = await page.send("instead")
        await same(service, chat, shown)
        page = await browser.open(chat, shape="last", messages=await history(service, chat))
        shown = await page.send("last")
        await same(service, chat, shown)
        asked = json.loads(provider.requests[-1].body)["messages"][1:]
        assert [message["content"] for message in asked] == shown.texts[:-1]
        before = len(provider.requests)
        message = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "race"}]}
        body = {"id": chat, "message": message}
        await asyncio.gather(*[_posted(service, body) for _ in range(4)])
        assert len(provider.requests) == before + 1


@pytest.mark.parametrize("program", ["ai6"], indirect=True)
async def test_a_process_that_goes(
    settings: dict[str, str], provider: Provider, program: NodeProcess
) -> None:
    """G7: a page whose process ends is told so; coming back to another, it sees the whole."""
    chat = uuid4().hex
    async with serving(DRAIN_SECONDS, **settings) as service:
        page = await at(service, program).open(chat)
        provider.script(UNFINISHED, say.streamed(["You asked: ", "one"], pause_seconds=0.5))
        await page.begin("one")
        await page.until(text="half an answer")
        service.process.send_signal(signal.SIGTERM)
        shown = await page.until(status="error")
        assert "Reload the page" in (shown.error or "")
        assert shown.texts == ["one", "half an answer"]
    async with serving(**settings) as other:
        page, shown = await seen(at(other, program), other, chat, ["one", "You asked: one"])
        await same(other, chat, shown)
        shown = await page.send("two")
        await same(other, chat, shown)


async def _posted(service: Service, body: dict[str, Any]) -> None:
    path = f"{service.address}/api/chat"
    async with service.client.post(path, json=body, headers=AUTHORIZATION) as answer:
        assert answer.status == 200
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
