"""The page: whatever people and models write is shown, and nothing of it runs or loads.

May import: standard library, playwright, pytest, tests.
"""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.chat import Chat
from tests.browser.site import Site
from tests.browser.visitor import DESKTOP, Visitor, visiting
from tests.markup import BOOM, HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AT_ONCE = 12
BATCHES = [HOSTILE[at : at + AT_ONCE] for at in range(0, len(HOSTILE), AT_ONCE)]
# Everything in the chat, through all shadow roots, that is not known to be harmless.
FAULTS = """() => {
    const faults = []
    const look = root => {
        for (const e of root.querySelectorAll('*')) {
            if (e.shadowRoot) look(e.shadowRoot)
            for (const a of e.attributes) {
                if (/^on/i.test(a.name)) faults.push(e.outerHTML.slice(0, 200))
                if (/^\\s*(javascript|data|vbscript):/i.test(a.value)) faults.push(a.value)
            }
        }
        const bad = 'script,style,iframe,object,embed,img,base,meta,form,math,template,details'
        for (const e of root.querySelectorAll(bad))
            if (e.closest('[role=log] article, article[data-role]')) faults.push(e.outerHTML)
    }
    look(document)
    return faults
}"""


async def faults_in(page: Page) -> list[str]:
    """Return everything in a page that replies must not bring."""
    found: list[str] = await page.evaluate(FAULTS)
    return found


@pytest.mark.parametrize("number", range(len(BATCHES)))
async def test_hostile_texts(visitor: Visitor, chat: Chat, site: Site, number: int) -> None:
    """As question, as model output while it streams, and rendered: shown as text, nothing runs."""
    for text in BATCHES[number]:
        site.llm.script(f"{text}\n\nend")
        answers = await chat.answers.count()
        await chat.ask(f"{text} ?")
        await expect(chat.answers).to_have_count(answers + 1)
        await chat.hear("end")
    assert await faults_in(chat.page) == []
    await chat.reload()
    await expect(chat.answers).to_have_count(len(BATCHES[number]))
    assert await faults_in(chat.page) == []
    if number == 0:
        await expect(chat.questions.first).to_contain_text(HOSTILE[0])
        await expect(chat.answers.first).to_contain_text(HOSTILE[0])
    await chat.list_sessions()
    assert await faults_in(chat.page) == []


async def test_a_hostile_quote_and_title(chat: Chat, site: Site) -> None:
    """Selected text and titles are text too."""
    token = "visitor-" + "z" * 43
    headers = {"authorization": f"Bearer {token}"}
    for text in HOSTILE[:12]:
        body = {"message": text, "selected_text": {"text": text, "title": text, "url": text}}
        assert (await site.door.client.post("/chat", json=body, headers=headers)).status_code == 200
    await chat.page.evaluate("token => localStorage.setItem('chatcore.visitor', token)", token)
    await chat.reload()
    await chat.list_sessions()
    for index in range(12):
        await chat.list_sessions()
        titles = chat.sessions.get_by_role("listitem")
        await expect(titles).to_have_count(12)
        await titles.nth(index).get_by_role("button").first.click()
        await expect(chat.questions).to_have_count(1)
        assert await faults_in(chat.page) == []


async def test_a_server_that_lies(browser: Browser, site: Site) -> None:
    """Should HTML from the server ever be bad, the page lets nothing of it through by itself."""

    async def lie(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        for item in body["items"]:
            if "html" in item:
                item["html"] = f"<p onclick={BOOM}>end</p>{text}"
        await route.fulfill(response=answer, json=body)

    async with visiting(browser, site.address, DESKTOP, bypass_csp=True) as visitor:
        chat = await visitor.tab()
        await chat.page.route("**/messages?**", lie)
        for number in range(0, len(HOSTILE), 20):
            text = "".join(HOSTILE[number : number + 20])
            await chat.ask("Lie to me")
            await expect(chat.answers).to_have_count(number // 20 + 1)
            await chat.hear("end")
        assert await faults_in(chat.page) == []
