"""A provider that does as it is told with its adapter, and the repository on PostgreSQL.

May import: standard library, adapters, asyncpg, pytest, tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from adapters.openai import OpenAILLM
from adapters.postgres import Database, PostgresChatRepository
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


@pytest.fixture
def repository(database: Database) -> PostgresChatRepository:
    """Give the repository on the run's PostgreSQL."""
    return PostgresChatRepository(database)


@pytest.fixture
async def connection(postgres_url: str, schema: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection of the test's own, to look behind the adapter's back."""
    opened = await asyncpg.connect(postgres_url, server_settings={"search_path": schema})
    yield opened
    await opened.close()
