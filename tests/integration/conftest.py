"""A provider that does as it is told, and the OpenAI adapter in front of it.

May import: standard library, adapters, pytest, tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from adapters.openai import OpenAILLM
from tests.integration.asking import KEY, LIMIT, MAX_CHARS
from tests.provider import Provider


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that does as it is told."""
    async with Provider() as opened:
        yield opened


@pytest.fixture
async def llm(provider: Provider) -> AsyncIterator[OpenAILLM]:
    """Give the adapter in front of it, with time enough for a slow machine."""
    made = OpenAILLM(
        api_key=KEY, base_url=provider.base_url, model="asked", reply_max_chars=MAX_CHARS
    )
    yield made
    await made.aclose()


@pytest.fixture
async def impatient(provider: Provider) -> AsyncIterator[OpenAILLM]:
    """Give the same with a short limit for silence."""
    made = OpenAILLM(api_key=KEY, base_url=provider.base_url, model="m", timeout_seconds=LIMIT)
    yield made
    await made.aclose()
