"""A process short of memory, standing still, without a log or dead; readers that hardly read.

May import: standard library, aiohttp, pytest, tests.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import provider as say
from tests.integration.hindered import HASTE, STALL, hindered
from tests.integration.reading import Reading, asking, following, path_of
from tests.integration.served import Service, serving
from tests.provider import Provider, Request, Then

pytestmark = pytest.mark.postgres

REPLY_MAX_CHARS = 262_144
ROBOT = "\U0001f916"
"""Four bytes a character."""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that answers at once."""
    async with Provider() as opened:
        opened.default(lambda request: say.answer_as_asked(request, "An answer."))
        yield opened


@asynccontextmanager
async def both(
    one: AbstractAsyncContextManager[Service], other: AbstractAsyncContextManager[Service]
) -> AsyncIterator[list[Service]]:
    """Start two services at the same time."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(*[stack.enter_async_context(each) for each in (one, other)])


def calls(provider: Provider) -> list[Request]:
    """Return what the model was asked, without the looks at the start of services."""
    return [request for request in provider.requests if request.method == "POST"]


async def outcomes(service: Service, path: str) -> list[str]:
    """Return how the attempts of a turn ended."""
    _, turn = await service.call("GET", path)
    return [attempt["outcome"] for attempt in turn["attempts"]]


async def said(service: Service, session_id: str) -> list[str]:
    """Return what is kept of a session, oldest first."""
    _, page = await service.call("GET", f"/sessions/{session_id}/messages?limit=100")
    return [message["content"] for message in page["items"]]


async def until_read(reading: Reading, text: str) -> None:
    """Wait until a reader has just this."""
    async with asyncio.timeout(10):
        while reading.text != text:
            await asyncio.sleep(0.02)


def megabytes(service: Service, name: str) -> float:
    """Return what the kernel says of a process's memory: VmRSS, VmHWM, VmSize."""
    status = Path(f"/proc/{service.process.pid}/status").read_text("ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024


def forget_peak(service: Service) -> float:
    """Have `VmHWM` begin anew, and return what is used now."""
    Path(f"/proc/{service.process.pid}/clear_refs").write_text("5", "ascii")
    return megabytes(service, "VmRSS")


# --- memory


async def test_a_flood_from_the_model_takes_little_memory(
    settings: dict[str, str], provider: Provider
) -> None:
    """G14: ten megabytes in pieces of one, several at once, are cut without being kept."""
    flood = say.streamed(["x" * 1_000_000] * 10)
    async with hindered(settings, {"whole_answers": False}) as service:
        provider.script(flood)
        assert (await service.ask("once, to get used to it"))[0] == 200
        before = forget_peak(service)
        for _ in range(2):
            provider.script(*[flood] * 4)
            answers = await asyncio.gather(*[service.ask(f"flood {n}") for n in range(4)])
            assert {status for status, _ in answers} == {200}
            assert {answer["response"] for _, answer in answers} == {"x" * REPLY_MAX_CHARS}
        peak = megabytes(service, "VmHWM")
    assert peak - before < 30, f"from {before} to {peak} MB"


@contextmanager
def no_more_memory(service: Service) -> Iterator[None]:
    """Let a process have what it has, and not a page more."""
    assert service.process.pid
    size = int(megabytes(service, "VmSize") * 2**20)
    before = resource.prlimit(service.process.pid, resource.RLIMIT_AS)
    resource.prlimit(service.process.pid, resource.RLIMIT_AS, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(service.process.pid, resource.RLIMIT_AS, before)


async def test_memory_that_runs_out_costs_a_turn_at_most(
    settings: dict[str, str], provider: Provider
) -> None:
    """An answer there is no memory for is a failed turn; the question and the service stay."""
    big = say.whole("x" * 6_000_000)
    async with hindered({**settings, "LLM_MAX_ATTEMPTS": "1"}) as service:
        _, first = await service.ask("before")
        with no_more_memory(service):
            provider.script(big)
            status, problem = await service.ask("meanwhile", session_id=first["session_id"])
            assert status >= 500, problem
        # With memory again: without a page more, ending the turn or looking at it may fail as well.
        path = f"/sessions/{first['session_id']}/turns/{problem['turn_id']}"
        async with asyncio.timeout(30):
            while (turn := (await service.call("GET", path))[1])["status"] == "running":
                await asyncio.sleep(0.2)
        assert turn["status"] == "failed"
        # The same answer, with memory for it: it was the memory, not the answer.
        provider.script(big)
        status, answer = await service.ask("afterwards", session_id=first["session_id"])
        assert (status, answer["response"]) == (200, "x" * REPLY_MAX_CHARS)
        assert await said(service, first["session_id"]) == [
            *("before", "An answer.", "meanwhile", "afterwards"),
            "x" * REPLY_MAX_CHARS,
        ]


async def test_successors_that_are_killed_too(settings: dict[str, str], provider: Provider) -> None:
    """G7: killed in the middle of much text, one after the other: an end, a part, a session."""
    much = "much " * 40_000
    twice = {**settings, "LLM_MAX_ATTEMPTS": "2"}
    async with (
        AsyncExitStack() as stack,
        both(hindered(twice, HASTE), hindered(twice, HASTE)) as (first, second),
    ):
        provider.script(
            say.streamed([much], then=Then.HANG), say.streamed(["The second"], then=Then.HANG)
        )
        async with asking(first, "Who is left?") as reading:
            opened = await reading.until("turn")
            await until_read(reading, much)
            first.process.kill()
        path = path_of(opened)
        async with following(second, path) as reading:
            await until_read(reading, "The second")
        third = await stack.enter_async_context(hindered(twice, HASTE))
        async with following(third, path) as reading:
            await until_read(reading, "The second")
            assert await outcomes(third, path) == ["abandoned", "pending"]
            second.process.kill()
            error = await reading.until("error")
        assert (reading.text, error.data["code"]) == ("The second", "turn_interrupted")
        assert await outcomes(third, path) == ["abandoned", "abandoned"]
        assert len(calls(provider)) == 2
        status, _ = await third.ask("And now?", session_id=opened.data["session_id"])
        assert status == 200
        assert await said(third, opened.data["session_id"]) == [
            *("Who is left?", "The second", "And now?", "An answer."),
        ]


# --- a process that stands still


async def test_standing_still_for_less_than_a_lease(
    settings: dict[str, str], provider: Provider
) -> None:
    """Five seconds without a heartbeat: nobody takes the turn over, and nothing is missing."""
    words = [f"word{number} " for number in range(12)]
    async with both(
        hindered(settings, stall_seconds=5.0),
        hindered(settings, {"sweep_seconds": 0.3}),
    ) as (first, second):
        provider.script(say.streamed(words, pause_seconds=0.3))
        async with asking(first, "?") as reading:
            path = path_of(await reading.until("turn"))
            began = (await reading.until("delta")).at
            first.process.send_signal(STALL)
            async with following(second, path) as elsewhere:
                done = await reading.until("done", within_seconds=20)
                await elsewhere.until("done")
        gaps = [after.at - event.at for event, after in pairwise(reading.events)]
        assert max(gaps) > 4, "it did not stand still"
        assert done.at - began < 10
        assert reading.names == elsewhere.names == ["turn", "delta", "done"]
        assert reading.text == elsewhere.text == done.data["response"] == "".join(words)
        assert await outcomes(second, path) == ["completed"]
    assert len(calls(provider)) == 1


async def test_standing_still_for_longer_than_a_lease(
    settings: dict[str, str], provider: Provider
) -> None:
    """G7: who wakes up to a turn taken over, its whole answer at hand, writes none of it."""
    late = [f"late{number} " for number in range(10)]
    words = [f"word{number} " for number in range(20)]
    async with both(hindered(settings, HASTE, stall_seconds=4.0), hindered(settings, HASTE)) as (
        first,
        second,
    ):
        provider.script(
            say.streamed(late, pause_seconds=0.1), say.streamed(words, pause_seconds=0.25)
        )
        async with asking(first, "?") as reading:
            opened = await reading.until("turn")
            path = path_of(opened)
            async with following(second, path) as elsewhere:
                await elsewhere.until("delta")
                first.process.send_signal(STALL)
                stalled = time.monotonic()
                restart = await elsewhere.until("restart")
                assert restart.at - stalled < 4, "it was awake again"
                ends = [
                    await reader.until("done", within_seconds=20) for reader in (reading, elsewhere)
                ]
        assert ends[0].data == ends[1].data
        assert ends[0].at - stalled > 4, "it was not awake before the end"
        assert reading.names == elsewhere.names == ["turn", "delta", "restart", "delta", "done"]
        assert reading.text == elsewhere.text == ends[0].data["response"] == "".join(words)
        assert await outcomes(first, path) == ["abandoned", "completed"]
        assert await said(first, opened.data["session_id"]) == ["?", "".join(words)]
        assert calls(provider)[0].answered.is_set()


# --- a log that cannot be written


def full_pipe() -> tuple[int, int]:
    """Return both ends of a pipe that takes nothing more."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(write, b"x" * size)
    os.set_blocking(write, True)
    return read, write


@contextmanager
def sink(kind: str) -> Iterator[dict[str, Any]]:
    """Give what to start a service with, so that its log cannot be written."""
    if kind == "full disk":
        yield {"before": "exec >&- 2>/dev/full"}
        return
    read, write = full_pipe()
    if kind == "closed pipe":
        os.close(read)
    try:
        yield {"sink": write}
    finally:
        os.close(write)
        if kind == "full pipe":
            os.close(read)


@pytest.mark.parametrize("kind", ["full disk", "full pipe", "closed pipe"])
async def test_a_log_that_cannot_be_written(
    settings: dict[str, str], provider: Provider, kind: str
) -> None:
    """A sink that is full or gone costs the lines; chats go on, also those that go wrong."""
    with sink(kind) as options:
        async with hindered(settings, **options) as service:
            answers = await asyncio.gather(*[service.ask(f"question {n}") for n in range(20)])
            assert Counter(status for status, _ in answers) == {200: 20}
            async with asking(service, "Who reads the log?") as reading:
                opened = await reading.until("turn")
                done = await reading.until("done")
            assert done.data["response"] == "An answer."
            provider.script(say.error(401))
            status, problem = await service.ask("?", session_id=opened.data["session_id"])
            assert (status, problem["code"]) == (502, "llm_rejected")
            assert await said(service, opened.data["session_id"]) == [
                *("Who reads the log?", "An answer.", "?")
            ]


# --- readers that hardly read

SLOW = 100
"""So many read a byte at a time, and as many nothing at all."""
PIECES = [ROBOT * 10_000] * 24


@asynccontextmanager
async def a_byte_at_a_time(service: Service, path: str) -> AsyncIterator[None]:
    """Have many readers follow a turn, and hardly read."""
    place = urlsplit(service.address)
    async with AsyncExitStack() as stack:
        tasks = []
        for number in range(2 * SLOW):
            client = socket.socket()
            # Else the system would hold all of the reply for the client.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, (place.hostname, place.port))
            reader, writer = await asyncio.open_connection(sock=client, limit=1024)
            stack.callback(_leave, writer)
            writer.write(b"GET %b/events HTTP/1.1\r\nHost: t\r\n\r\n" % path.encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            if number % 2:
                tasks.append(asyncio.create_task(_drip(reader)))
        yield
        assert not any(task.done() for task in tasks), "a reader had all of it"
        for task in tasks:
            task.cancel()


def _leave(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _drip(reader: asyncio.StreamReader) -> None:
    while await reader.read(1):
        await asyncio.sleep(0.1)


async def seconds_to_read(reading: Reading) -> float:
    """Read to the end, and return how long it took from the first text on."""
    first, done = await reading.until("delta"), await reading.until("done", within_seconds=30)
    assert reading.text == done.data["response"] == "".join(PIECES)
    return done.at - first.at


async def test_readers_that_hardly_read(settings: dict[str, str], provider: Provider) -> None:
    """G6: two hundred of them cost little memory, and neither the reply nor its readers time."""
    provider.default(
        lambda request: (
            say.streamed(PIECES, pause_seconds=0.1)
            if request.method == "POST"
            else say.answer_as_asked(request, "")
        )
    )
    async with hindered(settings, narrow=True) as service:
        async with asking(service, "alone") as reading:
            alone = await seconds_to_read(reading)
        before = forget_peak(service)
        provider.script(say.streamed(PIECES, pause_seconds=0.1, delay_seconds=2.0))
        async with asking(service, "in a crowd") as reading:
            opened = await reading.until("turn")
            async with a_byte_at_a_time(service, path_of(opened)):
                assert "delta" not in reading.names, "they came too late"
                crowded = await seconds_to_read(reading)
                peak = megabytes(service, "VmHWM")
    assert crowded < alone + 1.5
    # The whole reply is a megabyte: two hundred of these would be two hundred.
    assert peak - before < 80, f"from {before} to {peak} MB"


# --- many owners at once

OWNERS = 10
CHATS = 10


async def converse(service: Service, owner: str, number: int) -> list[str]:
    """Hold a conversation of two questions, and return all that came to see."""
    seen: list[str] = []
    fields: dict[str, Any] = {}
    for word in ("first", "second"):
        question = f"{owner}-{number}-{word}"
        async with asking(service, question, **fields) as reading:
            done = await reading.until("done", within_seconds=60)
        assert reading.names == ["turn", "delta", "done"]
        assert reading.text == done.data["response"] == f"{question} " * 8
        fields = {"session_id": done.data["session_id"]}
        seen += [reading.text]
    kept = await said(service, fields["session_id"])
    assert kept[1::2] == seen
    return kept


async def test_nobody_gets_a_word_of_another(settings: dict[str, str], provider: Provider) -> None:
    """G10, G12: a hundred streams of ten owners at once on a pool of two: each reads its own."""
    provider.default(
        lambda request: (
            say.streamed([f"{request.json['messages'][-1]['content']} "] * 8, pause_seconds=0.05)
            if request.method == "POST"
            else say.answer_as_asked(request, "")
        )
    )
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(serving(**settings, DATABASE_POOL_SIZE="2"))
        owners = {}
        for number in range(OWNERS):
            token = {"Authorization": f"Bearer visitor-{number:032}"}
            connector = aiohttp.TCPConnector(limit=0)
            client = aiohttp.ClientSession(headers=token, connector=connector)
            owners[f"owner{number}"] = replace(
                service, client=await stack.enter_async_context(client)
            )
        kept = await asyncio.gather(
            *(converse(owners[o], o, number) for number in range(CHATS) for o in owners)
        )
        assert len(kept) == OWNERS * CHATS
        assert {len(texts) for texts in kept} == {4}
        for owner, visitor in owners.items():
            _, page = await visitor.call("GET", "/sessions?limit=100")
            titles = [session["title"] for session in page["items"]]
            assert len(titles) == CHATS
            assert all(owner in title for title in titles)
    asked = [request.json["messages"][1:] for request in calls(provider)]
    assert Counter(len(messages) for messages in asked) == {1: 100, 3: 100}
    for messages in asked:
        owner, number, _ = messages[-1]["content"].split("-")
        assert all(message["content"].startswith(f"{owner}-{number}-") for message in messages)
