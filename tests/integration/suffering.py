"""A service whose database suffers, and one turn that runs in it meanwhile.

May import: standard library, tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests import provider as say
from tests.chaos.postgres import Postgres
from tests.integration.reading import Reading, path_of
from tests.integration.served import Service, serving
from tests.provider import Provider, Request

WORDS = [f"word{number} " for number in range(30)]
PAUSE_SECONDS = 0.05
LONG, SHORT = "a long answer", "An answer."
POOL_SIZE = 3


def answer(request: Request) -> say.Reply:
    """Answer one question in words, all others at once."""
    if request.method == "POST" and request.json["messages"][-1]["content"] == LONG:
        return say.streamed(WORDS, pause_seconds=PAUSE_SECONDS)
    return say.answer_as_asked(request, SHORT)


@asynccontextmanager
async def slow_provider() -> AsyncIterator[Provider]:
    """Run a provider that takes its time over the long answer only."""
    async with Provider() as opened:
        opened.default(answer)
        yield opened


@dataclass
class Bed:
    """A service on a database that is about to suffer, and one turn that runs in it."""

    service: Service
    server: Postgres
    database: str
    provider: Provider

    async def is_refused(self, message: str = "refused") -> float:
        """Ask what cannot be stored; return how long it took to say so."""
        began = time.monotonic()
        status, problem = await self.service.ask(message)
        assert (status, problem["code"]) == (503, "storage_unavailable")
        return time.monotonic() - began

    async def is_ready(self) -> bool:
        """Whether requests may come."""
        return (await self.service.call("GET", "/health/ready"))[0] == 200

    async def model_is_done(self) -> None:
        """Wait until the model has said all, and longer than one call tries to store it."""
        async with asyncio.timeout(10):
            await self.provider.requests[-1].answered.wait()
        await asyncio.sleep(1)

    async def require_stored(self, reading: Reading, *, within_seconds: float) -> None:
        """The turn that ran meanwhile ends, by its first attempt, as its reader saw it."""
        done = await reading.until("done", within_seconds=within_seconds)
        assert (reading.names, reading.text) == (["turn", "delta", "done"], "".join(WORDS))
        path = path_of(reading.events[0])
        status, turn = await self.service.call("GET", path)
        outcomes = [attempt["outcome"] for attempt in turn["attempts"]]
        assert (status, turn["status"], outcomes) == (200, "completed", ["completed"])
        assert done.data["response"] == reading.text

    async def goes_on(self, reading: Reading) -> None:
        """The next question into the same session is answered; nothing else was ever stored."""
        session = reading.events[0].data["session_id"]
        status, body = await self.service.ask("and now?", session_id=session)
        assert (status, body["response"]) == (200, SHORT)
        said = [LONG, "".join(WORDS), "and now?", SHORT]
        assert await self._rows("content", "messages ORDER BY position") == said
        assert await self._rows("position", "messages ORDER BY position") == [1, 2, 3, 4]
        assert await self._rows("status", "turns") == ["completed"] * 2
        assert await self._rows("count(*)", "reply_journal") == [0]
        assert await self._rows("count(*)", "chat_sessions") == [1]
        assert await self.is_ready()

    async def nothing_hangs(self) -> None:
        """No connection more than the pool's, none in a transaction, none waiting for a lock."""
        states = [
            row["state"]
            for row in await self.server.execute(
                "postgres",
                [f"SELECT state FROM pg_stat_activity WHERE datname = '{self.database}'"],
            )
        ]
        assert set(states) == {"idle"}
        assert len(states) <= POOL_SIZE

    async def _rows(self, what: str, of: str) -> list[Any]:
        query = f"SELECT {what} AS it FROM chatcore.{of}"
        return [row["it"] for row in await self.server.execute(self.database, [query])]


@asynccontextmanager
async def bed(
    server: Postgres,
    database: str,
    provider: Provider,
    *,
    url: str | None = None,
    pool_size: int = POOL_SIZE,
) -> AsyncIterator[Bed]:
    """Run a service on a database."""
    async with serving(
        DATABASE_URL=url or server.url(database),
        DATABASE_POOL_SIZE=str(pool_size),
        OPENAI_BASE_URL=provider.base_url,
        OPENAI_MODEL="test-model",
    ) as service:
        yield Bed(service, server, database, provider)
