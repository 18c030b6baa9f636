"""A process that is asked to stop: what becomes of its turns, its readers and its connections.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import provider as say
from tests.integration.counting import CountingRelay
from tests.integration.reading import asking, following, path_of
from tests.integration.served import Service, serving
from tests.provider import Provider, Reply, Request, Then

pytestmark = pytest.mark.postgres

DRAIN_SECONDS = 1.0
AT_ONCE_SECONDS = 8.0
"""Two, but not on a machine that is busy with other things; a lease alone lasts fifteen."""
EXIT_SECONDS = DRAIN_SECONDS + AT_ONCE_SECONDS
WORDS = [f"word{n} " for n in range(12)]
UNFINISHED = say.streamed(["The first ", "words"], then=Then.HANG)
workers = pytest.mark.parametrize("workers", ["1", "2"])


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that answers at once."""
    async with Provider() as opened:
        opened.default(lambda request: say.answer_as_asked(request, "An answer."))
        yield opened


@asynccontextmanager
async def scripted(provider: Provider, reply: Reply) -> AsyncIterator[None]:
    """Have the next call answered so; to be entered once the services have looked at the model."""
    provider.script(reply)
    yield


def calls(provider: Provider) -> list[Request]:
    """Return what the model was asked, without the looks at the start of services."""
    return [request for request in provider.requests if request.method == "POST"]


async def seconds_to_exit(service: Service) -> float:
    """Ask a service to stop, and return how long it took to end well."""
    asked = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(service.process.wait(), timeout=40) == 0
    return time.monotonic() - asked


async def outcomes(service: Service, path: str) -> list[str]:
    """Return how the attempts of a turn ended."""
    _, turn = await service.call("GET", path)
    return [attempt["outcome"] for attempt in turn["attempts"]]


async def finished(service: Service, path: str, *, within_seconds: float = 10.0) -> Any:
    """Return a turn once it has ended."""
    async with asyncio.timeout(within_seconds):
        while (turn := (await service.call("GET", path))[1])["status"] == "running":
            await asyncio.sleep(0.05)
    return turn


@workers
async def test_a_turn_that_ends_in_time(
    settings: dict[str, str], provider: Provider, workers: str
) -> None:
    """G5: a reply under way at SIGTERM is finished and read to its end; then the process ends."""
    async with (
        serving(**settings, WORKERS=workers) as service,
        scripted(provider, say.streamed(WORDS, pause_seconds=0.15)),
        asking(service, "?") as reading,
    ):
        await reading.until("delta")
        asked = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        done = await reading.until("done")
        assert await asyncio.wait_for(service.process.wait(), timeout=10) == 0
        assert done.at > asked
        assert time.monotonic() - done.at < AT_ONCE_SECONDS
        await reading.is_over.wait()
    assert reading.names == ["turn", "delta", "done"]
    assert reading.text == done.data["response"] == "".join(WORDS)
    assert not reading.is_cut


async def test_an_answer_that_is_not_kept(settings: dict[str, str], provider: Provider) -> None:
    """Nobody else can go on with it, so it is given the same time as a turn to end well."""
    body = {"messages": [{"role": "user", "content": "?"}], "stream": True}
    async with (
        serving(**settings) as service,
        scripted(provider, say.streamed(WORDS, pause_seconds=0.15)),
        service.client.post(f"{service.address}/v1/chat/completions", json=body) as answer,
    ):
        await answer.content.readline()
        service.process.send_signal(signal.SIGTERM)
        rest = await answer.content.read()
        assert await asyncio.wait_for(service.process.wait(), timeout=10) == 0
    assert WORDS[-1].encode() in rest
    assert rest.endswith(b"data: [DONE]\n\n")


@workers
async def test_a_turn_that_takes_too_long(
    settings: dict[str, str], provider: Provider, workers: str
) -> None:
    """G6, G7: it is handed to the next process, which goes on at once; readers find it there."""
    async with serving(DRAIN_SECONDS, **settings, WORKERS=workers) as service:
        provider.script(UNFINISHED)
        async with asking(service, "?") as reading:
            opened = await reading.until("turn")
            await reading.until("delta")
            assert await seconds_to_exit(service) < EXIT_SECONDS
            await reading.is_over.wait()
        assert set(reading.names) == {"turn", "delta"}
        assert not reading.is_cut
    async with serving(**settings) as successor:
        ready = time.monotonic()
        async with following(successor, path_of(opened), after=reading.last_id) as again:
            done = await again.until("done")
        assert done.at - ready < AT_ONCE_SECONDS
        assert again.names == ["turn", "restart", "delta", "done"]
        assert again.text == done.data["response"] == "An answer."
        assert await outcomes(successor, path_of(opened)) == ["abandoned", "completed"]
    first, second = calls(provider)
    async with asyncio.timeout(5):
        await first.left.wait()
        await second.answered.wait()


async def test_a_replica_that_runs_takes_over_at_once(
    settings: dict[str, str], provider: Provider
) -> None:
    """G7: whoever reads on another replica sees the hand-over as a restart, a moment later."""
    async with (
        serving(DRAIN_SECONDS, **settings) as first,
        serving(**settings) as second,
        scripted(provider, UNFINISHED),
        asking(first, "?") as reading,
    ):
        path = path_of(await reading.until("turn"))
        await reading.until("delta")
        async with following(second, path) as elsewhere:
            await elsewhere.until("delta")
            asked = time.monotonic()
            assert await seconds_to_exit(first) < EXIT_SECONDS
            restart = await elsewhere.until("restart")
            assert restart.at - asked < DRAIN_SECONDS + AT_ONCE_SECONDS
            done = await elsewhere.until("done")
        assert elsewhere.names == ["turn", "delta", "restart", "delta", "done"]
        assert elsewhere.text == done.data["response"] == "An answer."
        assert await outcomes(second, path) == ["abandoned", "completed"]


async def test_a_turn_without_attempts_left_keeps_its_part(
    settings: dict[str, str], provider: Provider
) -> None:
    """G7: what may not be asked again is ended by the next process, with all that had come."""
    limited = {**settings, "LLM_MAX_ATTEMPTS": "1"}
    async with (
        serving(DRAIN_SECONDS, **limited) as service,
        scripted(provider, UNFINISHED),
        asking(service, "?") as reading,
    ):
        path = path_of(await reading.until("turn"))
        async with asyncio.timeout(5):
            while reading.text != "The first words":
                await asyncio.sleep(0.02)
        assert await seconds_to_exit(service) < EXIT_SECONDS
    async with serving(**limited) as successor:
        turn = await finished(successor, path, within_seconds=AT_ONCE_SECONDS)
        assert (turn["status"], turn["error_code"]) == ("failed", "turn_interrupted")
        async with following(successor, path) as again:
            await again.until("error")
        assert again.text == "The first words"
    assert len(calls(provider)) == 1


async def test_who_waits_for_a_whole_answer_is_told(
    settings: dict[str, str], provider: Provider
) -> None:
    """A JSON request whose turn is handed over is answered 503, and its key finds the turn."""
    key = {"Idempotency-Key": "shutdown-of-a-json-request"}
    body = {"message": "?"}
    async with serving(DRAIN_SECONDS, **settings) as service:
        provider.script(say.hang())
        waiting = asyncio.create_task(service.call("POST", "/chat", body, **key))
        async with asyncio.timeout(5):
            while not calls(provider):
                await asyncio.sleep(0.02)
        assert await seconds_to_exit(service) < EXIT_SECONDS
        status, told = await waiting
        assert (status, told["code"], told["retryable"]) == (503, "service_stopping", True)
    async with serving(**settings) as successor:
        status, answer = await successor.call("POST", "/chat", body, **key)
        assert (status, answer["response"]) == (200, "An answer.")
        assert answer["turn_id"] == told["turn_id"]


async def idle(service: Service, stack: AsyncExitStack) -> None:
    """Leave connections open in every way in which nothing runs."""
    place = urlsplit(service.address)
    head = "POST /chat HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    for sent in (
        "",
        "GET /health HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost:",
        f"{head}Content-Length: 100\r\n\r\n{{",
    ):
        _, writer = await asyncio.open_connection(place.hostname, place.port)
        stack.callback(writer.close)
        writer.write(sent.encode())
        await writer.drain()
    await service.call("GET", "/health")


@workers
async def test_nothing_running_nothing_to_wait_for(settings: dict[str, str], workers: str) -> None:
    """Idle connections, half a request and readers of other replicas' turns hold up no exit."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(serving(**settings, WORKERS=workers))
        await idle(service, stack)
        await asyncio.sleep(0.2)
        assert await seconds_to_exit(service) < AT_ONCE_SECONDS


async def test_readers_of_other_replicas_turns_are_sent_away(
    settings: dict[str, str], provider: Provider
) -> None:
    """G6: a follower's stream ends without an end of the turn, at once, and can go on elsewhere."""
    async with (
        serving(DRAIN_SECONDS, **settings) as first,
        serving(**settings) as second,
        scripted(provider, UNFINISHED),
        asking(first, "?") as reading,
    ):
        path = path_of(await reading.until("turn"))
        async with following(second, path) as elsewhere:
            await elsewhere.until("delta")
            assert await seconds_to_exit(second) < AT_ONCE_SECONDS
            await elsewhere.is_over.wait()
        assert elsewhere.names == ["turn", "delta"]
        assert not elsewhere.is_cut
        assert (await first.call("GET", path))[1]["status"] == "running"
        await first.call("POST", f"{path}/stop")
        assert elsewhere.text == reading.text


async def test_a_reader_that_does_not_read_holds_up_no_exit(
    settings: dict[str, str], provider: Provider
) -> None:
    """What waits for a client that reads nothing is cut off, and is there to be read again."""
    async with serving(**settings) as service:
        provider.script(say.whole("\U0001f916" * 250_000))
        _, answer = await service.ask("?")
        path = f"/sessions/{answer['session_id']}/turns/{answer['turn_id']}/events"
        place = urlsplit(service.address)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((place.hostname, place.port))
            # Several answers of two megabytes: more than the system holds for a client.
            client.sendall(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % path.encode() * 8)
            await asyncio.sleep(1)
            assert await seconds_to_exit(service) < AT_ONCE_SECONDS


async def test_a_database_that_is_silent_holds_up_no_exit(
    settings: dict[str, str], provider: Provider
) -> None:
    """With nobody to hand its turn to, the process leaves in time, and its lease runs out."""
    async with CountingRelay(settings["DATABASE_URL"]) as relay:
        there = {**settings, "DATABASE_URL": relay.url}
        async with (
            serving(DRAIN_SECONDS, **there) as service,
            scripted(provider, UNFINISHED),
            asking(service, "?") as reading,
        ):
            await reading.until("delta")
            relay.may_pass.clear()
            assert await seconds_to_exit(service) < EXIT_SECONDS
            await reading.is_over.wait()
            assert set(reading.names) == {"turn", "delta"}


async def test_a_database_may_sleep_while_nothing_runs(settings: dict[str, str]) -> None:
    """SWEEP=idle-off: a process that has nothing to do sends the database nothing."""
    async with CountingRelay(settings["DATABASE_URL"]) as relay:
        there = {**settings, "DATABASE_URL": relay.url, "SWEEP": "idle-off"}
        async with serving(**there) as service:
            await asyncio.sleep(0.5)
            before = relay.sent
            await asyncio.sleep(3)
            assert relay.sent == before
            assert (await service.ask("?"))[0] == 200
            assert relay.sent > before
