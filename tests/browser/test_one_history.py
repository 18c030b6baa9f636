"""One conversation through every door: begun in the page, one history for all.

May import: standard library, httpx, playwright, pytest, tests.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from playwright.async_api import expect

from tests.browser.chat import Chat
from tests.browser.site import Site
from tests.doors.chatkit.frontend import PATH as CHATKIT
from tests.doors.chatkit.frontend import THREAD, body_of, read
from tests.doors.openai.client import client_of

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_one_history(chat: Chat, site: Site) -> None:
    """Asked in the page, gone on with OpenAI's client, rated through ChatKit: all see the same."""
    await chat.ask("Begun in the page")
    await chat.hear("You asked: Begun in the page")
    token = await chat.page.evaluate("() => localStorage['chatcore.visitor']")
    session_id = UUID(await chat.page.evaluate("() => localStorage['chatcore.session']"))

    place = urlsplit(site.address)
    said = ["Begun in the page", "Gone on elsewhere"]
    said = [text for question in said for text in (question, f"You asked: {question}")]
    async with client_of((place.hostname or "", place.port or 0), token) as client:
        model = (await client.models.list()).data[0].id
        conversation = f"conv_{session_id.hex}"
        answer = await client.responses.create(
            model=model, input="Gone on elsewhere", conversation=conversation
        )
        assert answer.output_text == said[-1]
        items: Any = await client.conversations.items.list(conversation, order="asc")
        assert [item.content[0].text async for item in items] == said

    async with httpx.AsyncClient(
        base_url=site.address, headers={"Authorization": f"Bearer {token}"}
    ) as http:
        found = await _post(http, body_of("threads.get_by_id", thread_id=f"thr_{session_id.hex}"))
        thread = read(THREAD, found)
        assert [item.content[0].text for item in thread.items.data] == said
        liked = thread.items.data[-1].id
        await _post(
            http,
            body_of("items.feedback", thread_id=thread.id, item_ids=[liked], kind="positive"),
        )
        shown = (await http.get(f"/api/chat/{session_id}")).json()
        assert [message["parts"][0]["text"] for message in shown] == said

    await chat.reload()
    await chat.hear("You asked: Gone on elsewhere")
    assert await chat.questions.count() == await chat.answers.count() == 2
    good = chat.button("Good answer", within=chat.answers.last)
    await expect(good).to_have_attribute("aria-pressed", "true")


async def _post(http: httpx.AsyncClient, body: dict[str, Any]) -> Any:
    answer = await http.post(CHATKIT, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()
