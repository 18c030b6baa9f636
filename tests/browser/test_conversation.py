"""The page: asking, reading along, stopping, asking again, editing, rating, copying, quoting.

May import: standard library, playwright, pytest, tests.browser.
"""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.chat import PASSAGE, Chat
from tests.browser.site import Site
from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

RICH = "A **humanoid** has\n\n- two legs\n- two arms\n\n```python\nlean = 0.1\n```\n\n|a|\n|-|\n|1|"


async def test_an_answer_is_shown_while_it_is_written(chat: Chat, site: Site) -> None:
    """G5: text appears as it comes, plain; when it is whole it becomes Markdown."""
    said = site.dictate()
    await chat.ask("What is a **humanoid**?")
    await expect(chat.questions).to_have_count(1)
    await expect(chat.questions).to_contain_text("What is a **humanoid**?")
    await expect(chat.question).to_have_value("")
    said.say("A **human", "oid** robot")
    answer = await chat.hear("A **humanoid** robot", status="running")
    await expect(chat.button("Stop")).to_be_visible()
    said.say(" walks.")
    said.end()
    await chat.hear("A humanoid robot walks.")
    await expect(answer.locator("strong")).to_have_text("humanoid")
    await expect(chat.button("Stop")).to_be_hidden()
    await expect(chat.button("Send")).to_be_visible()
    await expect(answer).to_have_attribute("data-message-id", re.compile("[0-9a-f-]{36}"))


async def test_markdown_is_shown_as_such(chat: Chat, site: Site) -> None:
    """Lists, code, tables and emphasis; links open elsewhere and tell nobody where from."""
    site.llm.script(RICH + "\n\n[more](https://book.example/x) ![p](https://evil.example/p.png)")
    await chat.ask("Show me")
    answer = await chat.hear("two legs")
    await expect(answer.locator("li")).to_have_count(2)
    await expect(answer.locator("pre code")).to_have_text("lean = 0.1\n")
    await expect(answer.locator("td")).to_have_text(["1"])
    await expect(answer.locator("img")).to_have_count(0)
    link = answer.get_by_role("link", name="more")
    await expect(link).to_have_attribute("href", "https://book.example/x")
    await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    await expect(link).to_have_attribute("target", "_blank")


async def test_stopping(chat: Chat, site: Site) -> None:
    """Stop keeps the part, marks it, survives a reload, and the next question is taken at once."""
    site.dictate().say("Half an ", "answer")
    await chat.ask("Tell me everything")
    await chat.hear("Half an answer", status="running")
    await chat.button("Stop").click()
    await chat.hear("Half an answer", status="stopped")
    await chat.reload()
    await chat.hear("Half an answer", status="stopped")
    await chat.ask("And now?")
    await chat.hear("You asked: And now?")
    await expect(chat.answers).to_have_count(2)


async def test_keys_of_the_composer(chat: Chat) -> None:
    """Enter sends, Shift+Enter begins a line, and what is blank is not sent."""
    await chat.question.press("Enter")
    await chat.question.fill("   ")
    await chat.question.press("Enter")
    await expect(chat.questions).to_have_count(0)
    await chat.question.fill("one")
    await chat.question.press("Shift+Enter")
    await chat.question.press_sequentially("two")
    await chat.question.press("Enter")
    await chat.hear("You asked: one")
    await expect(chat.questions).to_contain_text("one\ntwo", use_inner_text=True)
    await expect(chat.questions).to_have_count(1)


async def test_answering_again(chat: Chat, site: Site) -> None:
    """G8: another answer takes the place of the first, here and after a reload."""
    site.llm.script("first answer", "second answer")
    await chat.ask("Which one?")
    answer = await chat.hear("first answer")
    await chat.button("Answer again", within=answer).click()
    await chat.hear("second answer")
    for _ in range(2):
        await expect(chat.log).not_to_contain_text("first answer")
        await expect(chat.answers).to_have_count(1)
        await expect(chat.questions).to_have_count(1)
        await chat.reload()
        await chat.hear("second answer")


async def test_editing(chat: Chat) -> None:
    """G8: an edited question takes the place of what followed; a cancelled edit changes nothing."""
    for text in ("first", "second"):
        await chat.ask(text)
        await chat.hear(f"You asked: {text}")
    await expect(chat.questions).to_have_count(2)
    first = chat.questions.first
    edited = chat.page.get_by_role("textbox", name="Edit question")
    await chat.button("Edit", within=first).click()
    await expect(edited).to_have_value("first")
    await edited.fill("changed my mind")
    await chat.button("Cancel").click()
    await expect(edited).to_have_count(0)
    await expect(first).to_contain_text("first")
    await chat.button("Edit", within=first).click()
    await edited.fill("first, better")
    await chat.button("Save").click()
    await chat.hear("You asked: first, better")
    for _ in range(2):
        await expect(chat.questions).to_have_count(1)
        await expect(chat.answers).to_have_count(1)
        await expect(chat.log).not_to_contain_text("second")
        await chat.reload()
        await chat.hear("You asked: first, better")


async def test_thumbs(chat: Chat) -> None:
    """A rating is kept; the other one replaces it; pressed again it is taken back."""
    await chat.ask("Rate me")
    answer = await chat.hear("You asked: Rate me")
    good, bad = (chat.button(f"{word} answer", within=answer) for word in ("Good", "Bad"))
    for press, states in ((good, "10"), (bad, "01"), (bad, "00"), (good, "10")):
        await press.click()
        for button, state in zip((good, bad), states, strict=True):
            pressed = "true" if state == "1" else "false"
            await expect(button).to_have_attribute("aria-pressed", pressed)
    await chat.reload()
    await chat.hear("You asked: Rate me")
    await expect(good).to_have_attribute("aria-pressed", "true")
    await expect(bad).to_have_attribute("aria-pressed", "false")


async def test_copying(chat: Chat, site: Site) -> None:
    """What is copied is what the model wrote; of code, the code alone."""
    site.llm.script(RICH)
    await chat.ask("Show me")
    answer = await chat.hear("two legs")
    read = "() => navigator.clipboard.readText()"
    await chat.button("Copy", within=answer).click()
    await expect(answer).to_contain_text("two legs")
    await chat.page.wait_for_function("async () => (await navigator.clipboard.readText()) !== ''")
    assert await chat.page.evaluate(read) == RICH
    await chat.button("Copy code", within=answer).click()
    await chat.page.wait_for_function(
        "async () => !(await navigator.clipboard.readText()).includes('legs')"
    )
    assert (await chat.page.evaluate(read)).rstrip("\n") == "lean = 0.1"


async def test_asking_about_a_selection(visitor: Visitor, site: Site) -> None:
    """A passage of the page goes along with the question, with where it is from, and is shown."""
    page = await visitor.context.new_page()
    await page.goto(site.address)
    chat = Chat(page)
    await expect(chat.opener.or_(chat.question).first).to_be_visible()
    if await chat.button("Close chat").is_visible():
        await chat.button("Close chat").click()
    passage = await chat.select(PASSAGE)
    await chat.button("Ask about this").click()
    await expect(chat.quote).to_contain_text(passage[:40])
    await chat.ask("What does it mean?")
    await chat.hear("You asked")
    for _ in range(2):
        await expect(chat.quote).to_be_hidden()
        await expect(chat.questions.locator("blockquote")).to_contain_text(passage[:40])
        await chat.reload()
    (quote,) = site.quotes()
    assert " ".join(quote.text.split()) == " ".join(passage.split())
    assert quote.title == await page.title()
    assert (quote.url, quote.anchor) == (f"{site.address}/", "support-polygon")


async def test_taking_a_selection_back(visitor: Visitor, chat: Chat, site: Site) -> None:
    """By keyboard too a selection can be taken along; removed, it is not sent."""
    await chat.button("Close chat").click()
    passage = await chat.select(PASSAGE)
    await chat.page.keyboard.press("Alt+q")
    await expect(chat.quote).to_contain_text(passage[:40])
    await chat.button("Remove selected text").click()
    await expect(chat.quote).to_be_hidden()
    await chat.ask("No passage")
    await chat.hear("You asked: No passage")
    await expect(chat.questions.locator("blockquote")).to_have_count(0)


async def test_older_messages(chat: Chat, site: Site) -> None:
    """A long conversation begins with its newest page; the older ones can be had."""
    await chat.ask("question 0")
    await chat.hear("You asked: question 0")
    token = await chat.page.evaluate("() => localStorage['chatcore.visitor']")
    headers = {"authorization": f"Bearer {token}"}
    (session,) = (await site.door.client.get("/sessions", headers=headers)).json()["items"]
    for number in range(1, 60):
        body = {"message": f"question {number}", "session_id": session["session_id"]}
        assert (await site.door.client.post("/chat", json=body, headers=headers)).status_code == 200
    await chat.reload()
    await chat.hear("You asked: question 59")
    first = chat.questions.filter(has_text=re.compile(r"question 0$|question 0\b"))
    await expect(first).to_have_count(0)
    older = chat.button("Older messages")
    for _ in range(6):
        if await first.count():
            break
        shown = await chat.questions.count()
        await older.click()
        await expect(chat.questions).not_to_have_count(shown)
    await expect(first).to_have_count(1)
    await expect(older).to_be_hidden()
    await expect(chat.questions).to_have_count(60)


async def test_long_words_do_not_widen_the_page(chat: Chat, site: Site) -> None:
    """Very long words and lines of code stay inside: nothing has to be scrolled sideways."""
    site.llm.script(f"{'w' * 600}\n\n```\n{'c' * 600}\n```\n\n{('|' + 'h' * 40) * 9}\n{'|-' * 9}\n")
    await chat.ask("x" * 600)
    await chat.hear("www")
    for where in ("document.documentElement", "document.body"):
        assert await chat.page.evaluate(f"() => {where}.scrollWidth <= innerWidth")
    assert await chat.log.evaluate("log => log.scrollWidth <= log.clientWidth + 1")


async def test_the_visitors_token(chat: Chat) -> None:
    """The browser makes it: 256 random bits, kept, and the same after a reload."""
    read = "() => localStorage['chatcore.visitor']"
    token = await chat.page.evaluate(read)
    assert re.fullmatch(r"visitor-[A-Za-z0-9_-]{43}", token)
    await chat.reload()
    assert await chat.page.evaluate(read) == token
