"""The page: by keyboard alone, by ear, in the dark, and judged by axe.

May import: standard library, axe_playwright_python, chatcore, playwright, pytest, tests.browser.
"""

from __future__ import annotations

import re
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from chatcore import LLMUnavailable
from tests.browser.chat import PASSAGE, Chat
from tests.browser.site import Site
from tests.browser.visitor import NETWORK, visiting

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOCUSED = """() => {
    let e = document.activeElement
    while (e && e.shadowRoot && e.shadowRoot.activeElement) e = e.shadowRoot.activeElement
    return e ? (e.getAttribute('aria-label') || e.innerText || e.tagName).trim() : ''
}"""
CHANNELS = re.compile(r"[\d.]+")


async def focused(page: Page) -> str:
    """Return the name of what has the focus."""
    return str(await page.evaluate(FOCUSED))


async def press_until(page: Page, key: str, name: str | re.Pattern[str]) -> None:
    """Press a key until what is so named has the focus."""
    for _ in range(60):
        await page.keyboard.press(key)
        if re.fullmatch(name, await focused(page)):
            return
    raise AssertionError(f"{key} never leads to {name}")


async def test_by_keyboard_alone(browser: Browser, site: Site, size: dict[str, int]) -> None:
    """Open, ask, rate, list, rename and close without a pointer; the focus is never lost."""
    async with visiting(browser, site.address, size) as visitor:
        page = await visitor.context.new_page()
        await page.goto(site.address)
        chat = Chat(page)
        await expect(chat.opener).to_be_visible()
        await press_until(page, "Tab", "Open chat")
        await page.keyboard.press("Enter")
        await expect(chat.question).to_be_focused()
        await page.keyboard.type("By keyboard")
        await page.keyboard.press("Enter")
        await chat.hear("You asked: By keyboard")
        await expect(chat.question).to_be_focused()
        await press_until(page, "Shift+Tab", "Good answer")
        await page.keyboard.press("Space")
        await expect(chat.button("Good answer")).to_have_attribute("aria-pressed", "true")
        await press_until(page, "Shift+Tab", "Conversations")
        await page.keyboard.press("Enter")
        await expect(chat.sessions).to_be_visible()
        await press_until(page, "Tab", "Rename By keyboard")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("textbox", name="Title")).to_be_focused()
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.type("Renamed")
        await page.keyboard.press("Enter")
        await expect(chat.session("Renamed")).to_be_visible()
        for _ in range(3):
            await page.keyboard.press("Escape")
            if await chat.opener.is_visible():
                break
        await expect(chat.opener).to_be_focused()


async def test_the_keyboard_stays_where_one_sees_it(chat: Chat) -> None:
    """Where the panel covers the page nothing behind it takes the focus, either way around; where
    it does not, the keyboard leaves it for the page.
    """
    await chat.ask("Hello")
    await chat.hear("You asked: Hello")
    await expect(chat.button("Good answer")).to_be_visible()  # Once it was read as it is stored.
    covers = chat.page.viewport_size is not None and chat.page.viewport_size["width"] <= 480
    modal = await chat.panel.first.get_attribute("aria-modal")
    assert modal == ("true" if covers else None)
    for key in ("Tab", "Shift+Tab"):
        names, places = set(), set()
        for _ in range(30):
            await chat.page.keyboard.press(key)
            names.add(await focused(chat.page))
            places.add(await chat.page.evaluate("() => document.activeElement.localName"))
        assert {"Conversations", "Close chat", "Your question", "Good answer"} <= names
        assert (places == {"chatcore-chat"}) is covers


@pytest.mark.parametrize("key", ["Tab", "Shift+Tab"])
async def test_the_keyboard_comes_where_one_sees_it(chat: Chat, key: str) -> None:
    """Wherever the focus was when the panel began to cover the page, the next Tab is in it."""
    await chat.page.locator("pre").first.focus()
    await chat.page.set_viewport_size({"width": 400, "height": 700})
    await chat.page.keyboard.press(key)
    assert await focused(chat.page) in {"Conversations", "Your question"}
    await chat.page.locator("chatcore-chat h2").first.click()
    await chat.page.keyboard.press(key)
    assert await focused(chat.page) in {"Conversations", "Your question"}


async def test_a_dialog_of_the_page_keeps_its_keyboard(chat: Chat) -> None:
    """What the page puts over the panel is left alone."""
    await chat.page.set_viewport_size({"width": 400, "height": 700})
    await chat.page.evaluate(
        """() => {
            const dialog = document.createElement('dialog')
            dialog.innerHTML = '<button>Yes</button><button>No</button>'
            document.body.append(dialog)
            dialog.showModal()
        }"""
    )
    assert await focused(chat.page) == "Yes"
    await chat.page.keyboard.press("Tab")
    assert await focused(chat.page) == "No"


async def test_what_a_screen_reader_hears(chat: Chat, site: Site) -> None:
    """Everything has a role and a name; messages say who spoke; a finished reply is announced."""
    await chat.ask("Hello")
    await chat.hear("You asked: Hello")
    told = chat.page.locator("chatcore-chat [aria-live='polite']")
    await expect(told).to_contain_text("You asked: Hello")
    for locator in (chat.panel, chat.log, chat.question, chat.button("New conversation")):
        await expect(locator.first).to_be_visible()
    page = chat.page
    await expect(page.get_by_role("article", name="You said")).to_have_count(1)
    await expect(page.get_by_role("article", name="Assistant said")).to_have_count(1)
    buttons = page.locator("chatcore-chat").get_by_role("button")
    for index in range(await buttons.count()):
        snapshot = await buttons.nth(index).aria_snapshot()
        assert re.match(r'- button ".+"', snapshot), snapshot


async def test_colours_follow_the_system(
    browser: Browser, site: Site, size: dict[str, int]
) -> None:
    """Light is light on the page and in the chat, dark is dark, and changing it changes both."""
    async with visiting(browser, site.address, size) as visitor:
        chat = await visitor.tab()
        found = {}
        for scheme in ("light", "dark"):
            await chat.page.emulate_media(color_scheme=scheme)
            for name, locator in (("page", chat.page.locator("body")), ("chat", chat.question)):
                colours = await locator.evaluate(
                    """e => {
                        const of = (e, p) => getComputedStyle(e)[p]
                        let b = e
                        while (b && /, 0\\)$|transparent/.test(of(b, 'backgroundColor')))
                            b = b.parentElement || (b.getRootNode().host ?? null)
                        return [of(e, 'color'), b ? of(b, 'backgroundColor') : 'rgb(255,255,255)']
                    }"""
                )
                found[name, scheme] = [brightness(colour) for colour in colours]
        for name in ("page", "chat"):
            text, ground = found[name, "light"]
            assert ground > text, name
            text, ground = found[name, "dark"]
            assert ground < text, name


def brightness(colour: str) -> float:
    """Return how bright a computed colour is, on a scale of its own notation."""
    channels = [float(x) for x in CHANNELS.findall(colour.partition("(")[2])[:3]]
    return channels[0] if colour.startswith(("oklch", "lab", "lch", "oklab")) else sum(channels)


STATES = ("page", "open", "conversation", "list", "error", "quote")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(
    browser: Browser, site: Site, size: dict[str, int], scheme: Literal["light", "dark"]
) -> None:
    """Every state of the page, in both schemes and sizes: no serious or critical finding."""
    # axe sets styles while it measures, which the page's policy would refuse.
    seen = visiting(browser, site.address, size, scheme=scheme, bypass_csp=True)
    async with seen as visitor:
        visitor.forgive(NETWORK)
        page = await visitor.context.new_page()
        await page.goto(site.address)
        chat = Chat(page)
        await expect(chat.opener.or_(chat.question).first).to_be_visible()
        for state in STATES:
            await bring_about(state, chat, site)
            found = await Axe().run(page)
            serious = [
                (state, violation["id"], violation["nodes"][0]["target"], violation["help"])
                for violation in found.response["violations"]
                if violation["impact"] in {"serious", "critical"}
            ]
            assert serious == []


async def bring_about(state: str, chat: Chat, site: Site) -> None:
    """Go on to the next state."""
    if state == "open":
        await chat.open()
    elif state == "conversation":
        site.llm.script(
            "# Title\n\nA **reply** with `code`, a [link](http://a.example)\n\n```\nx\n```\n"
        )
        await chat.ask("Hello")
        await chat.hear("reply")
    elif state == "list":
        await chat.list_sessions()
    elif state == "error":
        await chat.page.keyboard.press("Escape")
        await chat.open()
        site.llm.script(LLMUnavailable())
        await chat.ask("Fail")
        await expect(chat.alert.first).to_be_visible()
    elif state == "quote":
        await chat.button("Close chat").click()
        await chat.select(PASSAGE)
        await chat.button("Ask about this").click()
        await expect(chat.quote).to_be_visible()


async def test_targets_are_big_enough(chat: Chat) -> None:
    """On every size buttons of the chat can be hit with a finger: 40 pixels at least."""
    await chat.ask("Hello")
    await chat.hear("You asked: Hello")
    viewport = chat.page.viewport_size
    assert viewport is not None
    if viewport["width"] > 480:
        return
    buttons = chat.page.locator("chatcore-chat").get_by_role("button")
    for index in range(await buttons.count()):
        button = buttons.nth(index)
        box = await button.bounding_box()
        if box is not None and box["width"] > 1:
            name = await button.aria_snapshot()
            assert min(box["width"], box["height"]) >= 39.5, (name, box)


async def test_the_panel_covers_a_phone(chat: Chat) -> None:
    """At phone width the panel covers the screen; else it leaves most of the page to the reader."""
    viewport = chat.page.viewport_size
    box = await chat.panel.first.bounding_box()
    assert box is not None
    assert viewport is not None
    if viewport["width"] <= 480:
        assert (box["x"], round(box["width"])) == (0, viewport["width"])
        assert box["height"] >= viewport["height"] * 0.95
    else:
        assert box["width"] < viewport["width"] / 2
    assert await chat.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
