"""Room 1, the hexagon: one call of the model, whole or in parts, as one answer.

May import: standard library, chatcore.errors, chatcore.model, chatcore.ports.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

from chatcore.errors import LLMIncomplete
from chatcore.model.policy import ChatPolicy
from chatcore.model.prompt import Prompt
from chatcore.ports.llm import LLMDelta, LLMEnded, LLMPort, LLMReply, PreparedRequest


class Asking:
    """Chooses how the model is asked, and puts its answer together.

    Args:
        llm: Who answers.
        policy: The operator's choices.
    """

    def __init__(self, llm: LLMPort, policy: ChatPolicy) -> None:
        self._llm = llm
        self._policy = policy

    def prepare(self, prompt: Prompt, *, attempt: int) -> PreparedRequest:
        """Make the request of one attempt, sending nothing."""
        # Nobody sees a part of a JSON answer, so the first attempt asks for a whole completion,
        # which costs a quarter. Its time limit covers the whole answer: a model that is slow but
        # alive gets its chance in the later attempts, where the limit counts between contents.
        is_whole = self._policy.whole_answers and attempt == 1
        return self._llm.prepare(prompt, stream=not is_whole)

    async def answer(self, request: PreparedRequest) -> LLMReply:
        """Call the model once; a text beyond the longest kept is cut.

        Raises:
            LLMError: No whole answer came.
        """
        reply = await (self._collect(request) if request.stream else self._llm.complete(request))
        limit = self._policy.reply_max_chars
        return reply if len(reply.text) <= limit else replace(reply, text=reply.text[:limit])

    async def _collect(self, request: PreparedRequest) -> LLMReply:
        parts: list[str] = []
        async with aclosing(self._llm.stream(request)) as events:
            async for event in events:
                if isinstance(event, LLMDelta):
                    parts.append(event.text)
                elif isinstance(event, LLMEnded):
                    text = "".join(parts)
                    return LLMReply(text, event.finish_reason, event.model, event.usage)
        raise LLMIncomplete("the stream ended without saying so")
