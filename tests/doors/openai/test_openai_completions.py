"""Chat completions, with OpenAI's own client over real HTTP.

May import: standard library, adapters, chatcore, openai, pytest, tests.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI

from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import LLMRateLimited, LLMRejected, LLMUnavailable
from tests.doors.openai.client import client_of, refusal, said
from tests.http.door import VISITOR_A, Door, open_door
from tests.http.sockets import Place, serving
from tests.http.streams import request

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
IGNORED: dict[str, Any] = {
    "temperature": 0.2,
    "top_p": 0.9,
    "seed": 7,
    "user": "u",
    "store": True,
    "metadata": {"a": "b"},
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "parallel_tool_calls": True,
    "service_tier": "auto",
    "reasoning_effort": "low",
    "n": 1,
    "logprobs": False,
    "response_format": {"type": "text"},
    "tool_choice": "none",
    "tools": [],
}


async def test_an_answer(anna: AsyncOpenAI, door: Door) -> None:
    """A conversation is answered whole, and nothing of it is kept."""
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "th"}, {"type": "text", "text": "ree"}],
        },
    ]
    answer = await anna.chat.completions.create(model="scripted", messages=messages, **IGNORED)
    assert answer.choices[0].message.content == "You asked: th\nree"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "scripted"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    prompt = door.llm.requests[-1].prompt
    assert prompt.system.endswith("\n\nBe brief.\n\nBe kind.")
    assert [(m.role, m.content) for m in prompt.messages] == [
        ("user", "one"),
        ("assistant", "two"),
        ("user", "th\nree"),
    ]
    assert door.repository.is_empty


@pytest.mark.parametrize("with_usage", [True, False])
async def test_a_stream(anna: AsyncOpenAI, door: Door, with_usage: bool) -> None:
    """Pieces come as the model writes them, under one id; the cost only where it is wanted."""
    dictation = door.llm.dictate()
    stream = await _begin(anna, dictation, with_usage)
    first = await anext(stream)
    assert first.choices[0].delta.role == "assistant"
    chunks = [first]
    for piece in ("Hel", "lo\r\n\ndata: x"):
        dictation.say(piece)
        chunks.append(await anext(stream))
        assert chunks[-1].choices[0].delta.content == piece
    dictation.end()
    chunks += [chunk async for chunk in stream]
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert ends == [None, None, None, "stop"]
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {
        (first.id, first.created, "scripted")
    }
    assert door.repository.is_empty


async def _begin(client: AsyncOpenAI, dictation: Any, with_usage: bool) -> Any:
    dictation.say("")
    return await client.chat.completions.create(
        model="scripted",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": with_usage},
    )


@pytest.mark.parametrize("with_usage", [True, False])
async def test_the_cost_of_a_stream(anna: AsyncOpenAI, with_usage: bool) -> None:
    """It is one chunk more, without choices, if it was asked for."""
    stream = await anna.chat.completions.create(
        model="scripted",
        messages=HELLO,
        stream=True,
        stream_options={"include_usage": with_usage},
    )
    usages = [chunk.usage async for chunk in stream if not chunk.choices]
    assert len(usages) == with_usage


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_the_longest_answer(anna: AsyncOpenAI, door: Door, field: str) -> None:
    """A client may want less than the operator allows, never more."""
    for wish in (5, 100_000):
        given: dict[str, Any] = {field: wish}
        await anna.chat.completions.create(model="scripted", messages=HELLO, **given)
    assert [request.prompt.max_tokens for request in door.llm.requests] == [5, 1024]
    wrong: dict[str, Any] = {field: 0}
    error = await refusal(anna.chat.completions.create(model="scripted", messages=HELLO, **wrong))
    assert said(error) == (400, "invalid_request", field)


UNSUPPORTED: list[tuple[str, dict[str, Any]]] = [
    ("n", {"n": 2}),
    ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
    ("tool_choice", {"tool_choice": "required"}),
    ("response_format", {"response_format": {"type": "json_object"}}),
    ("logprobs", {"logprobs": True}),
    ("top_logprobs", {"top_logprobs": 2}),
    ("stop", {"stop": ["x"]}),
    ("modalities", {"modalities": ["text", "audio"]}),
    ("audio", {"audio": {"voice": "x", "format": "mp3"}}),
    ("web_search_options", {"web_search_options": {"search_context_size": "low"}}),
    (
        "messages[0].content[0].type",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
    ),
    (
        "messages[0].content[0].type",
        {"messages": [{"role": "user", "content": [{"type": ["text"], "text": "x"}]}]},
    ),
    ("messages[0].role", {"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}),
]
NO_MESSAGES: list[tuple[Any, str]] = [
    ([], "messages"),
    ("hello", "messages"),
    (["hello"], "messages[0]"),
    ([{"role": "someone", "content": "x"}], "messages[0].role"),
    ([{"role": [], "content": "x"}], "messages[0].role"),
    ([{"role": {"a": 1}, "content": "x"}], "messages[0].role"),
    ([{"role": "user"}], "messages[0].content"),
    ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
    ([{"role": "system", "content": "x"}], "messages"),
    ([{"role": "user", "content": "   "}], "messages"),
    ([{"role": "user", "content": "a\0b"}], "messages"),
]


async def test_what_is_not_supported(anna: AsyncOpenAI, door: Door) -> None:
    """What would be answered as something else is refused by its name."""
    for param, wrong in UNSUPPORTED:
        given = {"model": "scripted", "messages": HELLO, **wrong}
        error = await refusal(anna.chat.completions.create(**given))
        assert said(error) == (400, "unsupported_parameter", param)
    assert door.llm.requests == []


async def test_bad_messages(anna: AsyncOpenAI, door: Door) -> None:
    """Messages that are none are refused, with the place."""
    for messages, param in NO_MESSAGES:
        error = await refusal(anna.chat.completions.create(model="scripted", messages=messages))
        assert said(error) == (400, "invalid_request", param), messages
    assert door.llm.requests == []


async def test_another_model(anna: AsyncOpenAI) -> None:
    """There is one model; who asks for another is told which."""
    error = await refusal(anna.chat.completions.create(model="gpt-9", messages=HELLO))
    assert said(error) == (404, "model_not_found", "model")
    assert "'scripted'" in error.message
    assert [model.id async for model in anna.models.list()] == ["scripted"]
    assert (await anna.models.retrieve("scripted")).id == "scripted"
    assert said(await refusal(anna.models.retrieve("org/other")))[0] == 404


@pytest.mark.parametrize(
    ("error", "status", "may_retry"),
    [
        (LLMUnavailable("secret"), 502, None),
        (LLMRateLimited("secret", retry_after_seconds=7), 503, None),
        (LLMRejected("secret"), 502, "false"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_before_the_answer(
    anna: AsyncOpenAI, door: Door, error: Any, status: int, may_retry: str | None, stream: bool
) -> None:
    """It has a status, also where a stream was asked for, and none of the provider's words."""
    door.llm.script(error)
    raised = await refusal(
        anna.chat.completions.create(model="scripted", messages=HELLO, stream=stream)
    )
    assert said(raised) == (status, error.code, None)
    assert "secret" not in str(raised.body)
    (logged,) = [line for line in door.log_lines() if line["event"] == "passing_answer_failed"]
    assert (logged["code"], logged["detail"]) == (error.code, "secret")
    assert raised.response.headers.get("x-should-retry") == may_retry
    if error.retry_after_seconds:
        assert raised.response.headers["retry-after"] == "7"


async def test_the_client_tries_again_by_itself(served: Place, door: Door) -> None:
    """Nothing was kept, so its own retries are welcome."""
    door.llm.script(LLMUnavailable("x"), "second")
    async with client_of(served, VISITOR_A, max_retries=1) as client:
        answer = await client.chat.completions.create(model="scripted", messages=HELLO)
    assert answer.choices[0].message.content == "second"


async def test_an_error_in_the_middle(anna: AsyncOpenAI, door: Door) -> None:
    """The client raises it, after the text that came, in our words."""
    door.llm.script(ScriptedAnswer(("half ", LLMUnavailable("secret"))))
    stream = await anna.chat.completions.create(model="scripted", messages=HELLO, stream=True)
    assert (await anext(stream)).choices[0].delta.role == "assistant"
    assert (await anext(stream)).choices[0].delta.content == "half "
    with pytest.raises(APIError, match="could not be reached") as raised:
        await anext(stream)
    assert raised.value.code == "llm_unavailable"
    (logged,) = [line for line in door.log_lines() if line["event"] == "passing_answer_failed"]
    assert logged["detail"] == "secret"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("steps", [(HANG,), ("a ", HANG)])
async def test_a_client_that_leaves_ends_the_call(
    served: Place, door: Door, stream: bool, steps: tuple[Any, ...]
) -> None:
    """Whether it waits for the beginning, for more, or for the whole: the model is let go."""
    door.llm.script(ScriptedAnswer(steps))
    body = {"model": "scripted", "messages": HELLO, "stream": stream}
    asking = asyncio.create_task(_ask_and_hang(served, body))
    async with asyncio.timeout(5):
        while not door.llm.running:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        asking.cancel()
        while door.llm.running:
            await asyncio.sleep(0.01)
    assert door.llm.running == 0


async def _ask_and_hang(place: Place, body: dict[str, Any]) -> None:
    async with request(place, "POST", "/v1/chat/completions", body) as stream:
        await stream.rest()


async def test_it_counts_as_a_running_turn() -> None:
    """While one is answered, the next is refused where there is room for one only."""
    async with (
        open_door(MAX_RUNNING_TURNS="1", OVERLOAD_LAG_SECONDS="0") as door,
        serving(door.app) as (place, _),
        client_of(place, VISITOR_A) as anna,
    ):
        dictation = door.llm.dictate()
        dictation.say("a")
        stream = await anna.chat.completions.create(model="scripted", messages=HELLO, stream=True)
        error = await refusal(anna.chat.completions.create(model="scripted", messages=HELLO))
        assert said(error) == (503, "service_overloaded", None)
        assert error.response.headers["retry-after"]
        dictation.end()
        assert [c async for c in stream][-1].choices[0].finish_reason == "stop"
        again = await anna.chat.completions.create(model="scripted", messages=HELLO)
        assert again.choices[0].message.content
