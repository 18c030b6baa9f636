"""The page: what comes together badly: full storage, taken-back questions, other tabs, refusals.

May import: standard library, playwright, pytest, tests.browser.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from playwright.async_api import Request, Route, expect

from tests.browser.chat import PASSAGE, Chat
from tests.browser.site import Site
from tests.browser.visitor import CALLS, FILL, NETWORK, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def credentials(chat: Chat) -> tuple[dict[str, str], str]:
    """Return the headers that make somebody this visitor, and the open session."""
    token, session_id = await chat.page.evaluate(
        "() => [localStorage['chatcore.visitor'], localStorage['chatcore.session']]"
    )
    return {"authorization": f"Bearer {token}"}, session_id


def refusing(code: str, status: int, seen: list[Request]) -> Any:
    """Return what answers the first call with a problem, and lets the others through."""

    async def answer(route: Route) -> None:
        seen.append(route.request)
        if len(seen) > 1:
            await route.continue_()
            return
        problem = {"code": code, "detail": "No.", "retryable": status == 503}
        await route.fulfill(status=status, body=json.dumps(problem))

    return answer


async def test_a_full_storage(chat: Chat) -> None:
    """Where nothing more can be kept, what was kept is there: one is still the same visitor."""
    await chat.ask("Remember me")
    await chat.hear("You asked: Remember me")
    await chat.page.evaluate(FILL)
    await chat.reload()
    await chat.hear("You asked: Remember me")
    await chat.ask("And me")
    await chat.hear("You asked: And me")
    await expect(chat.questions).to_have_count(2)


async def test_a_storage_that_was_full_before(visitor: Visitor) -> None:
    """Where a site has used up what there is to keep things in, a reload finds the conversation."""
    page = await visitor.context.new_page()
    await page.add_init_script(f"({FILL})()")
    await page.goto(visitor.address)
    chat = Chat(page)
    await chat.open()
    await chat.ask("Remember me")
    await chat.hear("You asked: Remember me")
    assert await chat.page.evaluate("() => localStorage['chatcore.visitor'] ?? null") is None
    await chat.reload()
    await chat.hear("You asked: Remember me")
    await chat.ask("And me")
    await chat.hear("You asked: And me")
    await expect(chat.questions).to_have_count(2)


async def test_a_question_that_is_taken_back(visitor: Visitor, chat: Chat, site: Site) -> None:
    """G2: taken back before it got through, it is not sent, and the one sent instead is."""
    visitor.forgive(NETWORK)
    await chat.ask("Begin")
    await chat.hear("You asked: Begin")
    await chat.page.route(CALLS, lambda route: route.abort("connectionreset"))
    await chat.ask("First")
    await expect(chat.status).to_contain_text("Reconnecting")
    await chat.reload()
    await expect(chat.status).to_contain_text("Reconnecting")
    await chat.button("Stop").click()
    await expect(chat.question).to_have_value("First")
    await chat.ask("Second")
    await expect(chat.questions.last).to_contain_text("Second")
    await chat.page.unroute(CALLS)
    await chat.page.evaluate("() => dispatchEvent(new Event('online'))")
    await chat.hear("You asked: Second")
    await expect(chat.questions).to_have_count(2)
    await expect(chat.question).to_have_value("")
    assert len(site.llm.requests) == 2


async def test_a_lost_conversation_costs_no_other_text(
    visitor: Visitor, chat: Chat, site: Site
) -> None:
    """What waits in a new conversation is still there when another one turns out to be gone."""
    visitor.forgive(NETWORK)
    await chat.ask("Legs")
    await chat.hear("You asked: Legs")
    await chat.button("New conversation").click()
    await chat.question.fill("half a thought")
    await chat.list_sessions()
    await chat.session("Legs").click()
    await chat.hear("You asked: Legs")
    headers, session_id = await credentials(chat)
    await chat.question.fill("about legs")
    await site.door.client.delete(f"/sessions/{session_id}", headers=headers)
    for _ in range(2):
        await chat.reload()
        await expect(chat.question).to_have_value("about legs\n\nhalf a thought")
        await expect(chat.questions).to_have_count(0)


async def test_a_key_that_is_taken(visitor: Visitor, chat: Chat) -> None:
    """Refused because its key names another question, a question goes out with a new key."""
    visitor.forgive(NETWORK)
    seen: list[Request] = []
    await chat.page.route("**/chat", refusing("idempotency_key_reused", 422, seen))
    await chat.ask("Hello")
    await expect(chat.alert).to_be_visible()
    await chat.button("Try again").click()
    await chat.hear("You asked: Hello")
    first, second = [request.headers["idempotency-key"] for request in seen]
    assert first != second


async def test_a_reply_that_could_not_be_stopped(visitor: Visitor, chat: Chat, site: Site) -> None:
    """If the question that was to stop a reply is refused, the reply is still followed."""
    visitor.forgive(NETWORK)
    said = site.dictate()
    said.say("Once upon")
    await chat.ask("Story")
    await chat.hear("Once upon", status="running")
    await chat.question.fill("Enough")
    await chat.question.press("Enter")
    await chat.page.route("**/chat", refusing("service_overloaded", 503, []))
    await chat.button("Stop it and ask").click()
    await expect(chat.alert).to_contain_text("very busy")
    await chat.hear("Once upon", status="running")
    said.say(" a time")
    said.end()
    await chat.hear("Once upon a time")
    await expect(chat.question).to_have_value("Enough")
    await chat.button("Try again").click()
    await chat.hear("You asked: Enough")


async def test_a_stop_that_does_not_get_through(visitor: Visitor, chat: Chat, site: Site) -> None:
    """Asked before the turn began, and lost on its way, it is said and can be tried again."""
    visitor.forgive(NETWORK)
    site.dictate().say("Once")
    asked, may_go = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await may_go.wait()
        await route.continue_()

    await chat.page.route("**/chat", hold)
    await chat.page.route("**/stop", lambda route: route.abort("connectionreset"))
    await chat.ask("Story")
    await asked.wait()
    await chat.button("Stop").click()
    may_go.set()
    await expect(chat.alert).to_contain_text("cannot be reached")
    await chat.page.unroute("**/stop")
    await chat.button("Try again").click()
    await expect(chat.answers.last).to_have_attribute("data-status", "stopped")


async def test_stopping_what_is_sent_after_a_reload(chat: Chat, site: Site) -> None:
    """A question is sent again once the conversation was read; stopped before that, it stops."""
    await chat.ask("Begin")
    await chat.hear("You asked: Begin")
    site.dictate().say("Once")
    asked, may_look = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await may_look.wait()
        await route.continue_()

    await chat.page.route("**/chat", lambda _: asked.set())
    await chat.ask("Story")
    await asked.wait()
    asked.clear()
    await chat.page.route("**/messages?**", hold)
    await chat.reload()
    await asked.wait()
    await chat.button("Stop").click()
    await chat.page.unroute("**/chat")
    may_look.set()
    await expect(chat.answers).to_have_count(2)
    await expect(chat.answers.last).to_have_attribute("data-status", "stopped")
    await expect(chat.questions.last).to_contain_text("Story")


async def test_a_question_that_another_tab_could_not_send(visitor: Visitor, chat: Chat) -> None:
    """What waits to be sent outlives its tab, whatever is typed beside it in another one."""
    visitor.forgive(NETWORK)
    other = await visitor.tab()
    await visitor.context.set_offline(True)
    await chat.ask("Asked without a network")
    await expect(chat.questions).to_have_count(1)
    await other.question.fill("typed beside it")
    await chat.leave()
    await visitor.context.set_offline(False)
    await other.reload()
    await other.hear("You asked: Asked without a network")
    await expect(other.question).to_have_value("typed beside it")
    await other.button("Send").click()
    await other.hear("You asked: typed beside it")
    await other.reload()
    await expect(other.questions).to_have_count(2)
    await expect(other.question).to_have_value("")


@pytest.mark.parametrize("begun", [False, True])
async def test_two_questions_without_a_network(
    visitor: Visitor, chat: Chat, *, begun: bool
) -> None:
    """Two tabs each ask what cannot be sent: both are answered, though one tab is gone."""
    visitor.forgive(NETWORK)
    if begun:
        await chat.ask("Begin")
        await chat.hear("You asked: Begin")
    other = await visitor.tab()
    await expect(other.questions).to_have_count(int(begun))
    await visitor.context.set_offline(True)
    await chat.ask("first")
    await other.ask("second")
    await expect(other.questions.last).to_contain_text("second")
    await chat.leave()
    await visitor.context.set_offline(False)
    await other.hear("You asked: second")
    if begun:
        await other.reload()
    else:
        await other.button("New conversation").click()
    # Which of the two comes first in one conversation is up to the network.
    await expect(other.log).to_contain_text("You asked: first")
    await other.reload()
    await expect(other.questions).to_have_count(3 if begun else 1)
    kept = "() => Object.keys(localStorage).filter((name) => name.startsWith('chatcore.sent'))"
    assert await other.page.evaluate(kept) == []


async def test_a_question_for_a_conversation_that_is_gone(visitor: Visitor, chat: Chat) -> None:
    """What a closed tab could not send there begins another one, with what is typed beside it."""
    visitor.forgive(NETWORK)
    await chat.ask("Begin")
    await chat.hear("You asked: Begin")
    headers, session_id = await credentials(chat)
    other = await visitor.tab()
    await expect(other.questions).to_have_count(1)
    await chat.page.route("**/chat", lambda route: route.abort("connectionreset"))
    await chat.ask("could not be sent")
    await expect(chat.questions.last).to_contain_text("could not be sent")
    await chat.leave()
    await other.question.fill("typed")
    erased = await visitor.context.request.delete(
        f"{visitor.address}/sessions/{session_id}", headers=headers
    )
    assert erased.status == 204
    await other.page.evaluate(
        "sessionId => new BroadcastChannel('chatcore').postMessage({type: 'turn', sessionId})",
        session_id,
    )
    await expect(other.alert).to_be_visible()
    await expect(other.question).to_have_value("typed")
    await other.reload()
    await other.hear("You asked: could not be sent")
    await expect(other.question).to_have_value("typed")


async def test_an_edit_elsewhere_while_this_tab_reads(chat: Chat, site: Site) -> None:
    """G8: what was replaced elsewhere, and answered before this tab looked, is gone here too."""
    await chat.ask("Old one")
    await chat.hear("You asked: Old one")
    headers, session_id = await credentials(chat)
    place = f"/sessions/{session_id}/messages"
    question, *_ = (await site.door.client.get(place, headers=headers)).json()["items"]
    site.dictate().say("Once")
    await chat.ask("Story")
    await chat.hear("Once", status="running")
    looked, may_look = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        looked.set()
        await may_look.wait()
        await route.continue_()

    await chat.page.route(re.compile(r"/messages\?.*after="), hold)
    body = {"message": "Better one", "on_busy": "supersede"}
    edit = f"{place}/{question['message_id']}/edit"
    answer = await site.door.client.post(edit, json=body, headers=headers)
    assert answer.status_code == 200
    await looked.wait()
    may_look.set()
    await chat.hear("You asked: Better one")
    await expect(chat.questions).to_have_count(1)
    await expect(chat.log).not_to_contain_text("Old one")


async def test_a_very_long_address(visitor: Visitor, site: Site) -> None:
    """A passage can be asked about wherever it is from; too long an address is shortened."""
    chat = await visitor.tab("/?from=" + "y" * 3000)
    await chat.page.evaluate("() => { document.title = 'z'.repeat(3000) }")
    await chat.button("Close chat").click()
    await chat.select(PASSAGE)
    await chat.button("Ask about this").click()
    await chat.ask("What is it?")
    await chat.hear("You asked")
    (quote,) = site.quotes()
    assert (quote.title, quote.url) == ("z" * 2048, f"{site.address}/")


async def test_taken_out_of_the_page(visitor: Visitor, chat: Chat, site: Site) -> None:
    """What a site removes from its page goes quiet; put in again it is there as before."""
    visitor.forgive(NETWORK)
    followed: list[Request] = []
    chat.page.on("request", lambda r: followed.append(r) if "/events" in r.url else None)
    said = site.dictate()
    said.say("one ")
    await chat.ask("Count")
    await chat.hear("one", status="running")
    removed = "() => { window.removed = document.querySelector('chatcore-chat'); removed.remove() }"
    await chat.page.evaluate(removed)
    site.wire.hiccup()
    await chat.page.evaluate(
        "import('/widget/main.js').then(m => m.start(`${location.origin}/widget.js`, {open: '1'}))"
    )
    await chat.hear("one", status="running")
    # Whoever waits to try again does so now.
    await chat.page.evaluate("() => dispatchEvent(new Event('online'))")
    said.say("two")
    said.end()
    await chat.hear("one two")
    assert len(followed) == 1
    await chat.page.evaluate(
        "() => document.querySelector('chatcore-chat').replaceWith(window.removed)"
    )
    await chat.open()
    await chat.hear("one two")
    await chat.ask("Again")
    await chat.hear("You asked: Again")
    await expect(chat.questions).to_have_count(2)
