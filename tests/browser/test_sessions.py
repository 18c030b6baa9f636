"""The page: several conversations, and several people.

May import: standard library, playwright, pytest, tests.browser.
"""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.chat import Chat, begin
from tests.browser.site import Site
from tests.browser.visitor import Visitor, visiting

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_several_conversations(chat: Chat) -> None:
    """New ones are begun, listed latest first, and gone back to; the open one is marked."""
    await begin(chat, "Legs", "Arms", "Heads")
    await chat.list_sessions()
    titles = [chat.session(title) for title in ("Heads", "Arms", "Legs")]
    for title in titles:
        await expect(title).to_be_visible()
    await expect(titles[0]).to_have_attribute("aria-current", "true")
    heights = [(await title.bounding_box() or {"y": 0})["y"] for title in titles]
    assert heights == sorted(heights)
    await titles[2].click()
    await chat.hear("You asked: Legs")
    await expect(chat.questions).to_have_count(1)
    await chat.ask("More about legs")
    await chat.hear("You asked: More about legs")
    await chat.reload()
    await chat.hear("You asked: More about legs")
    await expect(chat.questions).to_have_count(2)
    await chat.list_sessions()
    await expect(chat.session("Legs")).to_have_attribute("aria-current", "true")


async def test_renaming(chat: Chat) -> None:
    """Enter keeps the new title, Escape the old one."""
    await begin(chat, "Legs")
    await chat.list_sessions()
    field = chat.page.get_by_role("textbox", name="Title")
    await chat.button("Rename Legs").click()
    await expect(field).to_have_value("Legs")
    await field.fill("Something else")
    await field.press("Escape")
    await expect(field).to_have_count(0)
    await expect(chat.session("Legs")).to_be_visible()
    await chat.button("Rename Legs").click()
    await field.fill("On <b>legs</b> & feet")
    await field.press("Enter")
    await expect(chat.session("On <b>legs</b> & feet")).to_be_visible()
    await chat.reload()
    await chat.list_sessions()
    await expect(chat.session("On <b>legs</b> & feet")).to_be_visible()


async def test_a_list_that_is_older_than_what_was_done(chat: Chat) -> None:
    """A list that was read before a change, and comes after it, takes nothing back."""
    await begin(chat, "Legs", "Arms", "Heads")
    is_read, may_come = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        is_read.set()
        await may_come.wait()
        await route.fulfill(response=answer)

    await chat.page.route("**/sessions?limit=*", late, times=1)
    await chat.list_sessions()
    await is_read.wait()
    await chat.button("Rename Legs").click()
    title = chat.page.get_by_role("textbox", name="Title")
    await title.fill("Limbs")
    await title.press("Enter")
    await expect(chat.session("Limbs")).to_be_visible()
    await chat.erase("Arms")
    may_come.set()
    await chat.page.wait_for_timeout(500)
    await expect(chat.session("Limbs")).to_be_visible()
    for gone in ("Legs", "Arms"):
        await expect(chat.session(gone)).to_have_count(0)


async def test_deleting(chat: Chat) -> None:
    """G12: it asks first; kept it stays; deleted it is gone, here and after a reload."""
    await begin(chat, "Legs", "Arms")
    await chat.list_sessions()
    await chat.button("Delete Legs").click()
    await chat.button("Keep").click()
    await expect(chat.session("Legs")).to_be_visible()
    for title in ("Legs", "Arms"):  # first another one, then the one that is open
        await chat.erase(title)
    await expect(chat.questions).to_have_count(0)
    await chat.reload()
    await expect(chat.questions).to_have_count(0)
    await chat.button("Conversations").click()
    await expect(chat.button("Delete Arms")).to_have_count(0)
    await expect(chat.button("Delete Legs")).to_have_count(0)


@pytest.mark.parametrize("hears", [True, False])
async def test_a_conversation_deleted_elsewhere(
    visitor: Visitor, chat: Chat, *, hears: bool
) -> None:
    """What another tab deletes is forgotten here; what was being typed is kept.

    Also where this tab was put away by the browser before it could hear of that.
    """
    visitor.forgive("Failed to load resource: ")
    await begin(chat, "Legs")
    other = await visitor.tab()
    await other.hear("You asked: Legs")
    await chat.question.fill("half a thou")
    if not hears:
        await chat.page.route("**/messages?**", lambda _: None)
    await other.erase("Legs")
    await expect(other.questions).to_have_count(0)
    if hears:
        await expect(chat.questions).to_have_count(0)
    await chat.page.route("**/messages?**", lambda route: route.continue_())
    await chat.reload()
    await chat.page.wait_for_function("() => sessionStorage['chatcore.session'] === ''")
    await expect(chat.button("Try again")).to_have_count(0)
    await expect(chat.questions).to_have_count(0)
    await expect(chat.question).to_have_value("half a thou")
    await chat.ask("Arms")
    await chat.hear("You asked: Arms")


async def test_two_people_see_nothing_of_each_other(
    browser: Browser, site: Site, visitor: Visitor, size: dict[str, int]
) -> None:
    """G11: each browser has a token of its own, and nobody's list holds another's conversation."""
    chat = await visitor.tab()
    await begin(chat, "My secret")
    mine = await chat.page.evaluate("() => ({...localStorage})")
    async with visiting(browser, site.address, size) as somebody:
        other = await somebody.tab()
        await expect(other.questions).to_have_count(0)
        await other.button("Conversations").click()
        await expect(other.button("Delete My secret")).to_have_count(0)
        await other.page.keyboard.press("Escape")
        await other.open()
        # Knowing the id of a conversation gives no right to it either.
        key = "chatcore.session"
        await other.page.evaluate("([k, v]) => localStorage.setItem(k, v)", [key, mine[key]])
        somebody.forgive("Failed to load resource: ")
        other = await somebody.tab()
        await expect(other.alert).to_be_visible()
        await expect(other.questions).to_have_count(0)
        await expect(other.page.locator("body")).not_to_contain_text("My secret")
        theirs = await other.page.evaluate("() => localStorage['chatcore.visitor']")
        assert theirs != mine["chatcore.visitor"]
        await begin(other, "Theirs")
    await chat.reload()
    await chat.list_sessions()
    await expect(chat.session("My secret")).to_be_visible()
    await expect(chat.session("Theirs")).to_have_count(0)
