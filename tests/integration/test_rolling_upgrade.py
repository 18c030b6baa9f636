"""An upgrade without a stop: processes of the version before and of this one on the same tables.

May import: standard library, aiohttp, asyncpg, pytest, tests.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from tests.integration.chatting import Chatter, Crowd, Replica, answers, check_calls
from tests.integration.reading import asking, following, path_of
from tests.integration.served import ROOT, Service
from tests.integration.versions import HASTE, Version, run_in, serving_version
from tests.provider import Provider, Request

pytestmark = pytest.mark.postgres

UPGRADES = 1
"""How often each upgrade is done; before a release five times, which makes twenty-five in all."""
CHATTERS = 6
THIS = Version("this")
FIRST = Version(
    # The last one with these tables that works: after it, the core is ahead of its adapters.
    "0001",
    commit="b54e4a099c63f86a98514c348d0526e95937bb62",
    streams=False,
    stays_ready=False,
)
SECOND = Version("0002", commit="da7fcd6819ebb1254a5495e17304d87e4e7efa00", stays_ready=False)
THIRD = Version("0003", commit="abd9d965830a5fcc12d607aa1db6ec0b7d155e02", stays_ready=False)
FOURTH = Version("0004", commit="80bf5803ad4056fa18758ac2f97475fb0f1fe6e5")
PAIRS = {
    "from the tables of 0001": (FIRST, THIS),
    "from the tables of 0002": (SECOND, THIS),
    "from the tables of 0003": (THIRD, THIS),
    "from the tables of 0004": (FOURTH, THIS),
    "to the tables after these": (THIS, Version("next", is_next=True)),
}
MAX_ATTEMPTS = 2
DRAIN_SECONDS = 1.0
LONG = 130
"""Words of an answer that takes longer than a lease and a drain."""
MIDDLING = 60
"""Words of an answer that gives a test the time to do something meanwhile."""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that answers every question in its own words."""
    async with Provider() as opened:
        answers(opened)
        yield opened


@pytest.fixture
async def connection(postgres_url: str, empty_schema: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a connection of the test's own, to look behind the services' backs."""
    opened = await asyncpg.connect(postgres_url, server_settings={"search_path": empty_schema})
    yield opened
    await opened.close()


@dataclass
class Sent:
    """A question that the model is being asked."""

    question: str
    body: dict[str, str]
    headers: dict[str, str]
    answer: asyncio.Task[tuple[int, Any]]


@dataclass
class Upgrade:
    """One upgrade under way: old replicas, later a new one, and clients that chat."""

    before: Version
    after: Version
    folder: Path
    settings: dict[str, str]
    provider: Provider
    crowd: Crowd
    stack: AsyncExitStack
    chatting: asyncio.Task[None] | None = None

    async def start(self, version: Version, count: int = 1) -> list[Replica]:
        """Start replicas and send clients there, too."""
        folder = version.unpack(self.folder)
        # A version that cannot hand over gives its turns the time they take.
        drain = DRAIN_SECONDS if version.streams else 20.0
        opening = [
            serving_version(folder, drain_seconds=drain, settings=self.settings)
            for _ in range(count)
        ]
        entering = [self.stack.enter_async_context(each) for each in opening]
        started = [Replica(each, version.streams) for each in await asyncio.gather(*entering)]
        self.crowd.replicas += started
        return started

    async def end(self, replica: Replica, how: signal.Signals) -> int:
        """Have a replica end while clients are still sent there, and return its exit code."""
        replica.service.process.send_signal(how)
        code = await asyncio.wait_for(replica.service.process.wait(), timeout=30)
        self.crowd.replicas.remove(replica)
        return code

    def chatter(self, name: str) -> Chatter:
        """Return one more client, which does only what it is told."""
        self.crowd.chatters.append(Chatter(name, self.crowd))
        return self.crowd.chatters[-1]

    async def migrate(self) -> None:
        """Bring the tables to the version after, while everybody serves."""
        folder = self.after.unpack(self.folder)
        done = await run_in(folder, "-m", "app", "migrate", settings=self.settings)
        assert done.code == 0, done.errors
        told = (200, "ready") if self.before.stays_ready else (503, "schema_outdated")
        for replica in self.crowd.replicas:
            assert await readiness(replica.service) == told

    async def let_everybody_finish(self) -> None:
        """Have the clients ask nothing more, and wait until all is answered."""
        assert self.chatting is not None
        await asyncio.sleep(0.5)
        self.crowd.end()
        await self.chatting

    async def asked(self, question: str) -> None:
        """Wait until the model has been asked this."""
        async with asyncio.timeout(10):
            while not self.calls(question):
                await asyncio.sleep(0.02)

    def calls(self, question: str) -> list[Request]:
        """Return the requests that asked the model this."""
        posted = [request for request in self.provider.requests if request.method == "POST"]
        return [each for each in posted if each.json["messages"][-1]["content"] == question]

    async def send(self, replica: Replica, chatter: Chatter, size: int) -> Sent:
        """Ask at one replica without waiting for more than that the model is asked."""
        question = chatter.question(size)
        body = {"message": question}
        if chatter.session_id is not None:
            body["session_id"] = chatter.session_id
        headers = {"Idempotency-Key": str(uuid4())}
        answer = asyncio.create_task(replica.service.call("POST", "/chat", body, **headers))
        await self.asked(question)
        return Sent(question, body, headers, answer)


@asynccontextmanager
async def under_way(
    pair: tuple[Version, Version], folder: Path, settings: dict[str, str], provider: Provider
) -> AsyncIterator[Upgrade]:
    """Serve the version before from two replicas, with clients that chat; both end with this."""
    async with AsyncExitStack() as stack:
        crowd = Crowd(CHATTERS)
        upgrade = Upgrade(*pair, folder, settings, provider, crowd, stack)
        await upgrade.start(upgrade.before, 2)
        async with asyncio.TaskGroup() as group:
            upgrade.chatting = group.create_task(crowd.chat())
            await asyncio.sleep(0.7)
            yield upgrade


async def readiness(service: Service) -> tuple[int, str]:
    """Return what a replica says to whoever asks whether it should get requests."""
    status, body = await service.call("GET", "/health/ready")
    return status, body.get("code", "ready")


async def outcomes(replica: Replica, done: dict[str, Any]) -> list[str]:
    """Return how the attempts of a turn ended."""
    path = f"/sessions/{done['session_id']}/turns/{done['turn_id']}"
    _, turn = await replica.service.call("GET", path)
    return [attempt["outcome"] for attempt in turn["attempts"]]


async def one_turn_at_both(upgrade: Upgrade, one: Replica, other: Replica, size: int) -> None:
    """G2, G3: whoever does not run it joins it by its key, and lets nothing else in."""
    chatter = upgrade.chatter(f"at {upgrade.crowd.replicas.index(one)}")
    await chatter.ask(size=1)
    sent = await upgrade.send(one, chatter, size)
    again = asyncio.create_task(other.service.call("POST", "/chat", sent.body, **sent.headers))
    status, problem = await other.service.call("POST", "/chat", {**sent.body, "message": "Or?"})
    assert (status, problem["code"], problem["retryable"]) == (409, "session_busy", True)
    (status, done), (status_again, done_again) = await asyncio.gather(sent.answer, again)
    assert (status, status_again) == (200, 200)
    # A version may tell more of an answer than the one before.
    common = done.keys() & done_again.keys()
    assert common >= {"response", "session_id", "turn_id", "message_id", "timestamp", "usage"}
    assert {name: done[name] for name in common} == {name: done_again[name] for name in common}
    assert done["turn_id"] == problem["turn_id"]
    assert await outcomes(one, done) == await outcomes(other, done) == ["completed"]
    chatter.take(sent.question, done)


async def a_stop_at_the_new(upgrade: Upgrade, old: Replica, new: Replica) -> None:
    """G5, G7: it is over at once, whoever runs it notices, and its session goes on at both."""
    chatter = upgrade.chatter("stopped")
    await chatter.ask(size=1)
    sent = await upgrade.send(old, chatter, LONG)
    _, page = await new.service.call("GET", f"/sessions/{chatter.session_id}/messages")
    turn_id = page["items"][-1]["turn_id"]
    path = f"/sessions/{chatter.session_id}/turns/{turn_id}"
    status, turn = await new.service.call("POST", f"{path}/stop")
    assert (status, turn["status"]) == (200, "stopped")
    async with asyncio.timeout(HASTE["lease_seconds"] + 2):
        await upgrade.calls(sent.question)[0].left.wait()
    status, told = await sent.answer
    ended = (200, "stopped") if old.streams else (409, "turn_lost")
    assert (status, told["status"] if status == 200 else told["code"]) == ended
    # Only whoever streams has a part to keep, and this was asked for as a whole.
    chatter.said.append(("user", sent.question, turn_id))
    chatter.stopped.add(turn_id)
    for replica in (old, new):
        assert (await replica.service.call("GET", path))[1]["status"] == "stopped"
        await chatter.ask(size=1, at=replica)


async def a_late_start(upgrade: Upgrade) -> None:
    """A process of the version before that is started on the tables of the version after."""
    (late,) = await upgrade.start(upgrade.before)
    await upgrade.chatter("late").ask(at=late)
    assert await upgrade.end(late, signal.SIGTERM) == 0


async def a_stream_handed_over(upgrade: Upgrade, old: Replica, new: Replica) -> None:
    """G6, G7: SIGTERM in the middle of a stream; it goes on at the new, byte by byte."""
    chatter = upgrade.chatter("handed over")
    question = chatter.question(LONG)
    async with asking(old.service, question) as reading:
        path = path_of(await reading.until("turn"))
        await reading.until("delta")
        assert await upgrade.end(old, signal.SIGTERM) == 0
        await reading.is_over.wait()
    assert set(reading.names) == {"turn", "delta"}
    assert not reading.is_cut
    async with following(new.service, path, after=reading.last_id) as again:
        done = await again.until("done", within_seconds=20)
    assert again.names == ["turn", "restart", "delta", "done"]
    assert again.text == done.data["response"]
    assert await outcomes(new, done.data) == ["abandoned", "completed"]
    chatter.take(question, done.data)


async def a_last_answer(upgrade: Upgrade, old: Replica, _: Replica) -> None:
    """G1: SIGTERM in the middle of an answer; who waits for it gets it, whatever the tables."""
    chatter = upgrade.chatter("last answer")
    sent = await upgrade.send(old, chatter, MIDDLING)
    assert await upgrade.end(old, signal.SIGTERM) == 0
    status, done = await sent.answer
    assert status == 200
    chatter.take(sent.question, done)


async def a_death(upgrade: Upgrade, old: Replica, new: Replica) -> None:
    """G7: SIGKILL in the middle of an answer; the new finds the turn, its key finds the answer."""
    chatter = upgrade.chatter("left behind")
    sent = await upgrade.send(old, chatter, MIDDLING)
    await upgrade.end(old, signal.SIGKILL)
    with pytest.raises(aiohttp.ClientError):
        await sent.answer
    status, done = await new.service.call("POST", "/chat", sent.body, **sent.headers)
    assert status == 200
    assert await outcomes(new, done) == ["abandoned", "completed"]
    chatter.take(sent.question, done)


async def check(upgrade: Upgrade, new: Replica, connection: asyncpg.Connection) -> None:
    """See that nothing is lost or doubled: at the service, at the model, in the tables."""
    for chatter in upgrade.crowd.chatters:
        assert chatter.said
        await chatter.compare(new)
    sent = check_calls(upgrade.provider, upgrade.crowd.chatters)
    attempts = await connection.fetch(_ATTEMPTS)
    assert {row["content"] for row in attempts} == sent.keys()
    # A process can die after it has recorded an attempt and before it has made it.
    assert all(sent[row["content"]] <= row["count"] <= MAX_ATTEMPTS for row in attempts)
    assert await connection.fetch(_NOT_AS_IT_SHOULD_BE) == []


_ATTEMPTS = """
SELECT m.content, (SELECT count(*) FROM attempts a WHERE a.turn_id = t.id)
  FROM messages m JOIN turns t ON t.session_id = m.session_id AND t.number = m.turn_number
 WHERE m.role = 'user'
"""
_NOT_AS_IT_SHOULD_BE = """
SELECT 'turn', id::text FROM turns WHERE status NOT IN ('completed', 'stopped')
UNION ALL SELECT 'journal', turn_id::text FROM reply_journal
UNION ALL SELECT 'numbers', session_id::text FROM turns
 GROUP BY session_id HAVING max(number) <> count(*)
UNION ALL SELECT 'positions', session_id::text FROM messages
 GROUP BY session_id HAVING max(position) <> count(*)
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", range(UPGRADES))
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
async def test_both_versions_serve_one_schema(
    pair: tuple[Version, Version],
    number: int,
    open_folder: Path,
    settings: dict[str, str],
    provider: Provider,
    connection: asyncpg.Connection,
) -> None:
    """G1 to G7: clients chat on while the tables are migrated and all processes are replaced."""
    async with under_way(pair, open_folder, settings, provider) as upgrade:
        first, second = upgrade.crowd.replicas
        await upgrade.migrate()
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(upgrade.start(upgrade.after))
            if upgrade.before.stays_ready:
                group.create_task(a_late_start(upgrade))
        (new,) = starting.result()
        await asyncio.gather(
            one_turn_at_both(upgrade, new, first, LONG),
            one_turn_at_both(upgrade, second, new, MIDDLING),
            a_stop_at_the_new(upgrade, second, new),
        )
        await (a_stream_handed_over if first.streams else a_last_answer)(upgrade, first, new)
        await a_death(upgrade, second, new)
        await upgrade.let_everybody_finish()
        await check(upgrade, new, connection)


@pytest.mark.parametrize("before", [FIRST, SECOND], ids=lambda version: version.name)
async def test_going_back(
    before: Version, open_folder: Path, settings: dict[str, str], provider: Provider
) -> None:
    """G1: tables taken back as docs/how-to/upgrade.md says hold all that was said."""
    crowd = Crowd(1)
    (chatter,) = crowd.chatters
    old = before.unpack(open_folder)
    async with serving_version(ROOT, drain_seconds=DRAIN_SECONDS, settings=settings) as service:
        crowd.replicas = [Replica(service, streams=True)]
        await chatter.ask(size=1)
        await chatter.ask(size=1)
    back = ("-m", "alembic", "downgrade", before.name)
    done = await run_in(ROOT, *back, settings=settings)
    assert done.code == 0, done.errors
    async with serving_version(old, drain_seconds=DRAIN_SECONDS, settings=settings) as service:
        crowd.replicas = [Replica(service, before.streams)]
        await chatter.compare(crowd.replicas[0])
        await chatter.ask(size=1)
        await chatter.compare(crowd.replicas[0])
    check_calls(provider, crowd.chatters)
