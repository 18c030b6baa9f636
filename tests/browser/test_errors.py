"""The page: what goes wrong is said in plain words, can be tried again, and loses nothing.

May import: standard library, chatcore, playwright, pytest, tests.browser.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from playwright.async_api import Route, expect

from chatcore import LLMIncomplete, LLMRateLimited, StorageUnavailable
from tests.browser.chat import Chat
from tests.browser.site import Site
from tests.browser.visitor import NETWORK, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_a_failing_model(visitor: Visitor, chat: Chat, site: Site) -> None:
    """The question stays, the reason is said without the provider's words, another try helps."""
    visitor.forgive(NETWORK)
    site.llm.script(LLMRateLimited("secret words of the provider"), "It works again")
    await chat.ask("Hello?")
    await expect(chat.alert).to_be_visible()
    await expect(chat.alert).not_to_contain_text("secret")
    await expect(chat.alert).not_to_contain_text("llm_")
    await expect(chat.questions).to_contain_text("Hello?")
    await chat.button("Try again").click()
    await chat.hear("It works again")
    await expect(chat.alert).to_have_count(0)
    await expect(chat.questions).to_have_count(1)


async def test_an_answer_that_breaks_off(visitor: Visitor, chat: Chat, site: Site) -> None:
    """What came before the failure is shown and marked; another try takes its place."""
    visitor.forgive(NETWORK)
    said = site.dictate()
    said.say("Half of ")
    await chat.ask("All of it")
    await chat.hear("Half of", status="running")
    said.fail(LLMIncomplete("cut"))
    await chat.hear("Half of", status="failed")
    await expect(chat.alert).to_be_visible()
    await chat.reload()
    await chat.hear("Half of", status="failed")
    site.llm.script("All of it, now")
    await chat.button("Try again").first.click()
    await chat.hear("All of it, now")
    await expect(chat.log).not_to_contain_text("Half of")


async def test_a_database_that_is_away(visitor: Visitor, chat: Chat, site: Site) -> None:
    """G2: nothing was stored, nothing typed is lost, and the same question is asked once."""
    visitor.forgive(NETWORK)
    site.door.repository.error = StorageUnavailable()
    await chat.ask("Keep this")
    await expect(chat.alert).to_be_visible()
    assert site.llm.requests == []
    await chat.reload()
    site.door.repository.error = None
    if await chat.question.input_value() == "Keep this":
        await chat.button("Send").click()
    else:
        await chat.button("Try again").click()
    await chat.hear("You asked: Keep this")
    await expect(chat.questions).to_have_count(1)
    await expect(chat.question).to_have_value("")
    assert len(site.llm.requests) == 1


async def test_an_answer_that_gets_lost(visitor: Visitor, chat: Chat, site: Site) -> None:
    """G2: if the question was stored and only the answer was lost, a retry does not ask twice."""
    visitor.forgive(NETWORK)
    lost: list[str] = []

    async def lose(route: Route) -> None:
        if lost:
            await route.continue_()
            return
        lost.append(route.request.headers["idempotency-key"])
        await route.fetch()  # it arrives, and is answered, and the answer goes nowhere
        await route.abort("connectionreset")

    await chat.page.route("**/chat", lose)
    await chat.ask("Only once")
    retry = chat.button("Try again")
    await expect(retry.or_(chat.answers).first).to_be_visible()
    if await retry.is_visible():
        await retry.click()
    await chat.hear("You asked: Only once")
    await expect(chat.questions).to_have_count(1)
    assert len(lost[0]) >= 16
    assert len(site.llm.requests) == 1


async def test_a_question_that_is_too_long(visitor: Visitor, chat: Chat, site: Site) -> None:
    """What the service refuses stays in the field, with the reason."""
    visitor.forgive(NETWORK)
    text = "y" * 32_001
    await chat.question.fill(text)
    await chat.button("Send").click()
    await expect(chat.alert).to_be_visible()
    if await chat.button("Try again").is_visible():
        assert site.llm.requests == []
    await chat.reload()
    await expect(chat.question).to_have_value(text)
    await chat.question.fill("shorter")
    await chat.button("Send").click()
    await chat.hear("You asked: shorter")


async def test_a_reply_is_running_already(visitor: Visitor, chat: Chat, site: Site) -> None:
    """G3: who is refused for that may stop the reply and ask; the part is kept."""
    visitor.forgive(NETWORK)
    await chat.ask("Begin")
    await chat.hear("You asked: Begin")
    said = site.dictate()
    said.say("Long story")
    # Somebody asks with the same token where this tab is not told.
    await chat.page.evaluate("() => { window.BroadcastChannel.prototype.postMessage = () => {} }")
    token, session = await chat.page.evaluate(
        "() => [localStorage['chatcore.visitor'], localStorage['chatcore.session']]"
    )
    asking = site.door.client.post(
        "/chat",
        json={"message": "Elsewhere", "session_id": json_text(session)},
        headers={"authorization": f"Bearer {token}"},
    )
    elsewhere = asyncio.create_task(asking)
    await site.llm.asked.wait()
    while len(site.llm.requests) < 2:
        await asyncio.sleep(0.02)
    await chat.ask("Me too")
    await expect(chat.alert).to_be_visible()
    await chat.button("Stop it and ask").click()
    await chat.hear("You asked: Me too")
    await elsewhere
    await chat.reload()
    await chat.hear("You asked: Me too")
    await expect(chat.questions).to_have_count(3)
    await expect(chat.answers.nth(1)).to_have_attribute("data-status", "stopped")


def json_text(value: str) -> str:
    """Return a stored text, quoted as JSON or not."""
    return str(json.loads(value)) if value.startswith('"') else value


@pytest.mark.parametrize(
    "event", ["event: news\ndata: {}\n\n", "data: x\n\n", ":\n\n", "id: x\n\n"]
)
async def test_events_nobody_knows(chat: Chat, event: str) -> None:
    """Events of later versions are passed over."""

    async def add(route: Route) -> None:
        answer = await route.fetch()
        body = (await answer.text()).replace("event: delta", event + "event: delta")
        await route.fulfill(response=answer, body=body)

    await chat.page.route("**/chat", add)
    await chat.ask("Hello")
    await chat.hear("You asked: Hello")
