"""The whole service behind PgBouncer in transaction mode, as docs/how-to/pgbouncer.md says.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests import provider as say
from tests.integration.pooler import PROGRAM, SERVERS, left_prepared, pooled
from tests.integration.reading import asking, following, path_of
from tests.integration.served import Service, serving
from tests.provider import Provider

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        PROGRAM is None, reason="needs PgBouncer: Debian's package pgbouncer, see .ci/run"
    ),
]

CHATS = 100
WORDS = [f"word{number} " for number in range(8)]


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """Give the run's PostgreSQL through a pooler of the test's own."""
    with pooled(postgres_url) as url:
        yield url


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that answers at once, in words if it may."""
    async with Provider() as opened:
        opened.default(
            lambda request: (
                say.streamed(WORDS, pause_seconds=0.05)
                if request.method == "POST" and request.json.get("stream")
                else say.answer_as_asked(request, "An answer.")
            )
        )
        yield opened


async def test_nothing_goes_wrong_behind_a_pooler(
    pooled_url: str, empty_schema: str, provider: Provider
) -> None:
    """Two replicas, one of two processes, share three connections: every chat gets its answer."""
    settings = {
        "DATABASE_URL": pooled_url,
        "DATABASE_SCHEMA": empty_schema,
        "DATABASE_POOLER": "transaction",
        "OPENAI_BASE_URL": provider.base_url,
    }
    async with AsyncExitStack() as stack:
        # The first of them fills the empty database, through the pooler.
        first = await stack.enter_async_context(serving(**settings, WORKERS="2"))
        second = await stack.enter_async_context(serving(**settings))
        both = [first, second]
        asked = [both[number % 2].ask(f"question {number}") for number in range(CHATS)]
        answers = await asyncio.gather(*asked)
        assert Counter(status for status, _ in answers) == {200: CHATS}
        texts = await asyncio.gather(*[read_on_both(first, second) for _ in range(CHATS // 5)])
        assert set(texts) == {("".join(WORDS),) * 2}
    assert await left_prepared(pooled_url) == [0] * SERVERS


async def read_on_both(one: Service, other: Service) -> tuple[str, str]:
    """Ask one replica, read the reply there and on the other, and return it as read."""
    async with asking(one, "?") as reading:
        path = path_of(await reading.until("turn", within_seconds=30))
        async with following(other, path) as elsewhere:
            await reading.until("done", within_seconds=30)
            await elsewhere.until("done", within_seconds=30)
        return reading.text, elsewhere.text
