"""`python -m app replay`: the exact requests of a turn, made again from the database alone.

May import: standard library, asyncpg, pytest, tests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from tests import provider as say
from tests.integration.reading import asking, path_of
from tests.integration.served import Service, run, serving, settings_for
from tests.provider import Provider, Then

pytestmark = pytest.mark.postgres

QUOTE = {
    "text": "Ein Ger\u00e4t \U0001f916 </passage>",
    "title": "Ch. 1",
    "url": "https://b.example",
}
HEADLINE = re.compile(
    r"# attempt (?P<number>\d+): (?P<outcome>[a-z]+)( \((?P<code>\w+)\))?; "
    r"(?P<way>whole|streamed); (?P<verdict>.*)"
)
OTHERS = {"OPENAI_MODEL": "other", "SYSTEM_PROMPT": "Other words.", "LLM_MAX_TOKENS": "7"}
"""Settings that nothing of the past may depend on."""


@dataclass
class World:
    """A service, the provider behind it, and where its database is."""

    service: Service
    provider: Provider
    place: dict[str, str]
    url: str
    sent: list[bytes] = field(default_factory=list)

    async def replay(self, turn_id: str, *more: str, **settings: str) -> tuple[int | None, bytes]:
        """Run the command for one turn; return its exit code and what it printed."""
        done = await run("replay", turn_id, *more, **self.place, **settings)
        assert "Traceback" not in done.errors
        return done.code, done.output

    async def complaint(self, *arguments: str) -> str:
        """Run the command, see it fail, and return its one line."""
        done = await run("replay", *arguments, **self.place)
        assert (done.code, done.output) == (1, b"")
        (line,) = [line for line in done.errors.splitlines() if line.startswith("error: ")]
        return line

    async def execute(self, statement: str) -> None:
        """Change something behind the service's back."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement.format(schema=self.place["DATABASE_SCHEMA"]))
        finally:
            await connection.close()

    async def ask(self, message: str, **fields: Any) -> Any:
        """Ask a question and return the answer."""
        return await self.post("/chat", {"message": message, **fields})

    async def post(self, path: str, body: object) -> Any:
        """Send a request that is answered well, and return the answer."""
        status, answer = await self.service.call("POST", path, body)
        assert status == 200, answer
        return answer


@pytest.fixture
async def world(postgres_url: str, empty_schema: str) -> AsyncIterator[World]:
    """Give a service with tables of its own."""
    place = {"DATABASE_URL": postgres_url, "DATABASE_SCHEMA": empty_schema}
    async with Provider() as provider:
        settings = settings_for(postgres_url, empty_schema, provider)
        async with serving(**settings) as service:
            provider.requests.clear()
            yield World(service, provider, place, postgres_url)


def bodies(output: bytes) -> list[bytes]:
    """Return the requests that the command printed."""
    return [line for line in output.splitlines() if not line.startswith(b"#")]


def headlines(output: bytes) -> list[dict[str, str | None]]:
    """Return what the command said about each request."""
    lines = [line.decode() for line in output.splitlines() if line.startswith(b"#")]
    found = [HEADLINE.fullmatch(line) for line in lines]
    return [line.groupdict() for line in found if line]


async def test_every_request_can_be_made_again(world: World) -> None:
    """G9: to the byte: whole, streamed, repeated, stopped, edited; with other settings by then."""
    provider = world.provider
    first = await world.ask("Why? \u2028\U0001f469\u200d\U0001f52c")
    session = first["session_id"]
    provider.script(say.error(503), say.streamed(["On the ", "second try."]))
    second = await world.ask("And then?", session_id=session, selected_text=QUOTE)
    provider.script(say.streamed(["A part"], then=Then.HANG))
    async with asking(world.service, "Stop!", session_id=session) as reading:
        third = (await reading.until("turn")).data
        await reading.until("delta")
        await world.post(f"{path_of(reading.events[0])}/stop", None)
        await reading.until("stopped")
    edited = f"/sessions/{session}/messages/{second['message_id']}/edit"
    fourth = await world.post(edited, {"message": "What now?"})
    fifth = await world.ask("Last.", session_id=session)
    sent = [request.body for request in provider.requests]
    turns = [turn["turn_id"] for turn in (first, second, third, fourth, fifth)]
    results = await asyncio.gather(*[world.replay(turn_id, **OTHERS) for turn_id in turns])
    assert [code for code, _ in results] == [0] * 5
    again = [bodies(output) for _, output in results]
    assert [len(each) for each in again] == [1, 2, 1, 1, 1]
    assert [body for each in again for body in each] == sent
    told = [line for _, output in results for line in headlines(output)]
    assert [(line["number"], line["outcome"], line["code"], line["way"]) for line in told] == [
        ("1", "completed", None, "whole"),
        ("1", "failed", "llm_unavailable", "whole"),
        ("2", "completed", None, "streamed"),
        ("1", "stopped", None, "streamed"),
        ("1", "completed", None, "whole"),
        ("1", "completed", None, "whole"),
    ]
    assert all(str(line["verdict"]).endswith("made again: the same") for line in told)
    assert len(provider.requests) == len(sent)


async def test_one_attempt_alone(world: World) -> None:
    """--attempt prints the bytes of one request and nothing else."""
    world.provider.script(say.error(500), say.streamed(["Well."]))
    turn = (await world.ask("?"))["turn_id"]
    sent = [request.body for request in world.provider.requests]
    results = [await world.replay(turn, "--attempt", number) for number in "12"]
    assert results == [(0, sent[0]), (0, sent[1])]
    assert "no attempt 3" in await world.complaint(turn, "--attempt", "3")


async def test_a_digest_that_is_not_met(world: World) -> None:
    """A record that disagrees with what is stored is told, and is a failure."""
    turn = (await world.ask("What was said?"))["turn_id"]
    await world.execute("UPDATE {schema}.messages SET content = 'never said' WHERE role = 'user'")
    code, output = await world.replay(turn)
    assert code == 1
    (line,) = headlines(output)
    assert re.fullmatch(r"recorded [0-9a-f]{64}; made again: [0-9a-f]{64}", str(line["verdict"]))
    assert b"never said" in bodies(output)[0]
    assert (await world.replay(turn, "--attempt", "1"))[0] == 1


async def test_what_is_not_on_record(world: World) -> None:
    """Without a digest there is nothing to compare; without its template, nothing to make again."""
    turn = (await world.ask("?"))["turn_id"]
    await world.execute("UPDATE {schema}.attempts SET request_digest = NULL")
    code, output = await world.replay(turn)
    assert (code, bodies(output)) == (0, [world.provider.requests[0].body])
    assert "no digest recorded" in str(headlines(output)[0]["verdict"])
    await world.execute("DELETE FROM {schema}.request_templates")
    code, output = await world.replay(turn)
    assert bodies(output) == []
    assert "cannot be made again" in str(headlines(output)[0]["verdict"])
    assert "cannot be replayed" in await world.complaint(turn, "--attempt", "1")


async def test_what_is_not_there(world: World) -> None:
    """An unknown turn and an erased one are one and the same line; another word is misuse."""
    erased = await world.ask("Forget me.")
    await world.service.call("DELETE", f"/sessions/{erased['session_id']}")
    for turn in (erased["turn_id"], "0199f3a2-7c1e-7d3b-9a55-2f1c5be0a1d4"):
        assert "no such turn" in await world.complaint(turn)
    misused = await run("replay", "first", **world.place)
    assert misused.code == 2
    assert misused.errors.startswith("usage: python -m app replay")
