"""Asking the model once, keeping nothing.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from adapters.memory import ScriptedLLM
from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import (
    ChatPolicy,
    InvalidInput,
    LLMDelta,
    LLMEnded,
    LLMError,
    LLMEvent,
    LLMIncomplete,
    LLMRejected,
    LLMReply,
    LLMStarted,
    LLMTimeout,
    LLMUnavailable,
    PreparedRequest,
    PromptMessage,
    Role,
    ServiceOverloaded,
    ServiceStopping,
)
from tests.builders import ANNA, Bench, bench, until_running

HELLO = [PromptMessage(Role.USER, "hello")]


class Raw(ScriptedLLM):
    """A model whose adapter keeps none of the promises about text."""

    def __init__(self, *events: LLMEvent) -> None:
        super().__init__()
        self._events = events

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        """Say exactly that."""
        for event in self._events:
            yield event

    async def complete(self, request: PreparedRequest) -> LLMReply:
        """Say exactly that."""
        text = "".join(event.text for event in self._events if isinstance(event, LLMDelta))
        return LLMReply(text, "stop", self.model, None)


async def read(parts: Bench, **asked: Any) -> list[LLMEvent]:
    """Return every event of an answer."""
    async with aclosing(parts.service.stream_once(HELLO, **asked)) as events:
        return [event async for event in events]


async def test_the_whole_answer() -> None:
    """The answer comes whole, with who gave it and what it cost; nothing is stored."""
    parts = bench()
    reply = await parts.service.complete_once(HELLO)
    assert (reply.text, reply.finish_reason, reply.model) == (
        "You asked: hello",
        "stop",
        "scripted",
    )
    assert reply.usage is not None
    assert (await parts.service.sessions(ANNA)).items == ()
    assert parts.notices == []


async def test_the_answer_in_parts() -> None:
    """It begins, comes in parts, and ends; together they are the answer."""
    events = await read(bench())
    assert isinstance(events[0], LLMStarted)
    assert isinstance(events[-1], LLMEnded)
    texts = [event.text for event in events if isinstance(event, LLMDelta)]
    assert "".join(texts) == "You asked: hello"
    assert len(texts) == 3


async def test_what_the_model_is_asked() -> None:
    """The operator's words come first, then the caller's; what was said goes along as it is."""
    llm = ScriptedLLM()
    parts = bench(llm, policy=ChatPolicy(system_prompt="Operator.", max_tokens=100))
    said = [PromptMessage(Role.ASSISTANT, "Hi."), *HELLO, *HELLO]
    await parts.service.complete_once(said, instructions="Caller.")
    await read(parts)
    first, second = (request.prompt for request in llm.requests)
    assert first.system == "Operator.\n\nCaller."
    assert first.messages == tuple(said)
    assert second.system == "Operator."


@pytest.mark.parametrize(("wish", "given"), [(None, 100), (7, 7), (100, 100), (5000, 100)])
async def test_the_longest_answer(wish: int | None, given: int) -> None:
    """A caller may want less than the operator allows, never more."""
    llm = ScriptedLLM()
    parts = bench(llm, policy=ChatPolicy(max_tokens=100))
    await parts.service.complete_once(HELLO, max_tokens=wish)
    await read(parts, max_tokens=wish)
    assert [request.prompt.max_tokens for request in llm.requests] == [given, given]


@pytest.mark.parametrize(
    ("texts", "instructions", "field"),
    [
        ([], "", "messages"),
        ([" "], "", "messages"),
        (["a\0b"], "", "messages"),
        (["\ud800"], "", "messages"),
        (["x" * 51], "", "messages"),
        (["x" * 40] * 3, "", "messages"),
        (["x"], "\0", "instructions"),
        (["x"], "y" * 51, "instructions"),
    ],
)
async def test_what_cannot_be_asked(texts: list[str], instructions: str, field: str) -> None:
    """What is blank, too long or cannot be passed on is refused, and the model is not asked."""
    llm = ScriptedLLM()
    parts = bench(llm, policy=ChatPolicy(message_max_chars=50, history_max_chars=50))
    said = [PromptMessage(Role.USER, text) for text in texts]
    with pytest.raises(InvalidInput) as raised:
        await parts.service.complete_once(said, instructions=instructions)
    assert raised.value.field == field
    with pytest.raises(InvalidInput):
        await anext(parts.service.stream_once(said, instructions=instructions))
    assert llm.requests == []


@pytest.mark.parametrize("error", [LLMUnavailable("x"), LLMRejected("x")])
async def test_the_model_is_asked_once(error: LLMError) -> None:
    """What the model fails with is passed on, without another try."""
    llm = ScriptedLLM([error, error])
    parts = bench(llm)
    with pytest.raises(type(error)):
        await parts.service.complete_once(HELLO)
    with pytest.raises(type(error)):
        await read(parts)
    assert len(llm.requests) == 2


async def test_bad_text_of_the_model_is_repaired_and_cut() -> None:
    """What cannot be written is replaced, and what is too long is cut, and said to be."""
    parts = bench(
        Raw(LLMStarted("m"), LLMDelta("a\0"), LLMDelta("\ud800bcdef")),
        policy=ChatPolicy(reply_max_chars=4),
    )
    events = await read(parts)
    assert [event.text for event in events if isinstance(event, LLMDelta)] == ["a\ufffd", "\ufffdb"]
    assert events[-1] == LLMEnded("length", "m", None)
    reply = await parts.service.complete_once(HELLO)
    assert (reply.text, reply.finish_reason) == ("a\ufffd\ufffdb", "length")


async def test_an_answer_without_an_end() -> None:
    """A stream that just stops is a failure, never an answer."""
    with pytest.raises(LLMIncomplete):
        await read(bench(Raw(LLMStarted("m"), LLMDelta("half"))))


async def test_the_deadline() -> None:
    """A model that never comes to an end is given up; the call ends with that."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,)), ScriptedAnswer(("a ", HANG))])
    parts = bench(llm, policy=ChatPolicy(deadline_seconds=0.05))
    with pytest.raises(LLMTimeout):
        await parts.service.complete_once(HELLO)
    with pytest.raises(LLMTimeout):
        await read(parts)
    assert llm.running == 0


async def test_leaving_ends_the_call() -> None:
    """Nobody can come back to it, so it ends with who waits for it, and gives its place back."""
    llm = ScriptedLLM([ScriptedAnswer((HANG,)), ScriptedAnswer(("a ", HANG)), "free"])
    parts = bench(llm, policy=ChatPolicy(max_running_turns=1))
    waiting = asyncio.create_task(parts.service.complete_once(HELLO))
    await until_running(llm)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert llm.running == 0
    events = parts.service.stream_once(HELLO)
    assert isinstance(await anext(events), LLMStarted)
    assert llm.running == 1
    await events.aclose()
    assert llm.running == 0
    assert (await parts.service.complete_once(HELLO)).text == "free"


Ask = Callable[[Bench], Any]
ASKING: list[Ask] = [
    lambda parts: parts.service.complete_once(HELLO),
    lambda parts: anext(parts.service.stream_once(HELLO)),
    lambda parts: parts.service.send(ANNA, "x"),
]


@pytest.mark.parametrize("ask", ASKING)
async def test_it_counts_as_a_running_turn(ask: Ask) -> None:
    """While it lasts it takes the place of a turn, and is refused where there is none."""
    llm = ScriptedLLM([ScriptedAnswer(("a ", HANG))])
    parts = bench(llm, policy=ChatPolicy(max_running_turns=1))
    async with aclosing(parts.service.stream_once(HELLO)) as events:
        await anext(events)
        with pytest.raises(ServiceOverloaded):
            await ask(parts)
    assert len(llm.requests) == 1


@pytest.mark.parametrize("ask", ASKING)
async def test_a_closing_process_is_not_asked(ask: Ask) -> None:
    """Once the process is shutting down nothing new begins."""
    parts = bench()
    await parts.service.close(timeout_seconds=0)
    with pytest.raises(ServiceStopping):
        await ask(parts)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_closing_process_lets_it_end(stream: bool) -> None:
    """What is under way when the process is asked to stop is answered to its end, like a turn."""
    llm = ScriptedLLM([ScriptedAnswer(("a ", 0.1, "b"))])
    parts = bench(llm)
    asked = read(parts) if stream else parts.service.complete_once(HELLO)
    asking = asyncio.create_task(asked)
    await until_running(llm)
    async with asyncio.timeout(5):
        await parts.service.close(timeout_seconds=60)
    assert llm.running == 0
    assert await asking


async def test_a_closing_process_does_not_wait_for_ever() -> None:
    """An answer that takes too long does not hold up the end of the process."""
    parts = bench(ScriptedLLM([ScriptedAnswer(("a ", HANG))]))
    async with aclosing(parts.service.stream_once(HELLO)) as events:
        await anext(events)
        async with asyncio.timeout(5):
            await parts.service.close(timeout_seconds=0.05)


async def test_what_is_on_offer() -> None:
    """The model's name and the longest answer are told, for doors that show them."""
    service = bench(ScriptedLLM(model="m"), policy=ChatPolicy(max_tokens=9)).service
    assert (service.model, service.max_tokens) == ("m", 9)
