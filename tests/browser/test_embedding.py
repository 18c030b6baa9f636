"""A page of another site with the widget in it: it chats where it is listed, and nowhere else.

May import: standard library, playwright, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, expect

from tests.browser.chat import Chat
from tests.browser.site import open_site
from tests.browser.visitor import visiting
from tests.ports import kept_port

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A book</title>
<link rel="icon" href="data:,">
<main><h1 id="gait">Gait</h1><p id="p">Walking is controlled falling.</p>
<div id="here"></div></main>
<script src="{widget}/widget.js" {options}></script></html>"""


@asynccontextmanager
async def elsewhere(html: str, port: int) -> AsyncIterator[str]:
    """Serve one page at another origin; give its address."""
    body = html.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, reuse_address=True)
    async with server:
        yield f"http://127.0.0.1:{port}"


async def test_a_listed_origin_chats(browser: Browser, size: dict[str, int]) -> None:
    """One script tag on a listed site: ask, reload, quote; the quote names the other page."""
    with kept_port() as port:
        origin = f"http://127.0.0.1:{port}"
        async with (
            open_site(FRONTEND_URL=origin) as site,
            elsewhere(PAGE.format(widget=site.address, options='data-title="Ask me"'), port),
            visiting(browser, origin, size, hosts=(site.address,)) as visitor,
        ):
            chat = await visitor.tab()
            await chat.ask("From elsewhere")
            await chat.hear("You asked: From elsewhere")
            await chat.reload()
            await chat.hear("You asked: From elsewhere")
            await chat.list_sessions()
            await expect(chat.session("From elsewhere")).to_be_visible()
            await chat.reload()
            await chat.button("Close chat").click()
            await chat.select("#p")
            await chat.button("Ask about this").click()
            await chat.ask("What falls?")
            await chat.hear("You asked")
            (quote,) = site.quotes()
            assert quote.text == "Walking is controlled falling."
            assert (quote.title, quote.url, quote.anchor) == ("A book", f"{origin}/", "gait")


async def test_an_origin_that_is_not_listed_is_refused(
    browser: Browser, size: dict[str, int]
) -> None:
    """S12: the browser gets no module and no answer there; nothing reaches the model."""
    with kept_port() as port:
        origin = f"http://127.0.0.1:{port}"
        async with (
            open_site(FRONTEND_URL="http://other.example") as site,
            elsewhere(PAGE.format(widget=site.address, options=""), port),
            visiting(browser, origin, size, hosts=(site.address,)) as visitor,
        ):
            visitor.forgive("Access to ", "Failed to load resource: ", "exception: ")
            page = await visitor.context.new_page()
            async with page.expect_event(
                "console", lambda message: "blocked by CORS policy" in message.text
            ):
                await page.goto(origin)
            await expect(Chat(page).opener).to_have_count(0)
            await expect(Chat(page).question).to_have_count(0)
            # Nor does a script of that page get anything out of the service itself.
            said = await page.evaluate(
                """async address => {
                    const body = JSON.stringify({message: 'x'})
                    const headers = {'content-type': 'application/json'}
                    try {
                        return (await fetch(address, {method: 'POST', headers, body})).status
                    } catch (error) { return String(error) }
                }""",
                f"{site.address}/chat",
            )
            assert said == "TypeError: Failed to fetch"
            assert site.llm.requests == []


async def test_options_of_the_script_tag(browser: Browser) -> None:
    """Title, open at once, dark, in a place of the page."""
    with kept_port() as port:
        origin = f"http://127.0.0.1:{port}"
        options = (
            'data-title="Ask the book!" data-open="true" data-theme="dark" data-target="#here"'
        )
        async with (
            open_site(FRONTEND_URL=origin) as site,
            elsewhere(PAGE.format(widget=site.address, options=options), port),
            visiting(browser, origin, {"width": 1280, "height": 800}, hosts=(site.address,)) as v,
        ):
            page = await v.context.new_page()
            await page.goto(origin)
            chat = Chat(page)
            await expect(chat.question).to_be_visible()
            await expect(page.locator("#here chatcore-chat")).to_have_count(1)
            await expect(page.locator("chatcore-chat")).to_contain_text("Ask the book!")
            await chat.ask("In place")
            await chat.hear("You asked: In place")
