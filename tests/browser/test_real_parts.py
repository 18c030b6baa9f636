"""The page in front of the service as it is run: its own process, PostgreSQL, a model over HTTP.

May import: standard library, adapters, playwright, pytest, pytest_asyncio, tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from adapters.embedded import LocalModel
from tests import provider as say
from tests.browser.visitor import DESKTOP, NETWORK, visiting
from tests.browser.wire import Wire
from tests.http.sockets import Place
from tests.integration.served import Service, serving, settings_for
from tests.provider import Provider, Then

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAUSE_SECONDS = 0.15
WORDS = ["The ", "foot ", "pushes ", "on ", "the ", "**floor**", "."]


@pytest_asyncio.fixture(loop_scope="session")
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that answers word by word."""
    async with Provider() as opened:
        opened.default(lambda _: say.streamed(WORDS, pause_seconds=PAUSE_SECONDS))
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def service(
    postgres_url: str, empty_schema: str, provider: Provider
) -> AsyncIterator[Service]:
    """Give a running service on PostgreSQL."""
    settings = settings_for(postgres_url, empty_schema, provider)
    async with serving(**settings, LLM_MAX_ATTEMPTS="1") as running:
        yield running


@pytest.mark.postgres
async def test_a_conversation_on_postgresql(
    browser: Browser, service: Service, provider: Provider, size: dict[str, int]
) -> None:
    """Stream, reload, follow in a second tab, stop, answer again, edit, rate, rename, delete."""
    async with visiting(browser, service.address, size) as visitor:
        visitor.forgive(NETWORK)  # the second tab asks for what the first one deletes
        chat = await visitor.tab()
        await chat.ask("What pushes?")
        await chat.hear("The foot", status="running")
        await chat.reload()
        await chat.hear("The foot pushes on the floor.")
        other = await visitor.tab()
        await other.hear("The foot pushes on the floor.")
        provider.script(say.streamed(["Without ", "end"], then=Then.HANG))
        await chat.ask("And then?")
        for tab in (chat, other):
            await tab.hear("Without end", status="running")
        await other.button("Stop").click()
        for tab in (chat, other):
            await tab.hear("Without end", status="stopped")
        provider.script(say.streamed(["Another ", "answer"]), say.streamed(["Edited ", "answer"]))
        await chat.button("Answer again", within=chat.answers.last).click()
        answer = await chat.hear("Another answer")
        await chat.button("Bad answer", within=answer).click()
        await chat.button("Edit", within=chat.questions.last).click()
        await chat.page.get_by_role("textbox", name="Edit question").fill("And now?")
        await chat.button("Save").click()
        answer = await chat.hear("Edited answer")
        await chat.button("Good answer", within=answer).click()
        await expect(chat.button("Good answer", within=answer)).to_have_attribute(
            "aria-pressed", "true"
        )
        await chat.reload()
        answer = await chat.hear("Edited answer")
        await expect(chat.questions).to_have_count(2)
        await expect(chat.button("Good answer", within=answer)).to_have_attribute(
            "aria-pressed", "true"
        )
        await chat.list_sessions()
        await chat.button("Rename What pushes?").click()
        await chat.page.get_by_role("textbox", name="Title").fill("On feet")
        await chat.page.keyboard.press("Enter")
        await chat.button("Delete On feet").click()
        await chat.button("Delete", within=chat.sessions).click()
        await expect(chat.questions).to_have_count(0)
        await chat.reload()
        await expect(chat.questions).to_have_count(0)


@pytest.mark.postgres
async def test_a_process_that_is_killed(
    browser: Browser, postgres_url: str, empty_schema: str, provider: Provider
) -> None:
    """G1, G7: the process dies in the middle of a reply; another one goes on, in the same tab."""
    settings = settings_for(postgres_url, empty_schema, provider)
    async with (
        serving(**settings, LLM_MAX_ATTEMPTS="2") as first,
        serving(**settings, LLM_MAX_ATTEMPTS="2") as second,
        Wire(place_of(first)) as wire,
        visiting(browser, wire.address, DESKTOP) as visitor,
    ):
        visitor.forgive(NETWORK)
        chat = await visitor.tab()
        provider.script(say.streamed(["Before ", "the ", "end"], then=Then.HANG))
        await chat.ask("Survive")
        await chat.hear("Before the end", status="running")
        first.process.kill()
        await expect(chat.status).to_contain_text("Reconnecting")
        wire.leads_to = place_of(second)
        done = chat.page.locator("article[data-role='assistant'][data-status='completed']")
        await expect(done).to_contain_text("The foot pushes on the floor.", timeout=45_000)
        await expect(chat.log).not_to_contain_text("Before the end")
        await expect(chat.questions).to_have_count(1)


def place_of(service: Service) -> Place:
    """Return where a service listens."""
    host, _, port = service.address.removeprefix("http://").partition(":")
    return host, int(port)


@pytest.mark.local_model
@pytest.mark.postgres
async def test_with_the_real_local_model(
    browser: Browser, postgres_url: str, empty_schema: str
) -> None:
    """Out of the box: a real model writes, and what it wrote is there after a reload."""
    model = LocalModel.start()
    settings = {
        "DATABASE_URL": postgres_url,
        "DATABASE_SCHEMA": empty_schema,
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_MODEL": model.model,
        "LLM_MAX_TOKENS": "24",
    }
    try:
        async with (
            serving(**settings) as service,
            visiting(browser, service.address, DESKTOP) as visitor,
        ):
            chat = await visitor.tab()
            await chat.ask("Name one joint of a robot arm.")
            await expect(chat.answers).to_have_attribute("data-status", "completed", timeout=60_000)
            said = (await chat.answers.inner_text()).strip()
            assert said
            await chat.reload()
            await expect(chat.answers).to_have_text(said, use_inner_text=True)
    finally:
        model.stop()
