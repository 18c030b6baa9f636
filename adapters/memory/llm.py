"""Room 3, the world: a language model that says what it is told to say, for tests and demos.

May import: standard library, chatcore.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from chatcore.errors import LLMError, LLMIncomplete, LLMUnavailable
from chatcore.model.prompt import Prompt
from chatcore.model.text import repair_model_text
from chatcore.model.turn import Usage
from chatcore.ports.llm import (
    LLMDelta,
    LLMEnded,
    LLMEvent,
    LLMPort,
    LLMReply,
    LLMStarted,
    PreparedRequest,
)

HANG = math.inf
"""A pause that never ends."""

Step = str | float | LLMError
"""A piece of text, a pause in seconds, or an error to end with."""

_WORD = re.compile(r"\s*\S+\s*|\s+")
_ECHO_MAX_CHARS = 200


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """One answer, step by step.

    Attributes:
        steps: What happens, in this order.
        finish_reason: None: the answer breaks off after the last step.
        usage: None: words are counted.
    """

    steps: tuple[Step, ...]
    finish_reason: str | None = "stop"
    usage: Usage | None = None


Script = Iterable[ScriptedAnswer | str | LLMError] | Callable[[Prompt], ScriptedAnswer | str]
"""Answers in the order of the calls, or a function that makes one for each prompt."""


def echo(prompt: Prompt) -> str:
    """Return the beginning of the question, so that one sees that it arrived."""
    return f"You asked: {prompt.messages[-1].content[:_ECHO_MAX_CHARS]}"


class ScriptedLLM(LLMPort):
    """Answers by script. Keeps the promises of the port, also for text that must be repaired.

    Args:
        script: A text alone is streamed word by word. A list that is used up: `LLMUnavailable`.
        model: The name that answers carry.

    Attributes:
        requests: Every request made, oldest first.
        running: How many calls are running now.
    """

    def __init__(self, script: Script = echo, *, model: str = "scripted") -> None:
        self._by_prompt = script if callable(script) else None
        self._in_order = deque(() if callable(script) else script)
        self._model = model
        self.requests: list[PreparedRequest] = []
        self.running = 0

    def script(self, *answers: ScriptedAnswer | str | LLMError) -> None:
        """Answer the next calls with these, each once, before anything else."""
        self._in_order.extend(answers)

    @property
    def model(self) -> str:
        """The name that answers carry."""
        return self._model

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """The model's name: all that requests depend on besides the prompt."""
        return (("model", self.model),)

    def prepare(self, prompt: Prompt, *, stream: bool) -> PreparedRequest:
        """See `LLMPort.prepare`."""
        messages = [("system", prompt.system)]
        messages += [(message.role.value, message.content) for message in prompt.messages]
        body = {
            **dict(prompt.options or self.options),
            "messages": [{"role": role, "content": content} for role, content in messages],
            "max_tokens": prompt.max_tokens,
            "stream": stream,
        }
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return PreparedRequest(prompt=prompt, body=raw, stream=stream)

    async def complete(self, request: PreparedRequest) -> LLMReply:
        """See `LLMPort.complete`."""
        text = ""
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, LLMDelta):
                    text += event.text
                elif isinstance(event, LLMEnded):
                    return LLMReply(text, event.finish_reason, event.model, event.usage)
        raise LLMIncomplete("the script ended early")

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        """See `LLMPort.stream`."""
        self.requests.append(request)
        self.running += 1
        try:
            answer = self._next_answer(request.prompt)
            words = 0
            for step in answer.steps:
                if text := await _perform(step):
                    if not words:
                        yield LLMStarted(self.model)
                    words += len(text.split()) or 1
                    yield LLMDelta(text)
            if answer.finish_reason is None or not words:
                raise LLMIncomplete("the answer is empty or has no finish reason")
            usage = answer.usage or _count(request.prompt, words)
            yield LLMEnded(answer.finish_reason, self.model, usage)
        finally:
            self.running -= 1

    def _next_answer(self, prompt: Prompt) -> ScriptedAnswer:
        answer: ScriptedAnswer | str | LLMError
        if self._in_order:
            answer = self._in_order.popleft()
        elif self._by_prompt is not None:
            answer = self._by_prompt(prompt)
        else:
            answer = LLMUnavailable("the script is used up")
        if isinstance(answer, str):
            return ScriptedAnswer(tuple(_WORD.findall(answer)))
        return ScriptedAnswer((answer,)) if isinstance(answer, LLMError) else answer


async def _perform(step: Step) -> str:
    """Return the text of the step, if it has any."""
    if isinstance(step, LLMError):
        raise step
    if isinstance(step, str):
        await asyncio.sleep(0)
        return repair_model_text(step)
    if math.isinf(step):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(step)
    return ""


def _count(prompt: Prompt, completion_words: int) -> Usage:
    asked = [prompt.system, *(message.content for message in prompt.messages)]
    return Usage(
        prompt_tokens=sum(len(text.split()) for text in asked),
        completion_tokens=completion_words,
    )
