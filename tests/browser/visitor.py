"""Somebody with a browser, and everything that must not happen in it.

May import: standard library, playwright, tests.browser.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Request,
    WebError,
)

from tests.browser.chat import Chat

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SIZES = {"desktop": DESKTOP, "phone": PHONE}
NETWORK = "Failed to load resource: "
"""How browsers begin what they say about every answer that is no success; nobody can prevent it."""
CALLS = re.compile(r"//[^/]+/(chat|sessions)(/|\?|$)")
"""What the chat asks of the service, apart from its own files."""
FILL = """() => {
    for (let size = 1 << 20, count = 0; size >= 1; size >>= 1)
        try { for (;;) localStorage.setItem(`fill${count++}`, 'x'.repeat(size)) } catch {}
}"""
"""Uses up what a site may keep for all of its tabs."""


@dataclass
class Visitor:
    """A browser profile of its own: storage, tabs, and what was seen going wrong in them.

    Attributes:
        faults: Errors on the console, exceptions, dialogs, requests to other hosts.
        hosts: Where requests may go.
        forgiven: What the test provokes, as beginnings of faults.
    """

    context: BrowserContext
    address: str
    faults: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    forgiven: list[str] = field(default_factory=list)

    async def tab(self, path: str = "/", **options: Any) -> Chat:
        """Open the page in a tab of its own, and the chat in it."""
        page = await self.context.new_page()
        await page.goto(self.address + path, **options)
        chat = Chat(page)
        await chat.open()
        return chat

    def forgive(self, *beginnings: str) -> None:
        """Expect these on the console."""
        self.forgiven += beginnings

    async def judge(self) -> None:
        """Fail if anything was seen that must not happen."""
        for page in self.context.pages:
            assert await page.evaluate("() => window.__pwned") is None, "something ran"
        seen = [x for x in self.faults if not x.startswith(tuple(self.forgiven))]
        assert seen == [], seen

    def watch(self) -> None:
        """Begin to look."""
        self.hosts.add(urlsplit(self.address).netloc)
        self.context.on("console", self._on_console)
        self.context.on("weberror", self._on_error)
        self.context.on("dialog", self._on_dialog)
        self.context.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def _on_error(self, error: WebError) -> None:
        self.faults.append(f"exception: {error.error}")

    async def _on_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https"} and parts.netloc not in self.hosts:
            self.faults.append(f"request: {request.url}")


@asynccontextmanager
async def visiting(
    browser: Browser,
    address: str,
    size: dict[str, int],
    *,
    scheme: Literal["dark", "light"] = "light",
    hosts: tuple[str, ...] = (),
    bypass_csp: bool = False,
) -> AsyncIterator[Visitor]:
    """Give a visitor, and judge at the end what was seen."""
    is_phone = size is PHONE
    context = await browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme=scheme,
        has_touch=is_phone,
        permissions=["clipboard-read", "clipboard-write"],
        reduced_motion="reduce",
        bypass_csp=bypass_csp,
    )
    context.set_default_timeout(10_000)
    visitor = Visitor(context, address, hosts={re.sub("^https?://", "", host) for host in hosts})
    visitor.watch()
    try:
        yield visitor
        await visitor.judge()
    finally:
        await context.close()
