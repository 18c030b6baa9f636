"""Responses, with OpenAI's own client over real HTTP.

May import: standard library, adapters, chatcore, openai, pytest, tests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI

from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import LLMRateLimited, LLMUnavailable, StorageUnavailable
from tests.doors.openai.client import NO_CREDENTIAL, checked, client_of, refusal, said
from tests.http.door import VISITOR_A, Door, bearer, open_door
from tests.http.sockets import Place, serving

KEY = {"Idempotency-Key": "a-key-nobody-guesses"}


def asked(door: Door) -> list[str]:
    """Return what the model was given last."""
    return [message.content for message in door.llm.requests[-1].prompt.messages]


async def test_a_response(anna: AsyncOpenAI) -> None:
    """A question is answered and kept, and found again as it was answered."""
    response = checked(await anna.responses.create(input="hello", metadata={"a": "b"}))
    assert response.status == "completed"
    assert response.output_text == "You asked: hello"
    assert response.metadata == {"a": "b"}
    assert response.conversation is None
    assert response.previous_response_id is None
    assert response.usage is not None
    assert await anna.responses.retrieve(response.id) == response
    items = await anna.responses.input_items.list(response.id)
    assert [item.content[0].text for item in items.data] == ["hello"]  # type: ignore[union-attr,index]
    assert items.data[0].id != response.output[0].id


async def test_a_chain(anna: AsyncOpenAI, door: Door) -> None:
    """Each response goes on from the one before; the model knows all of them."""
    first = await anna.responses.create(input="one")
    second = await anna.responses.create(input="two", previous_response_id=first.id)
    third = checked(await anna.responses.create(input="three", previous_response_id=second.id))
    assert third.previous_response_id == second.id
    assert asked(door) == ["one", "You asked: one", "two", "You asked: two", "three"]
    assert third.id[:37] == first.id[:37]


async def test_another_question_after_an_earlier_response(anna: AsyncOpenAI, door: Door) -> None:
    """It takes the place of what followed, which nothing can come after any more."""
    first = await anna.responses.create(input="one")
    second = await anna.responses.create(input="two", previous_response_id=first.id)
    third = await anna.responses.create(input="three", previous_response_id=second.id)
    other = await anna.responses.create(input="other", previous_response_id=first.id)
    assert asked(door) == ["one", "You asked: one", "other"]
    for gone in (second, third):
        error = await refusal(anna.responses.create(input="x", previous_response_id=gone.id))
        assert said(error) == (400, "previous_response_not_found", "previous_response_id")
        assert "place" in error.message
        assert (await anna.responses.retrieve(gone.id)).status == "completed"
    after = await anna.responses.create(input="more", previous_response_id=other.id)
    assert asked(door) == ["one", "You asked: one", "other", "You asked: other", "more"]
    again = await anna.responses.create(input="again", previous_response_id=first.id)
    assert asked(door) == ["one", "You asked: one", "again"]
    assert len({after.id, again.id}) == 2


async def test_a_conversation(anna: AsyncOpenAI, door: Door) -> None:
    """Responses in a conversation follow each other without being named."""
    conversation = await anna.conversations.create()
    first = checked(await anna.responses.create(input="one", conversation=conversation.id))
    second = await anna.responses.create(input="two", conversation={"id": conversation.id})
    assert first.conversation is not None
    assert first.conversation.id == conversation.id
    assert asked(door) == ["one", "You asked: one", "two"]
    assert (await anna.responses.retrieve(second.id)) == second


async def test_input_as_a_list(anna: AsyncOpenAI, door: Door) -> None:
    """What was said before is kept; the texts at the end are one question."""
    given: list[Any] = [
        {"role": "user", "content": "one"},
        {
            "type": "message",
            "id": "msg_x",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "two", "annotations": []}],
        },
        {"role": "user", "content": "three"},
        {"role": "user", "content": [{"type": "input_text", "text": "four"}]},
    ]
    response = await anna.responses.create(input=given)
    assert response.output_text == "You asked: three\n\nfour"
    assert asked(door) == ["one", "two", "three\n\nfour"]
    await anna.responses.create(input="five", previous_response_id=response.id)
    assert asked(door) == ["one", "two", "three\n\nfour", response.output_text, "five"]


PAIR = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
BLANK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": ""}]
REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("instructions", "unsupported_parameter", {"instructions": "x"}),
    ("input", "unsupported_parameter", {"input": [{"role": "system", "content": "x"}]}),
    ("tools", "unsupported_parameter", {"tools": [{"type": "web_search"}]}),
    ("prompt", "unsupported_parameter", {"prompt": {"id": "x"}}),
    ("text.format", "unsupported_parameter", {"text": {"format": {"type": "json_object"}}}),
    ("max_output_tokens", "unsupported_parameter", {"max_output_tokens": 5}),
    ("max_output_tokens", "invalid_request", {"max_output_tokens": -5}),
    ("input[0].type", "unsupported_parameter", {"input": [{"type": "item_reference"}]}),
    ("input", "invalid_request", {"input": []}),
    ("input", "invalid_request", {"input": 5}),
    ("input", "invalid_request", {"input": " "}),
    ("input", "invalid_request", {"input": "a\0b"}),
    ("input", "invalid_request", {"input": "x" * 32_001}),
    ("input", "invalid_request", {"input": [{"role": "assistant", "content": "x"}]}),
    ("input", "invalid_request", {"input": [{"role": "user", "content": "x"}] * 201}),
    ("input", "invalid_request", {"input": [*PAIR, {"role": "user", "content": " "}]}),
    ("input", "invalid_request", {"input": [*PAIR, {"role": "user", "content": "x" * 32_001}]}),
    ("input", "invalid_request", {"input": [*PAIR, *BLANK, {"role": "user", "content": "x"}]}),
    ("metadata", "invalid_request", {"metadata": {"_ours": "x"}}),
    ("metadata", "invalid_request", {"metadata": {str(n): "x" for n in range(17)}}),
    ("metadata", "invalid_request", {"metadata": {"x": "y" * 513}}),
    ("metadata", "invalid_request", {"metadata": {"x": "\0"}}),
    ("previous_response_id", "previous_response_not_found", {"previous_response_id": "resp_1"}),
    ("conversation", "invalid_request", {"conversation": 5}),
    ("stream", "invalid_request", {"stream": "yes"}),
]


async def test_what_is_refused(anna: AsyncOpenAI, door: Door) -> None:
    """What cannot be done, or would be done otherwise, is refused by its name; nothing is kept."""
    for param, code, wrong in REFUSED:
        error = await refusal(anna.responses.create(**{"input": "x", **wrong}))
        assert said(error) == (400, code, param), wrong
    assert door.repository.is_empty
    assert door.llm.requests == []


async def test_conversation_and_previous_response_exclude_each_other(anna: AsyncOpenAI) -> None:
    """Only one of the two can say where a question belongs."""
    first = await anna.responses.create(input="x")
    error = await refusal(
        anna.responses.create(input="x", conversation="conv_1", previous_response_id=first.id)
    )
    assert said(error) == (400, "invalid_request", "previous_response_id")


async def test_fields_that_change_nothing_here(anna: AsyncOpenAI) -> None:
    """What only tunes how the model writes does no harm."""
    response = await anna.responses.create(
        model="scripted",
        input="x",
        temperature=0.1,
        top_p=0.5,
        truncation="auto",
        user="u",
        include=["reasoning.encrypted_content"],
        reasoning={"effort": "low"},
        text={"format": {"type": "text"}},
        tools=[],
        tool_choice="auto",
        max_output_tokens=1024,
        store=True,
    )
    assert response.status == "completed"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_busy_conversation(anna: AsyncOpenAI, door: Door, stream: bool) -> None:
    """A second question meanwhile is told to come back, and clients do so by themselves."""
    conversation = await anna.conversations.create()
    dictation = door.llm.dictate()
    running = await anna.responses.create(
        input="one", conversation=conversation.id, background=True
    )
    error = await refusal(
        anna.responses.create(input="two", conversation=conversation.id, stream=stream)
    )
    assert said(error) == (409, "session_busy", None)
    assert error.response.headers["retry-after"] == "1"
    assert "x-should-retry" not in error.response.headers
    patient = anna.with_options(max_retries=3)
    second = asyncio.create_task(
        patient.responses.create(input="two", conversation=conversation.id)
    )
    await asyncio.sleep(0.1)
    dictation.say("first")
    dictation.end()
    assert (await second).output_text == "You asked: two"
    assert (await anna.responses.retrieve(running.id)).output_text == "first"


async def test_in_the_background(anna: AsyncOpenAI, door: Door) -> None:
    """It is answered at once, goes on by itself, and is looked at until it is there."""
    dictation = door.llm.dictate()
    begun = checked(await anna.responses.create(input="x", background=True))
    assert (begun.status, begun.background, begun.output) == ("in_progress", True, [])
    assert (await anna.responses.retrieve(begun.id)) == begun
    dictation.say("done")
    dictation.end()
    async with asyncio.timeout(5):
        while (found := await anna.responses.retrieve(begun.id)).status == "in_progress":
            await asyncio.sleep(0.01)
    assert (found.status, found.output_text) == ("completed", "done")


async def test_cancelling(anna: AsyncOpenAI, door: Door) -> None:
    """A running response ends with what there is of it; cancelling again changes nothing."""
    dictation = door.llm.dictate()
    begun = await anna.responses.create(input="x", background=True)
    dictation.say("half")
    stream = await anna.responses.retrieve(begun.id, stream=True)
    async for event in stream:
        if event.type == "response.content_part.added":
            break
    await stream.close()
    cancelled = checked(await anna.responses.cancel(begun.id))
    assert (cancelled.status, cancelled.output_text) == ("cancelled", "half")
    assert cancelled.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert await anna.responses.cancel(begun.id) == cancelled
    assert await anna.responses.retrieve(begun.id) == cancelled
    whole = await anna.responses.create(input="x")
    assert await anna.responses.cancel(whole.id) == whole


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("background", [False, True])
async def test_a_repeated_key(
    served: Place, anna: AsyncOpenAI, door: Door, stream: bool, background: bool
) -> None:
    """The same question with the same key is one response; another question is refused."""
    create: Any = anna.responses.create
    given = {"input": "x", "extra_headers": KEY, "metadata": {"a": "b"}}
    first = await create(**given)
    again = await create(**given, stream=stream, background=background)
    if stream:
        again = [event async for event in again][-1].response
    assert again == first
    assert len(door.llm.requests) == 1
    error = await refusal(create(input="y", extra_headers=KEY))
    assert said(error) == (422, "idempotency_key_reused", None)


@pytest.mark.parametrize("is_latest", [True, False])
@pytest.mark.parametrize("has_failed", [True, False])
async def test_a_repeated_key_after_a_response(
    anna: AsyncOpenAI, door: Door, is_latest: bool, has_failed: bool
) -> None:
    """Also where the question has meanwhile become what follows that response."""
    dictation = door.llm.dictate()
    first = await anna.responses.create(input="one", background=True)
    if has_failed:
        dictation.fail(LLMUnavailable("x"))
    else:
        dictation.say("y")
        dictation.end()
    while (await anna.responses.retrieve(first.id)).status == "in_progress":
        await asyncio.sleep(0.01)
    if not is_latest:
        await anna.responses.create(input="two", previous_response_id=first.id)
    given: dict[str, Any] = {"input": "x", "previous_response_id": first.id, "extra_headers": KEY}
    one = await anna.responses.create(**given)
    calls = len(door.llm.requests)
    assert await anna.responses.create(**given) == one
    assert await anna.responses.create(**given) == one
    assert len(door.llm.requests) == calls


async def test_two_at_once_with_one_key(anna: AsyncOpenAI, door: Door) -> None:
    """One response, whoever was first."""
    calls = [anna.responses.create(input="x", extra_headers=KEY) for _ in range(4)]
    found = await asyncio.gather(*calls)
    assert len({response.id for response in found}) == 1
    assert len(door.llm.requests) == 1


async def test_a_key_with_a_whole_conversation(anna: AsyncOpenAI, door: Door) -> None:
    """What was said before could be kept twice, so it is refused."""
    said_before: list[Any] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "x"},
    ]
    error = await refusal(anna.responses.create(input=said_before, extra_headers=KEY))
    assert said(error) == (400, "unsupported_parameter", "input")
    assert door.repository.is_empty


async def test_a_short_key_without_a_credential(anna: AsyncOpenAI) -> None:
    """Whoever guesses it would get the answer."""
    short = {"Idempotency-Key": "short", **NO_CREDENTIAL}
    error = await refusal(anna.responses.create(input="x", extra_headers=short))
    assert said(error) == (400, "invalid_request", "Idempotency-Key")
    found = await anna.responses.create(input="x", extra_headers={**KEY, **NO_CREDENTIAL})
    assert found.output_text == "You asked: x"
    assert said(await refusal(anna.responses.retrieve(found.id)))[0] == 404


async def test_a_failure(served: Place, door: Door) -> None:
    """The question is kept, so the client is told not to send it again by itself."""
    door.llm.script(LLMUnavailable("secret"), LLMRateLimited("secret"))
    async with client_of(served, VISITOR_A, max_retries=2) as client:
        for code in ("llm_unavailable", "llm_rate_limited"):
            error = await refusal(client.responses.create(input="x"))
            assert error.code == code
            assert error.response.headers["x-should-retry"] == "false"
            assert "secret" not in error.message
        assert len(door.llm.requests) == 2
        named = error.message.rpartition(" ")[2].removesuffix(".")
        found = await client.responses.retrieve(named)
        assert (found.status, found.error and found.error.code) == ("failed", "rate_limit_exceeded")
    sessions = (await door.client.get("/sessions", headers=bearer(VISITOR_A))).json()["items"]
    assert len(sessions) == 2


async def test_a_failure_in_the_background(anna: AsyncOpenAI, door: Door) -> None:
    """The response says so, with the part that came."""
    door.llm.script(ScriptedAnswer(("half ", LLMUnavailable("secret"))))
    begun = await anna.responses.create(input="x", background=True)
    async with asyncio.timeout(5):
        while (found := await anna.responses.retrieve(begun.id)).status == "in_progress":
            await asyncio.sleep(0.01)
    checked(found)
    assert found.status == "failed"
    assert found.error is not None
    assert found.error.code == "server_error"
    assert found.output_text == "half "
    after = await anna.responses.create(input="y", previous_response_id=begun.id)
    assert after.output_text == "You asked: y"


async def test_a_cut_answer(anna: AsyncOpenAI, door: Door) -> None:
    """An answer that met the limit of tokens is incomplete, and says why."""
    door.llm.script(ScriptedAnswer(("cut",), finish_reason="length"))
    found = checked(await anna.responses.create(input="x"))
    assert found.status == "incomplete"
    assert found.incomplete_details is not None
    assert found.incomplete_details.reason == "max_output_tokens"
    assert found.output_text == "cut"


async def test_deleting(anna: AsyncOpenAI) -> None:
    """A response that is alone is erased; one that is part of something is not taken out of it."""
    alone = await anna.responses.create(input="x")
    await anna.responses.delete(alone.id)
    assert said(await refusal(anna.responses.retrieve(alone.id)))[1] == "response_not_found"
    assert said(await refusal(anna.responses.delete(alone.id)))[1] == "response_not_found"
    first = await anna.responses.create(input="one")
    second = await anna.responses.create(input="two", previous_response_id=first.id)
    for part in (first, second):
        error = await refusal(anna.responses.delete(part.id))
        assert said(error) == (400, "response_in_conversation", "response_id")
    named = f"conv_{first.id[5:37]}"
    assert named in error.message
    await anna.conversations.delete(named)
    for part in (first, second):
        assert said(await refusal(anna.responses.retrieve(part.id)))[0] == 404


async def test_not_to_be_kept(anna: AsyncOpenAI, door: Door) -> None:
    """Such a response is answered, with instructions of the client's own, and leaves nothing."""
    found = checked(
        await anna.responses.create(
            input=[{"role": "developer", "content": "D."}, {"role": "user", "content": "x"}],
            instructions="I.",
            store=False,
            max_output_tokens=9,
            metadata={"a": "b"},
        )
    )
    assert (found.status, found.output_text, found.instructions) == (
        "completed",
        "You asked: x",
        "I.",
    )
    prompt = door.llm.requests[-1].prompt
    assert prompt.system.endswith("\n\nI.\n\nD.")
    assert prompt.max_tokens == 9
    assert door.repository.is_empty
    assert said(await refusal(anna.responses.retrieve(found.id)))[0] == 404
    for name, value in (("background", True), ("conversation", "c"), ("previous_response_id", "r")):
        given: dict[str, Any] = {name: value}
        error = await refusal(anna.responses.create(input="x", store=False, **given))
        assert said(error) == (400, "unsupported_parameter", name)


@pytest.mark.parametrize("stream", [True, False])
async def test_not_to_be_kept_and_wrong(anna: AsyncOpenAI, door: Door, stream: bool) -> None:
    """What is wrong is named as the client knows it."""
    create: Any = anna.responses.create
    for given, param in (
        ({"input": " "}, "input"),
        ({"input": "x" * 32_001}, "input"),
        ({"input": "x", "instructions": "\0"}, "instructions"),
        ({"input": [{"role": "system", "content": "x"}]}, "input"),
    ):
        error = await refusal(create(**given, store=False, stream=stream))
        assert said(error) == (400, "invalid_request", param)
    assert door.llm.requests == []


async def test_not_to_be_kept_and_left(anna: AsyncOpenAI, door: Door) -> None:
    """The client's leaving ends it."""
    door.llm.script(ScriptedAnswer(("a ", HANG)))
    stream = await anna.responses.create(input="x", store=False, stream=True)
    await anext(stream)
    assert door.llm.running == 1
    await stream.close()
    async with asyncio.timeout(5):
        while door.llm.running:
            await asyncio.sleep(0.01)
    assert door.llm.running == 0


async def test_pairs_that_were_kept_are_not_kept_again() -> None:
    """If the question then meets an error, the client is told not to send it all again."""
    async with (
        open_door(MAX_RUNNING_TURNS="1", OVERLOAD_LAG_SECONDS="0") as door,
        serving(door.app) as (place, _),
        client_of(place, VISITOR_A, max_retries=2) as client,
    ):
        door.llm.dictate()
        running = await client.responses.create(input="x", background=True)
        given: list[Any] = [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "x"},
        ]
        error = await refusal(client.responses.create(input=given))
        assert said(error) == (503, "service_overloaded", None)
        assert error.response.headers["x-should-retry"] == "false"
        await client.responses.cancel(running.id)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("headers", [{}, KEY])
async def test_a_store_that_does_not_answer(
    anna: AsyncOpenAI, door: Door, stream: bool, headers: dict[str, str]
) -> None:
    """The question may be there all the same: only with a key is it safe to send it again."""
    door.repository.error = StorageUnavailable("secret")
    error = await refusal(anna.responses.create(input="x", stream=stream, extra_headers=headers))
    assert said(error) == (503, "storage_unavailable", None)
    assert "secret" not in error.message
    assert error.response.headers.get("x-should-retry") == (None if headers else "false")
