"""Ways to ask the OpenAI adapter, for its tests.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import pytest

from adapters.openai import OpenAILLM
from chatcore.errors import LLMError
from chatcore.ports.llm import LLMReply
from chatcore.testing.llm_rig import collect_until_failure, prompt, text_of
from tests.provider import event

KEY = "sk-test-0123456789"
STOP = event({}, finish_reason="stop")
LIMIT = 1.0
"""Seconds of silence that the impatient adapter bears; long enough for a machine that stutters."""
MAX_CHARS = 100_000


async def ask(llm: OpenAILLM) -> LLMReply:
    """Ask for a whole answer."""
    return await llm.complete(llm.prepare(prompt(), stream=False))


async def fail(llm: OpenAILLM, *, stream: bool) -> tuple[str, LLMError]:
    """Ask, either way; return the text that came before the failure, and the failure."""
    if stream:
        came, failure = await collect_until_failure(llm, llm.prepare(prompt(), stream=True))
        return text_of(came), failure
    with pytest.raises(LLMError) as caught:
        await ask(llm)
    return "", caught.value
