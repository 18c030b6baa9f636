"""Beside the hexagon: what an adapter of `LLMPort` is held by while its contract is tested.

May import: standard library, chatcore, pytest.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import pytest

from chatcore.errors import LLMError
from chatcore.model.message import Role
from chatcore.model.prompt import Prompt, PromptMessage
from chatcore.ports.llm import LLMDelta, LLMEvent, LLMPort, LLMReply, PreparedRequest

UNICODE = (
    "Gr\u00fc\u00dfe \U0001f916\U0001f469\u200d\U0001f52c e\u0301 \u0645\u0631\u062d\u0628\u0627 "
    "\u2028\u2029\u0085 \u202e\U0001d518 \t\n end"
)
"""Emoji, a joined family of emoji, combining, right to left, line separators, beyond the BMP."""


class Power(Enum):
    """What a rig may be unable to do."""

    SCRIPT = "make the model say what the test wants"
    FAIL = "make the model fail"
    WATCH = "see what the model receives, and when a call is over for it"


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What the model behind an adapter is to do with the next call.

    Attributes:
        pieces: Text, in the parts in which it is streamed; put together for a whole answer.
        finish_reason: None: the answer ends without one.
        failure: After the pieces: fail in a way that the adapter must tell by this class. With
            pieces, a whole answer fails all the same.
        retry_after_seconds: What the model asks for with that failure; whole seconds.
        hangs: After the pieces: say nothing more, and do not end.
    """

    pieces: tuple[str, ...] = ()
    finish_reason: str | None = "stop"
    failure: type[LLMError] | None = None
    retry_after_seconds: int | None = None
    hangs: bool = False


class LLMRig(ABC):
    """An adapter and a hold on the model behind it.

    Attributes:
        llm: The adapter.
        impatient_llm: The same with a limit for silence so short that a test can wait for it.
    """

    llm: LLMPort
    impatient_llm: LLMPort

    @abstractmethod
    def script(self, *answers: ModelAnswer) -> None:
        """Answer the next calls with these, in order."""

    @abstractmethod
    def received(self) -> tuple[str, ...]:
        """The texts of the latest call that reached the model, in order, system text first."""

    @abstractmethod
    def open_calls(self) -> int:
        """How many calls the model is still busy with."""


Test = TypeVar("Test", bound=Callable[..., object])


def needs(*powers: Power) -> Callable[[Test], Test]:
    """Mark a test of the contract with what its rig must be able to do."""

    def mark(test: Test) -> Test:
        vars(test)["needed_powers"] = powers
        return test

    return mark


def prompt(question: str = "Say hello.", *, max_tokens: int = 16) -> Prompt:
    """Return a small prompt with one earlier turn."""
    said = (
        PromptMessage(Role.USER, "Hello."),
        PromptMessage(Role.ASSISTANT, "Hello, how can I help?"),
        PromptMessage(Role.USER, question),
    )
    return Prompt(system="You answer briefly.", messages=said, max_tokens=max_tokens)


async def collect(llm: LLMPort, request: PreparedRequest) -> list[LLMEvent]:
    """Return all events of a stream."""
    return [event async for event in llm.stream(request)]


def text_of(events: list[LLMEvent]) -> str:
    """Return the text that the deltas add up to."""
    return "".join(event.text for event in events if isinstance(event, LLMDelta))


async def ask(llm: LLMPort, question: str = "Say hello.") -> LLMReply:
    """Ask for a whole answer."""
    return await llm.complete(llm.prepare(prompt(question), stream=False))


async def ask_either_way(llm: LLMPort, request: PreparedRequest) -> str:
    """Return the text of an answer, whole or streamed as the request says."""
    if request.stream:
        return text_of(await collect(llm, request))
    return (await llm.complete(request)).text


async def collect_until_failure(
    llm: LLMPort, request: PreparedRequest
) -> tuple[list[LLMEvent], LLMError]:
    """Return the events of a stream that fails, and how it fails."""
    events: list[LLMEvent] = []
    try:
        async for event in llm.stream(request):
            events.append(event)  # noqa: PERF401  (those before the failure count)
    except LLMError as error:
        return events, error
    pytest.fail(f"the stream did not fail: {events}")


async def until_open_calls(rig: LLMRig, count: int, *, within_seconds: float = 5.0) -> None:
    """Return when the model is busy with just so many calls; fail when that takes too long."""
    async with asyncio.timeout(within_seconds):
        while rig.open_calls() != count:  # noqa: ASYNC110  (a rig need not know of events)
            await asyncio.sleep(0.005)
