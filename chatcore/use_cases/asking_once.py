"""Room 1, the hexagon: asking the model once, keeping nothing.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports, chatcore.use_cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from chatcore.errors import InvalidInput, LLMIncomplete, LLMTimeout, ServiceStopping
from chatcore.model.prompt import Prompt, PromptMessage
from chatcore.model.text import repair_model_text, require_text
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMEvent, LLMPort, LLMReply, PreparedRequest
from chatcore.use_cases.parts import Parts

_CUT_REASON = "length"


class OnceUseCases:
    """Everything that asks the model outside of any conversation of ours.

    Nothing is stored, so nobody can come back to it: whoever leaves ends the call. One call, never
    a second try; while it lasts it counts as a running turn of this process.

    Args:
        parts: What it is put together from.
        llm: Who answers.
    """

    def __init__(self, parts: Parts, *, llm: LLMPort) -> None:
        self._once = parts
        self._once_llm = llm

    @property
    def model(self) -> str:
        """The name of the model that is asked; empty where the adapter does not name it."""
        return dict(self._once_llm.options).get("model", "")

    @property
    def max_tokens(self) -> int:
        """Longest answer that anybody gets, in tokens."""
        return self._once.policy.max_tokens

    async def complete_once(
        self,
        messages: Sequence[PromptMessage],
        *,
        instructions: str = "",
        max_tokens: int | None = None,
    ) -> LLMReply:
        """Ask for the next message of a conversation that the caller keeps. Cancelling ends it.

        Args:
            messages: The conversation, oldest first; at least one.
            instructions: What the caller says to the model, after the operator's own words.
            max_tokens: Longest answer, in tokens; the operator's limit stays in force.

        Returns:
            The answer; one that is too long to be kept elsewhere is cut.

        Raises:
            InvalidInput: A text is blank, too long, or cannot be passed on.
            ServiceStopping: The process is shutting down.
            ServiceOverloaded: It runs as many turns as it may.
            LLMError: The model gave no usable answer.
        """
        request = self._prepare(messages, instructions, max_tokens, stream=False)
        self._take_place()
        try:
            async with asyncio.timeout(self._once.policy.deadline_seconds):
                reply = await self._once_llm.complete(request)
        except TimeoutError:
            raise LLMTimeout("the deadline has passed") from None
        finally:
            self._once.runner.turns.places.give_back()
        text, limit = repair_model_text(reply.text), self._once.policy.reply_max_chars
        if len(text) <= limit:
            return replace(reply, text=text)
        return replace(reply, text=text[:limit], finish_reason=_CUT_REASON)

    async def stream_once(
        self,
        messages: Sequence[PromptMessage],
        *,
        instructions: str = "",
        max_tokens: int | None = None,
    ) -> AsyncGenerator[LLMEvent, None]:
        """Do as `complete_once`, in parts: one `LLMStarted`, `LLMDelta`s, one `LLMEnded`.

        Close it when done; closing it early ends the call. Errors come where it is read.
        """
        request = self._prepare(messages, instructions, max_tokens, stream=True)
        self._take_place()
        try:
            async with (
                aclosing(self._once_llm.stream(request)) as events,
                aclosing(self._within_limits(events)) as limited,
            ):
                async for event in limited:
                    yield event
        finally:
            self._once.runner.turns.places.give_back()

    async def _within_limits(
        self, events: AsyncGenerator[LLMEvent, None]
    ) -> AsyncGenerator[LLMEvent, None]:
        policy, model = self._once.policy, self.model
        loop = asyncio.get_running_loop()
        due, room = loop.time() + policy.deadline_seconds, policy.reply_max_chars
        while True:
            event = await _next_of(events, due)
            if isinstance(event, LLMDelta):
                text = repair_model_text(event.text)
                if text[:room]:
                    yield LLMDelta(text[:room])
                room -= len(text)
                if room < 0:
                    event = LLMEnded(_CUT_REASON, model, None)
            if not isinstance(event, LLMDelta):
                model = event.model
                yield event
            if isinstance(event, LLMEnded):
                return

    def _prepare(
        self,
        messages: Sequence[PromptMessage],
        instructions: str,
        max_tokens: int | None,
        *,
        stream: bool,
    ) -> PreparedRequest:
        policy = self._once.policy
        if not messages:
            raise InvalidInput("messages", "is empty")
        for said in messages:
            require_text(said.content, field="messages", max_chars=policy.message_max_chars)
        limit = policy.message_max_chars
        system = "\n\n".join(
            text for text in (policy.system_prompt, _checked(instructions, limit)) if text
        )
        # What a kept conversation would leave out is refused: it is the caller's to choose.
        if sum(len(said.content) for said in messages) > limit + policy.history_max_chars:
            raise InvalidInput("messages", "are longer, all in all, than the model is given")
        allowed = policy.max_tokens
        prompt = Prompt(
            system=system,
            messages=tuple(messages),
            max_tokens=allowed if max_tokens is None else min(allowed, max_tokens),
        )
        return self._once_llm.prepare(prompt, stream=stream)

    def _take_place(self) -> None:
        runner = self._once.runner
        if runner.is_closing:
            raise ServiceStopping
        runner.turns.places.take()


def _checked(instructions: str, max_chars: int) -> str:
    if not instructions.strip():
        return ""
    return require_text(instructions, field="instructions", max_chars=max_chars)


async def _next_of(events: AsyncGenerator[LLMEvent, None], due: float) -> LLMEvent:
    try:
        async with asyncio.timeout_at(due):
            return await anext(events)
    except TimeoutError:
        raise LLMTimeout("the deadline has passed") from None
    except StopAsyncIteration:
        raise LLMIncomplete("the stream ended without saying so") from None
