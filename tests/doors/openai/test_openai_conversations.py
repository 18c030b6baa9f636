"""Conversations and their items, with OpenAI's own client over real HTTP.

May import: standard library, chatcore, openai, pydantic, pytest, tests.
"""

from __future__ import annotations

from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.conversations import Conversation, ConversationItem
from pydantic import TypeAdapter

from chatcore import LLMUnavailable, StorageUnavailable
from tests.doors.openai.client import refusal, said
from tests.http.door import VISITOR_A, Door, bearer

_ITEM: TypeAdapter[Any] = TypeAdapter(ConversationItem)
ANNA = bearer(VISITOR_A)
PAIRS: list[Any] = [
    {"type": "message", "role": "user", "content": "one"},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "two", "annotations": []}],
    },
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "three"}]},
    {"type": "message", "role": "assistant", "content": "four"},
]


async def items_of(client: AsyncOpenAI, known: str, **query: Any) -> list[tuple[str, str]]:
    """Return role and text of all items, walking page by page as the client does."""
    found = []
    async for item in client.conversations.items.list(known, **query):
        checked: Any = _ITEM.validate_python(item.model_dump())
        found.append((checked.role, checked.content[0].text))
    return found


async def test_a_conversation(anna: AsyncOpenAI) -> None:
    """It is made, looked at, noted upon, and erased with everything in it."""
    made = await anna.conversations.create(metadata={"a": "b"})
    assert made == Conversation.model_validate(made.model_dump())
    assert await anna.conversations.retrieve(made.id) == made
    noted = await anna.conversations.update(made.id, metadata={"c": "d"})
    assert noted.metadata == {"c": "d"}
    assert (await anna.conversations.retrieve(made.id)).metadata == {"c": "d"}
    response = await anna.responses.create(input="x", conversation=made.id)
    gone = await anna.conversations.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "conversation.deleted")
    for call in (
        anna.conversations.retrieve(made.id),
        anna.conversations.delete(made.id),
        anna.conversations.update(made.id, metadata={}),
        anna.conversations.items.list(made.id),
        anna.responses.create(input="x", conversation=made.id),
    ):
        assert said(await refusal(call)) == (404, "conversation_not_found", None)
    assert said(await refusal(anna.responses.retrieve(response.id)))[1] == "response_not_found"


async def test_what_was_said_elsewhere(anna: AsyncOpenAI, door: Door) -> None:
    """Pairs are kept without asking the model, and it knows them from then on."""
    made = await anna.conversations.create(items=PAIRS)
    assert door.llm.requests == []
    added = await anna.conversations.items.create(made.id, items=PAIRS[:2])
    assert [item.role for item in added.data] == ["user", "assistant"]  # type: ignore[union-attr]
    assert (added.first_id, added.last_id) == (added.data[0].id, added.data[1].id)
    await anna.responses.create(input="five", conversation=made.id)
    prompt = door.llm.requests[-1].prompt
    told = ["one", "two", "three", "four", "one", "two", "five"]
    assert [message.content for message in prompt.messages] == told
    assert [text for _, text in await items_of(anna, made.id, order="asc")] == [
        *told,
        "You asked: five",
    ]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages(anna: AsyncOpenAI, door: Door, order: str, limit: int) -> None:
    """Walking gives every message that counts once, past what failed or was replaced."""
    made = await anna.conversations.create(items=PAIRS)
    door.llm.script(LLMUnavailable("x"))
    await refusal(anna.responses.create(input="fails", conversation=made.id))
    first = await anna.responses.create(input="old", conversation=made.id)
    before = await anna.responses.create(input="base", conversation=made.id)
    await anna.responses.create(input="gone", conversation=made.id)
    await anna.responses.create(input="here", previous_response_id=before.id)
    assert first.output_text
    expected = [
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
        ("assistant", "four"),
        ("user", "fails"),
        ("user", "old"),
        ("assistant", "You asked: old"),
        ("user", "base"),
        ("assistant", "You asked: base"),
        ("user", "here"),
        ("assistant", "You asked: here"),
    ]
    found = await items_of(anna, made.id, order=order, limit=limit)
    assert found == (expected if order == "asc" else expected[::-1])


async def test_an_item_that_was_replaced(anna: AsyncOpenAI) -> None:
    """It is no item any more, neither the question nor the answer."""
    made = await anna.conversations.create(items=PAIRS[:2])
    first = await anna.responses.create(input="base", conversation=made.id)
    await anna.responses.create(input="gone", conversation=made.id)
    page = await anna.conversations.items.list(made.id, limit=2)
    await anna.responses.create(input="here", previous_response_id=first.id)
    for item in page.data:
        known = item.id or ""
        error = await refusal(anna.conversations.items.retrieve(known, conversation_id=made.id))
        assert said(error) == (404, "item_not_found", None)


async def test_an_empty_page(anna: AsyncOpenAI) -> None:
    """The client's types want ids also where there is nothing."""
    made = await anna.conversations.create()
    page = await anna.conversations.items.list(made.id)
    assert (page.data, page.has_more, page.last_id) == ([], False, "")


async def test_one_item(anna: AsyncOpenAI) -> None:
    """An item is found by its id, which is the one that the response's stream gave it."""
    made = await anna.conversations.create()
    response = await anna.responses.create(input="x", conversation=made.id)
    page = await anna.conversations.items.list(made.id)
    assert page.data[0].id == response.output[0].id
    for item in page.data:
        assert (
            await anna.conversations.items.retrieve(item.id or "", conversation_id=made.id) == item
        )
        error = await refusal(
            anna.conversations.items.delete(item.id or "", conversation_id=made.id)
        )
        assert said(error) == (400, "item_not_deletable", "item_id")
    other = await anna.conversations.create()
    for known, place in (
        (page.data[0].id, other.id),
        ("msg_x", made.id),
        ("msg_" + "0" * 32, made.id),
    ):
        for call in (anna.conversations.items.retrieve, anna.conversations.items.delete):
            error = await refusal(call(known or "", conversation_id=place))
            assert said(error) == (404, "item_not_found", None)


@pytest.mark.parametrize(
    ("items", "code", "param"),
    [
        (PAIRS[:1], "invalid_request", "items"),
        (PAIRS[1:2], "invalid_request", "items"),
        ([{"role": "system", "content": "x"}], "unsupported_parameter", "items"),
        ([{"type": "function_call"}], "unsupported_parameter", "items[0].type"),
        (PAIRS * 6, "invalid_request", "items"),
        ([{"role": "user", "content": " "}, PAIRS[1]], "invalid_request", "items"),
        ([PAIRS[0], {"role": "assistant", "content": "\0"}], "invalid_request", "items"),
        ([*PAIRS[:3], {"role": "assistant", "content": " "}], "invalid_request", "items"),
    ],
)
async def test_items_that_cannot_be_kept(
    anna: AsyncOpenAI, door: Door, items: list[Any], code: str, param: str
) -> None:
    """Nothing of them is, nor a conversation for them."""
    made = await anna.conversations.create()
    error = await refusal(anna.conversations.items.create(made.id, items=items))
    assert said(error) == (400, code, param)
    assert await items_of(anna, made.id) == []
    error = await refusal(anna.conversations.create(items=items))
    assert said(error) == (400, code, param)
    assert len(door.repository._kept) == 1


async def test_items_that_may_have_been_kept(anna: AsyncOpenAI, door: Door) -> None:
    """If the store does not answer they are not to be sent again by themselves."""
    made = await anna.conversations.create()
    door.repository.error = StorageUnavailable("secret")
    create: Any = anna.conversations.create
    add: Any = anna.conversations.items.create
    for call, place in ((add, [made.id]), (create, [])):
        error = await refusal(call(*place, items=PAIRS))
        assert said(error) == (503, "storage_unavailable", None)
        assert error.response.headers["x-should-retry"] == "false"


async def test_a_bad_page(anna: AsyncOpenAI) -> None:
    """What cannot be a page is refused by its name."""
    made = await anna.conversations.create(items=PAIRS)
    lists: Any = anna.conversations.items.list
    for query, param in (
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"order": "sideways"}, "order"),
        ({"after": "msg_x"}, "after"),
        ({"after": "msg_" + "0" * 32}, "after"),
    ):
        assert said(await refusal(lists(made.id, **query))) == (400, "invalid_request", param)


async def test_metadata_of_other_doors_stays(anna: AsyncOpenAI, door: Door) -> None:
    """What is noted down under a name of ours is neither shown nor lost."""
    made = await anna.conversations.create(metadata={"a": "b"})
    (session,) = [kept.session for kept in door.repository._kept.values()]
    service = door.app.state.lifecycle._service
    await service.note(session.owner_id, session.id, (("_ours", "1"), ("a", "b")))
    assert (await anna.conversations.retrieve(made.id)).metadata == {"a": "b"}
    await anna.conversations.update(made.id, metadata={"c": "d"})
    noted = (await service.session(session.owner_id, session.id)).metadata
    assert noted == (("_ours", "1"), ("c", "d"))
    error = await refusal(anna.conversations.update(made.id, metadata={"_x": "y"}))
    assert said(error) == (400, "invalid_request", "metadata")


async def test_one_history_at_all_doors(anna: AsyncOpenAI, door: Door) -> None:
    """A session of our own door is a conversation here, and the other way round."""
    asked = {"message": "native", "selected_text": "a passage"}
    begun = (await door.client.post("/chat", json=asked, headers=ANNA)).json()
    known = "conv_" + begun["session_id"].replace("-", "")
    response = await anna.responses.create(input="here", conversation=known)
    assert [text for _, text in await items_of(anna, known, order="asc")][::2] == ["native", "here"]
    messages = (
        await door.client.get(f"/sessions/{begun['session_id']}/messages", headers=ANNA)
    ).json()["items"]
    assert [message["content"] for message in messages][2:] == ["here", response.output_text]
    native = "resp_" + begun["session_id"].replace("-", "") + begun["turn_id"].replace("-", "")
    assert (await anna.responses.retrieve(native)).output_text == begun["response"]
