"""Responses on several processes that share one PostgreSQL, with a provider on a real socket.

May import: standard library, openai, pytest, tests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests import provider as say
from tests.doors.openai.client import WHOLE, checked, hear, refusal, said, until_text
from tests.http.door import VISITOR_A, VISITOR_B
from tests.integration.served import Service, serving, settings_for
from tests.provider import Provider

pytestmark = pytest.mark.postgres

TEXT = "balance is kept by moving the center of mass"
PIECES = re.findall(r"\S+ ?", TEXT)
KEY = {"Idempotency-Key": "a-key-nobody-guesses"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that does as it is told."""
    async with Provider() as opened:
        yield opened


@asynccontextmanager
async def two(
    postgres_url: str, empty_schema: str, provider: Provider
) -> AsyncIterator[list[Service]]:
    """Run two processes on the same tables."""
    settings = settings_for(postgres_url, empty_schema, provider) | {"OVERLOAD_LAG_SECONDS": "0"}
    async with serving(0.0, **settings) as one, serving(0.0, **settings) as other:
        yield [one, other]


def client_of(service: Service, key: str = VISITOR_A) -> AsyncOpenAI:
    """Return a client of one process."""
    return AsyncOpenAI(api_key=key, base_url=f"{service.address}/v1", max_retries=0)


async def last_of(client: AsyncOpenAI, known: str) -> Any:
    """Stream a response and return its last event."""
    return [event async for event in await client.responses.retrieve(known, stream=True)][-1]


async def test_on_any_process(postgres_url: str, empty_schema: str, provider: Provider) -> None:
    """Begun here, gone on with there, by number, while it is written and after its end."""
    async with (
        two(postgres_url, empty_schema, provider) as (one, other),
        client_of(one) as here,
        client_of(other) as there,
        client_of(other, VISITOR_B) as stranger,
    ):
        provider.script(say.streamed(PIECES, pause_seconds=0.2))
        stream = await here.responses.create(input="x", stream=True, background=True)
        heard = await until_text(stream, TEXT[:16])
        await stream.close()
        known, last = heard.events[0].response.id, heard.numbers[-1]
        rest = await hear(there.responses.retrieve(known, stream=True, starting_after=last))
        assert rest.numbers[0] == last + 1
        assert heard.text + rest.text == TEXT
        whole = await hear(there.responses.retrieve(known, stream=True))
        assert (whole.kinds, whole.text) == (WHOLE, TEXT)
        assert whole.events[last + 1 :] == rest.events
        assert (await hear(here.responses.retrieve(known, stream=True))).events == whole.events
        assert said(await refusal(stranger.responses.retrieve(known)))[0] == 404
        await _a_tour(here, there, provider)


async def _a_tour(here: AsyncOpenAI, there: AsyncOpenAI, provider: Provider) -> None:
    """Stop there what runs here; go on, replace, repeat, walk, erase on real tables."""
    made = await here.conversations.create(metadata={"a": "b"}, items=[])
    provider.script(say.streamed(PIECES, pause_seconds=0.2))
    stream = await here.responses.create(input="one", conversation=made.id, stream=True)
    heard = await until_text(stream, TEXT[:16])
    stopped = await there.responses.cancel(heard.events[0].response.id)
    rest = await hear(stream)
    assert rest.kinds[-1] == "incomplete"
    assert rest.response.status == stopped.status == "cancelled"
    # Who stops it elsewhere keeps what is in the journal by then.
    assert TEXT.startswith(stopped.output_text)
    two: Any = {"input": "two", "conversation": made.id, "extra_headers": KEY}
    found = await asyncio.gather(here.responses.create(**two), there.responses.create(**two))
    assert found[0] == found[1]
    three = await here.responses.create(input="three", conversation=made.id)
    after: Any = {"input": "instead", "previous_response_id": found[0].id}
    again = {**after, "extra_headers": {"Idempotency-Key": "another-key-of-mine"}}
    other = await there.responses.create(**again)
    assert await here.responses.create(**again) == other
    gone = await refusal(here.responses.create(input="x", previous_response_id=three.id))
    assert gone.code == "previous_response_not_found"
    texts = [
        item.content[0].text  # type: ignore[union-attr,index]
        async for item in here.conversations.items.list(made.id, limit=2, order="asc")
    ]
    assert texts == ["one", stopped.output_text, "two", "Hello", "instead", "Hello"]
    assert (await there.conversations.retrieve(made.id)) == made
    await there.conversations.delete(made.id)
    assert (await refusal(here.responses.retrieve(other.id))).status_code == 404


async def test_a_process_that_goes(
    postgres_url: str, empty_schema: str, provider: Provider
) -> None:
    """Its response is written anew elsewhere; nobody gets a mixture of the two."""
    async with (
        two(postgres_url, empty_schema, provider) as (one, other),
        client_of(one) as here,
        client_of(other) as there,
    ):
        provider.script(say.streamed(PIECES, pause_seconds=0.4))
        provider.default(say.streamed(["another ", "answer ", "altogether"]))
        stream = await here.responses.create(input="x", stream=True)
        heard = await until_text(stream, TEXT[:16])
        one.process.terminate()
        rest = [event async for event in stream]
        assert rest[-1].type == "error"
        assert rest[-1].code == "stream_interrupted"
        known, last = heard.events[0].response.id, rest[-1].sequence_number
        # Meanwhile it may be in the old text when the new one begins.
        async with asyncio.timeout(30):
            while (await last_of(there, known)).type == "error":
                await asyncio.sleep(0.1)
        whole = await hear(there.responses.retrieve(known, stream=True))
        assert (whole.kinds, whole.text) == (WHOLE, "another answer altogether")
        assert checked(whole.response) == await there.responses.retrieve(known)
        again = there.responses.retrieve(known, stream=True, starting_after=last)
        assert said(await refusal(again)) == (400, "stream_restarted", "starting_after")
