"""The chat in a tab, by the roles and names that a screen reader hears.

May import: standard library, playwright.
"""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

expect.set_options(timeout=10_000)

PASSAGE = "#support-polygon + p"
"""A paragraph of the chapter."""


class Chat:
    """What there is to see and to press."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.opener = page.get_by_role("button", name="Open chat")
        self.panel = page.locator("chatcore-chat").get_by_label("Chat", exact=True)
        self.question = page.get_by_role("textbox", name="Your question")
        self.log = page.get_by_role("log", name="Messages")
        self.questions = page.locator("article[data-role='user']")
        self.answers = page.locator("article[data-role='assistant']")
        self.alert = page.locator("chatcore-chat").get_by_role("alert")
        self.status = page.locator("chatcore-chat").get_by_role("status")
        self.sessions = page.get_by_role("list", name="Conversations")
        self.quote = page.get_by_role("region", name="Selected text")

    def button(self, name: str | re.Pattern[str], *, within: Locator | None = None) -> Locator:
        """Return a button by its whole name."""
        return (within or self.page).get_by_role("button", name=name, exact=True)

    async def open(self) -> None:
        """Have the panel open."""
        await expect(self.opener.or_(self.question).first).to_be_visible()
        if await self.opener.is_visible():
            await self.opener.click()
        await expect(self.question).to_be_visible()

    async def ask(self, text: str) -> None:
        """Type a question and send it."""
        await self.question.fill(text)
        await self.button("Send").click()

    async def hear(self, text: str | re.Pattern[str], *, status: str = "completed") -> Locator:
        """Wait until the last answer says this and is in this state."""
        answer = self.answers.last
        await expect(answer).to_contain_text(text)
        await expect(answer).to_have_attribute("data-status", status)
        return answer

    async def list_sessions(self) -> None:
        """Have the list of conversations open."""
        if not await self.sessions.is_visible():
            await self.button("Conversations").click()
        await expect(self.sessions).to_be_visible()

    async def erase(self, title: str) -> None:
        """Delete a conversation, in the list."""
        await self.list_sessions()
        await self.button(f"Delete {title}").click()
        await self.button("Delete", within=self.sessions).click()
        await expect(self.session(title)).to_have_count(0)

    async def reload(self) -> None:
        """Load the page again, and have the panel open."""
        await self.page.reload()
        await self.open()

    async def leave(self) -> None:
        """Close the tab; by then nothing of the chat runs in it any more.

        A tab that is merely closed goes on for a moment, and sends what the network lets it send.
        """
        await self.page.goto("about:blank")
        await self.page.close()

    def session(self, title: str) -> Locator:
        """Return the button that opens a conversation."""
        return self.sessions.get_by_role("button", name=title, exact=True)

    async def select(self, selector: str) -> str:
        """Select what an element of the page says, as a reader does; return it."""
        await self.page.locator(selector).first.scroll_into_view_if_needed()
        await self.page.evaluate(
            """selector => {
                const range = document.createRange()
                range.selectNodeContents(document.querySelector(selector))
                const selection = getSelection()
                selection.removeAllRanges()
                selection.addRange(range)
            }""",
            selector,
        )
        return await self.page.locator(selector).first.inner_text()


async def begin(chat: Chat, *titles: str) -> None:
    """Begin a conversation with each of these questions."""
    for number, title in enumerate(titles):
        if number:
            await chat.button("New conversation").click()
            await expect(chat.questions).to_have_count(0)
        await chat.ask(title)
        await chat.hear(f"You asked: {title}")
