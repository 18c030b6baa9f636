"""The page: several tabs of one reader, each with what it showed and what was typed in it.

May import: standard library, playwright, pytest, tests.browser.
"""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.browser.chat import Chat, begin
from tests.browser.visitor import CALLS, FILL, NETWORK, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

KEPT = "() => JSON.stringify([{...localStorage}, {...sessionStorage}])"


async def answer_again(chat: Chat) -> None:
    """Have the last question answered again, and wait for it."""
    before = await chat.answers.last.get_attribute("data-message-id")
    await chat.answers.last.hover()
    await chat.button("Answer again", within=chat.answers.last).click()
    await expect(chat.answers.last).not_to_have_attribute("data-message-id", before or "")
    await expect(chat.button("Good answer", within=chat.answers.last)).to_be_visible()


async def test_two_tabs_each_with_its_own(visitor: Visitor, chat: Chat) -> None:
    """A tab comes back to what it showed and to what was typed in it, whatever another one did."""
    await begin(chat, "Legs")
    other = await visitor.tab()
    await other.hear("You asked: Legs")
    await chat.question.fill("about legs")
    await other.question.fill("more legs")
    await other.button("New conversation").click()
    await other.ask("Arms")
    await other.hear("You asked: Arms")
    await chat.reload()
    await chat.hear("You asked: Legs")
    await expect(chat.question).to_have_value("about legs")
    await other.reload()
    await other.hear("You asked: Arms")
    await expect(other.question).to_have_value("")
    await other.list_sessions()
    await other.session("Legs").click()
    await expect(other.question).to_have_value("more legs")


async def test_a_tab_goes_on_with_what_the_last_one_did(visitor: Visitor, chat: Chat) -> None:
    """What was typed in a tab that is gone is there in the next one, until it was sent anywhere."""
    await begin(chat, "Legs")
    await chat.question.fill("half a thought")
    other = await visitor.tab()
    await expect(other.question).to_have_value("half a thought")
    await chat.button("Send").click()
    await chat.hear("You asked: half a thought")
    await other.hear("You asked: half a thought")
    await answer_again(other)  # It still shows what was sent, and does not make it a draft again.
    await other.reload()
    await other.hear("You asked: half a thought")
    await expect(other.question).to_have_value("")
    await other.question.fill("typed here")
    await other.leave()
    last = await visitor.tab()
    await expect(last.question).to_have_value("typed here")


@pytest.mark.parametrize("shown", ["", "first"])
async def test_a_tab_in_which_nothing_is_typed(visitor: Visitor, chat: Chat, shown: str) -> None:
    """It takes nothing away from what another tab typed, and does not show it."""
    await begin(chat, "Legs")
    await chat.question.fill(shown)
    other = await visitor.tab()
    await other.hear("You asked: Legs")
    await expect(other.question).to_have_value(shown)
    await chat.question.fill("first, and much more")
    await answer_again(other)
    if not shown:
        await other.reload()
        await other.hear("You asked: Legs")
        await expect(other.question).to_have_value("")
    await chat.leave()
    last = await visitor.tab()
    await last.hear("You asked: Legs")
    await expect(last.question).to_have_value("first, and much more")


async def test_a_full_storage_of_the_tab(chat: Chat) -> None:
    """What could not be kept in the tab is not taken for what is there from before."""
    await begin(chat, "Legs")
    await chat.button("New conversation").click()
    await chat.question.fill("ha")
    await chat.page.evaluate(FILL.replace("localStorage", "sessionStorage"))
    await chat.question.fill("half a thought that is longer")
    await chat.reload()
    await expect(chat.question).to_have_value("half a thought that is longer")
    await chat.button("Send").click()
    await chat.hear("You asked: half a thought")
    await chat.reload()
    await chat.hear("You asked: half a thought")


async def test_a_question_on_its_way_in_a_full_storage(visitor: Visitor) -> None:
    """G2: it is sent after a reload, though a site has used up what all tabs keep."""
    visitor.forgive(NETWORK)
    page = await visitor.context.new_page()
    await page.add_init_script(f"({FILL})()")
    await page.goto(visitor.address)
    chat = Chat(page)
    await chat.open()
    await begin(chat, "Legs")
    await page.route(CALLS, lambda route: route.abort("connectionreset"))
    await chat.ask("Do not lose me")
    await expect(chat.status).to_contain_text("Reconnecting")
    await page.route(CALLS, lambda route: route.continue_())
    await chat.reload()
    await chat.hear("You asked: Do not lose me")
    await chat.reload()
    await chat.hear("You asked: Do not lose me")
    await expect(chat.questions).to_have_count(2)


async def test_nothing_is_left_of_what_is_deleted_elsewhere(visitor: Visitor, chat: Chat) -> None:
    """G12: also what was typed there in a tab that shows something else by now is gone."""
    await begin(chat, "Legs")
    await chat.question.fill("private words")
    await chat.button("New conversation").click()
    await expect(chat.questions).to_have_count(0)
    other = await visitor.tab()
    await other.list_sessions()
    await other.session("Legs").click()
    await other.hear("You asked: Legs")
    assert "private words" in await chat.page.evaluate(KEPT)
    await other.erase("Legs")
    await chat.page.wait_for_function(f"() => !({KEPT})().includes('private words')")


async def test_deleted_under_two_tabs(visitor: Visitor, chat: Chat) -> None:
    """What both of them show as typed is there once in each, and only what is lost is forgotten."""
    visitor.forgive(NETWORK)
    await begin(chat, "Legs")
    await chat.question.fill("half a thought")
    other = await visitor.tab()
    await expect(other.question).to_have_value("half a thought")
    third = await visitor.tab()
    await third.hear("You asked: Legs")
    await third.button("New conversation").click()
    await expect(third.questions).to_have_count(0)
    await begin(third, "Arms")
    await third.erase("Legs")
    for tab in (chat, other):
        await expect(tab.alert).to_be_visible()
        await expect(tab.questions).to_have_count(0)
        await expect(tab.question).to_have_value("half a thought")
    await (await visitor.tab()).hear("You asked: Arms")


async def test_somebody_else_at_the_same_tab(visitor: Visitor, chat: Chat) -> None:
    """G11: where a site has emptied what its tabs keep, the next one at it finds nothing."""
    await begin(chat, "Legs")
    await chat.question.fill("private words")
    await chat.page.evaluate("() => localStorage.clear()")
    await chat.reload()
    await chat.ask("Arms")
    await chat.hear("You asked: Arms")
    await expect(chat.questions).to_have_count(1)
    assert "private words" not in await chat.page.evaluate(KEPT)
