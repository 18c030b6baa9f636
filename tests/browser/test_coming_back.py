"""The page: reloads, second tabs, lost connections; nothing twice, nothing skipped.

May import: standard library, chatcore, playwright, pytest, tests.browser.
"""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from chatcore import LLMIncomplete
from tests.browser.chat import Chat
from tests.browser.site import Site, open_site
from tests.browser.visitor import DESKTOP, NETWORK, Visitor, visiting

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_reloading_while_it_writes(chat: Chat, site: Site) -> None:
    """G6: after a reload the reply is there as far as it has come, and goes on."""
    said = site.dictate()
    said.say("one ", "two ")
    await chat.ask("Count")
    await chat.hear("one two", status="running")
    await chat.reload()
    await chat.hear("one two", status="running")
    said.say("three")
    answer = await chat.hear("one two three", status="running")
    assert (await answer.inner_text()).count("one") == 1
    said.end()
    answer = await chat.hear("one two three")
    assert (await answer.inner_text()).count("one") == 1
    await expect(chat.questions).to_have_count(1)
    await expect(chat.answers).to_have_count(1)


async def test_a_second_tab_follows(visitor: Visitor, chat: Chat, site: Site) -> None:
    """G6: two tabs show the same reply while it is written, whichever asked; either may stop it."""
    await chat.ask("Begin")
    await chat.hear("You asked: Begin")
    other = await visitor.tab()
    await other.hear("You asked: Begin")
    said = site.dictate()
    said.say("for both ")
    await chat.ask("And again")
    for tab in (chat, other):
        await tab.hear("for both", status="running")
    said.say("of us")
    for tab in (chat, other):
        await tab.hear("for both of us", status="running")
    await other.button("Stop").click()
    for tab in (chat, other):
        await tab.hear("for both of us", status="stopped")
        await expect(tab.questions).to_have_count(2)
        await expect(tab.answers).to_have_count(2)


async def test_a_connection_breaks(visitor: Visitor, chat: Chat, site: Site) -> None:
    """G6: the stream is taken up where it broke; the reader sees every word once."""
    visitor.forgive(NETWORK)
    said = site.dictate()
    said.say("alpha ", "beta ")
    await chat.ask("Greek")
    await chat.hear("alpha beta", status="running")
    site.wire.hiccup()
    said.say("gamma ")
    await chat.hear("alpha beta gamma", status="running")
    site.wire.cut()
    said.say("delta ")
    await expect(chat.status).to_contain_text("Reconnecting")
    await site.wire.open()
    await chat.hear("alpha beta gamma delta", status="running")
    await expect(chat.status.filter(has_text="Reconnecting")).to_have_count(0)
    assert (await chat.answers.inner_text()).count("beta") == 1
    said.end()
    answer = await chat.hear("alpha beta gamma delta")
    assert (await answer.inner_text()).count("beta") == 1


async def test_offline(visitor: Visitor, chat: Chat, site: Site) -> None:
    """Offline is said; a question asked then is kept, and sent when there is a network again."""
    visitor.forgive(NETWORK)
    said = site.dictate()
    said.say("before ")
    await chat.ask("Weather")
    await chat.hear("before", status="running")
    await visitor.context.set_offline(True)
    await expect(chat.status).to_contain_text("Offline. Your question is kept.")
    said.say("after")
    said.end()
    await visitor.context.set_offline(False)
    await chat.hear("before after")
    await expect(chat.status.filter(has_text="Offline")).to_have_count(0)
    await visitor.context.set_offline(True)
    await chat.ask("Still there?")
    await expect(chat.status).to_contain_text("Offline. Your question is kept.")
    await expect(chat.questions.last).to_contain_text("Still there?")
    await visitor.context.set_offline(False)
    await chat.hear("You asked: Still there?")
    await expect(chat.questions).to_have_count(2)
    assert len(site.llm.requests) == 2


async def test_asking_offline_loses_nothing(visitor: Visitor, chat: Chat, site: Site) -> None:
    """G2: what is sent into the void is kept, also over a reload, and asked exactly once."""
    visitor.forgive(NETWORK)
    site.wire.cut()
    await chat.question.fill("Are you there?")
    await chat.button("Send").click()
    retry = chat.button("Try again")
    await expect(chat.status.filter(has_text="Reconnecting").or_(retry).first).to_be_visible()
    await site.wire.open()
    await chat.reload()
    kept = await chat.question.input_value()
    if kept:
        assert kept == "Are you there?"
        await chat.button("Send").click()
    elif await retry.is_visible():
        await retry.click()
    await chat.hear("You asked: Are you there?")
    await expect(chat.questions).to_have_count(1)
    await expect(chat.question).to_have_value("")
    assert len(site.llm.requests) == 1


async def test_what_is_typed_survives(visitor: Visitor, chat: Chat) -> None:
    """A draft is there after a reload, each conversation has its own, and a sent one is gone."""
    await chat.ask("Legs")
    await chat.hear("You asked: Legs")
    await chat.question.fill("draft about legs")
    await chat.button("New conversation").click()
    await expect(chat.question).to_have_value("")
    await chat.question.fill("draft about something new")
    await chat.list_sessions()
    await chat.session("Legs").click()
    await expect(chat.question).to_have_value("draft about legs")
    await chat.reload()
    await expect(chat.question).to_have_value("draft about legs")
    await chat.button("Send").click()
    await chat.hear("You asked: draft about legs")
    await chat.reload()
    await expect(chat.question).to_have_value("")


async def test_an_answer_that_starts_over(browser: Browser) -> None:
    """G7: when a further attempt begins, the half reply goes, and the whole one is all there is."""
    async with open_site(LLM_MAX_ATTEMPTS="2") as site:
        first, second = site.dictate(), site.dictate()
        async with visiting(browser, site.address, DESKTOP) as visitor:
            chat = await visitor.tab()
            first.say("wrong beginning")
            await chat.ask("Twice")
            await chat.hear("wrong beginning", status="running")
            first.fail(LLMIncomplete("cut"))
            second.say("right from the start")
            await chat.hear("right from the start", status="running")
            await expect(chat.log).not_to_contain_text("wrong beginning")
            second.end()
            await chat.hear("right from the start")


@pytest.mark.parametrize("forbidden", [("localStorage",), ("localStorage", "sessionStorage")])
async def test_without_storage(visitor: Visitor, site: Site, forbidden: tuple[str, ...]) -> None:
    """A browser that keeps nothing can chat all the same, as long as the page is open."""
    page = await visitor.context.new_page()
    for name in forbidden:
        await page.add_init_script(
            f"Object.defineProperty(window, '{name}', {{get() {{ throw new DOMException('no') }}}})"
        )
    await page.goto(site.address)
    chat = Chat(page)
    await chat.open()
    for text in ("one", "two"):
        await chat.ask(text)
        await chat.hear(f"You asked: {text}")
    await expect(chat.questions).to_have_count(2)
    await chat.reload()
    kept = 0 if "sessionStorage" in forbidden else 2
    await expect(chat.questions).to_have_count(kept)
    await chat.ask("three")
    await chat.hear("You asked: three")
    await expect(chat.questions).to_have_count(kept + 1)
