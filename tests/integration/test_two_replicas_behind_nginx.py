"""Two replicas, one of them of two processes, behind nginx as docs/how-to/nginx.conf sets it up.

May import: standard library, aiohttp, pytest, tests.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from tests import provider as say
from tests.integration.chatting import Chatter, Crowd, Replica, answers, check_calls
from tests.integration.front import PROGRAM, Answered, Front, fronted
from tests.integration.hindered import hindered
from tests.integration.reading import Event, Reading, asking, following, path_of
from tests.integration.served import ROOT, Service, environment, serving, until_ready
from tests.integration.versions import HASTE
from tests.ports import kept_port
from tests.provider import Provider

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        PROGRAM is None, reason="needs nginx: Debian's package nginx-light, see .ci/run"
    ),
]

CHATTERS = 6
PATIENT = 8
"""How many clients ask for long answers."""
LONG = 100
"""Words of an answer that takes three seconds, longer than a drain here."""
MAX_ATTEMPTS = 2
FAIL_SECONDS = 2.0
"""How long nginx leaves a replica alone that failed, as the configuration says."""
AT_ONCE_SECONDS = 1.0
"""Less, but not on a machine that is busy with other things."""
GOING = {
    signal.SIGTERM: {(503, "service_stopping"), (502, "service_unreachable")},
    signal.SIGKILL: {(502, "service_unreachable")},
}
"""What may be refused while a replica goes: status and code."""
TOO_LONG = {262_145: True, 900_000: True, 2**20 + 1: False}
"""Sizes of bodies, and whether they are passed on to be refused."""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that answers every question in its own words."""
    async with Provider() as opened:
        answers(opened)
        yield opened


@asynccontextmanager
async def two_behind(settings: dict[str, str]) -> AsyncIterator[tuple[Service, Front]]:
    """Start both replicas and nginx; give the service as its clients see it."""
    async with (
        serving(**settings) as one,
        serving(**settings, WORKERS="2") as other,
        fronted(one.address, other.address) as front,
    ):
        yield replace(one, address=front.address), front


@asynccontextmanager
async def serving_at(port: int, **settings: str) -> AsyncIterator[Service]:
    """Run a replica at a given port, until it is left; it ends well or the test does not."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "serve"),
        cwd=ROOT,
        env=environment(PORT=str(port), **settings),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with aiohttp.ClientSession() as client:
        service = Service(process, f"http://127.0.0.1:{port}", client)
        try:
            await until_ready(service)
            yield service
        finally:
            if process.returncode is None:
                process.terminate()
            assert await asyncio.wait_for(process.wait(), timeout=30) == 0


@asynccontextmanager
async def labelled(service: Service, request_id: str) -> AsyncIterator[Service]:
    """Give a client whose requests have this id, by which nginx's log tells them."""
    async with aiohttp.ClientSession(headers={"X-Request-ID": request_id}) as client:
        yield replace(service, client=client)


@asynccontextmanager
async def chatting(service: Service) -> AsyncIterator[Crowd]:
    """Let a crowd chat until this is left, each to the end of a turn."""
    crowd = Crowd(CHATTERS)
    crowd.replicas = [Replica(service, streams=True)]
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.chat())
        yield crowd
        crowd.end()


async def logged(front: Front, count: int) -> list[Answered]:
    """Return the lines of requests with an id of ours, once there are so many: they come late."""
    async with asyncio.timeout(15):
        while len(found := [each for each in front.answered() if "-" in each.request_id]) < count:
            await asyncio.sleep(0.05)
    return found


def places(entries: list[Answered], kind: str) -> list[set[str]]:
    """Return for each turn which replicas got its requests of a kind."""
    found: dict[str, set[str]] = {}
    for each in entries:
        number, _, name = each.request_id.partition("-")
        if name == kind:
            found.setdefault(number, set()).update(each.upstreams)
    return [found[number] for number in sorted(found)]


def pages_of(event: Event) -> str:
    """Return the path of the messages of the session that an event names."""
    return f"/sessions/{event.data['session_id']}/messages"


async def test_a_crowd_is_spread_over_both(settings: dict[str, str], provider: Provider) -> None:
    """G2, G6: streams and JSON answers come from both replicas; every question is asked once."""
    async with two_behind(settings) as (service, front):
        async with chatting(service) as crowd:
            await asyncio.sleep(3)
        assert (crowd.breaks, crowd.refusals) == (0, {})
        assert set(check_calls(provider, crowd.chatters).values()) == {1}
        share = Counter(each.upstreams for each in front.answered() if each.method == "POST")
        assert len(share) == 2
        assert min(share.values()) > 0.3 * share.total()


async def test_words_come_one_by_one(settings: dict[str, str], provider: Provider) -> None:
    """G6: nothing of a stream is collected or compressed on its way; pages are compressed."""
    words = [f"word{number} " for number in range(5)]
    async with two_behind(settings) as (service, _):
        provider.script(say.streamed(words, pause_seconds=0.4))
        async with asking(service, "? /1") as reading:
            done = await reading.until("done")
        came = [event.at for event in reading.events if event.name == "delta"]
        assert len(came) > len(words) / 2
        assert came[-1] - came[0] > 1.0
        assert reading.text == done.data["response"] == "".join(words)
        for path, coding in ((f"{path_of(done)}/events", None), (pages_of(done), "gzip")):
            async with service.client.get(service.address + path) as answer:
                assert answer.status == 200
                assert answer.headers.get("Content-Encoding") == coding


async def test_coming_back_and_stopping(settings: dict[str, str]) -> None:
    """G5, G6: whichever replica a reader or a stop comes to: nothing twice, nothing skipped."""
    async with two_behind(settings) as (service, front):
        read = await asyncio.gather(*[come_back(service, number) for number in range(4)])
        assert read == [True] * 4
        await asyncio.gather(*[stop(service, number) for number in range(4, 8)])
        entries = await logged(front, 8 + 8 + 8)
        asked = places(entries, "ask")
        # Of two requests for a turn at the same time, one comes to each replica.
        for kind, those in (("back", asked[:4]), ("stop", asked[4:])):
            assert all(len(place) == 1 for place in those)
            assert any(
                there - here for here, there in zip(those, places(entries, kind), strict=True)
            )


async def come_back(service: Service, number: int) -> bool:
    """Leave a stream, read on in two places; tell whether all got the stored reply."""
    async with labelled(service, f"{number}-ask") as client, asking(client, "? /60") as reading:
        path = path_of(await reading.until("turn"))
        await read_some(reading)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(labelled(service, f"{number}-back"))
        back = [
            await stack.enter_async_context(following(client, path, after=reading.last_id))
            for _ in range(2)
        ]
        ends = [await each.until("done") for each in back]
    (answer,) = {end.data["response"] for end in ends}
    assert all("restart" not in each.names for each in back)
    assert {reading.text + each.text for each in back} == {answer}
    return bool(reading.text) and all(each.text for each in back)


async def stop(service: Service, number: int) -> None:
    """Stop a stream from two places; what was read is what is kept, and the session goes on."""
    async with labelled(service, f"{number}-ask") as client, asking(client, "? /300") as reading:
        opened = await reading.until("turn")
        await read_some(reading)
        async with labelled(service, f"{number}-stop") as other:
            path = f"{path_of(opened)}/stop"
            told = await asyncio.gather(*[other.call("POST", path) for _ in range(2)])
        assert [(status, turn["status"]) for status, turn in told] == [(200, "stopped")] * 2
        stopped = await reading.until("stopped")
    kept: str = stopped.data["response"]
    assert kept
    assert reading.text.startswith(kept)
    session_id = opened.data["session_id"]
    status, _ = await service.ask("And now? /1", session_id=session_id)
    assert status == 200
    _, page = await service.call("GET", pages_of(opened))
    assert page["items"][1]["content"] == kept


async def read_some(reading: Reading) -> None:
    """Wait until a reader has a part of the reply that the journal has, too."""
    async with asyncio.timeout(10):
        while len(reading.text) < 80:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
async def test_a_replica_goes(
    settings: dict[str, str], provider: Provider, how: signal.Signals
) -> None:
    """G1, G2, G6, G7: in mid-stream; by key and place clients find all of it at the other."""
    async with (
        serving(**settings, WORKERS="2") as staying,
        hindered(settings, HASTE) as going,
        fronted(staying.address, going.address) as front,
    ):
        service = replace(staying, address=front.address)
        async with chatting(service) as crowd:
            patient = [Chatter(f"patient{number}", crowd) for number in range(PATIENT)]
            async with asyncio.TaskGroup() as group:
                for chatter in patient:
                    group.create_task(chatter.ask(size=LONG))
                await asyncio.sleep(1)
                gone_at = time.time()
                going.process.send_signal(how)
                await going.process.wait()
                await asyncio.sleep(FAIL_SECONDS + 1)
        chatters = [*crowd.chatters, *patient]
        for chatter in chatters:
            await chatter.compare(crowd.replicas[0])
        assert max(check_calls(provider, chatters).values()) <= MAX_ATTEMPTS
        found = [await outcomes(service, chatter) for chatter in patient]
        assert ["abandoned", "completed"] in found
        check_refusals(crowd, front, how, gone_at)


async def outcomes(service: Service, chatter: Chatter) -> list[str]:
    """Return how the attempts of a client's last turn ended."""
    turn_id = chatter.said[-1][2]
    _, turn = await service.call("GET", f"/sessions/{chatter.session_id}/turns/{turn_id}")
    return [attempt["outcome"] for attempt in turn["attempts"]]


def check_refusals(crowd: Crowd, front: Front, how: signal.Signals, gone_at: float) -> None:
    """See that only who was waiting for a JSON answer was refused; what came later went elsewhere.

    A request that nginx had sent on a connection that was kept open may have met its end.
    """
    assert crowd.refusals.keys() <= GOING[how]
    answered = front.answered()
    refused = [each for each in answered if each.status >= 500]
    assert len(refused) == crowd.refusals.total()
    assert {each.method for each in refused if each.status == 502} <= {"POST"}
    assert [each for each in refused if each.began_at > gone_at + AT_ONCE_SECONDS] == []
    second_tries = [each.status for each in answered if len(each.upstreams) == 2]
    assert set(second_tries) == {200}


async def test_replicas_are_replaced_one_by_one(
    settings: dict[str, str], provider: Provider
) -> None:
    """G1, G2: a rolling restart as the how-to has it; every question is answered, asked once."""
    async with AsyncExitStack() as stack:
        ports = [stack.enter_context(kept_port()) for _ in range(2)]
        running = [await start(stack, port, settings) for port in ports]
        front = await stack.enter_async_context(
            fronted(*(f"http://127.0.0.1:{port}" for port in ports))
        )
        client = await stack.enter_async_context(aiohttp.ClientSession())
        service = Service(running[0][0].process, front.address, client)
        async with chatting(service) as crowd:
            for number, port in enumerate(ports):
                await running[number][1].aclose()
                running[number] = await start(stack, port, settings)
                ready_at = time.time()
                await asyncio.sleep(FAIL_SECONDS + 1)
                later = [each for each in front.answered() if each.began_at > ready_at]
                assert (f"127.0.0.1:{port}",) in {each.upstreams for each in later}
        assert set(check_calls(provider, crowd.chatters).values()) == {1}
        assert crowd.refusals.keys() <= GOING[signal.SIGTERM]


async def start(
    stack: AsyncExitStack, port: int, settings: dict[str, str]
) -> tuple[Service, AsyncExitStack]:
    """Start a replica at a port, and return it with what stops it, at the latest with `stack`."""
    own = await stack.enter_async_context(AsyncExitStack())
    return await own.enter_async_context(serving_at(port, **settings)), own


async def test_what_is_refused(settings: dict[str, str]) -> None:
    """G14: too long a body, or nobody there: a problem as ours are; request ids go through."""
    async with (
        serving(**settings) as one,
        serving(**settings) as other,
        fronted(one.address, other.address) as front,
        labelled(replace(one, address=front.address), "by-the-client") as service,
    ):
        for size in TOO_LONG:
            problem = await refusal(service, size)
            assert (problem["status"], problem["code"]) == (413, "body_too_large")
            assert problem["retryable"] is False
        entries = sorted(await logged(front, len(TOO_LONG)), key=lambda each: each.began_at)
        assert [bool(each.upstreams) for each in entries] == list(TOO_LONG.values())
        one.process.terminate()
        other.process.terminate()
        await asyncio.gather(one.process.wait(), other.process.wait())
        for _ in range(2):
            problem = await refusal(service, 2)
            assert (problem["status"], problem["code"]) == (502, "service_unreachable")
            assert problem["retryable"] is True
        # The second of them was given to nobody: both replicas are known to have failed.
        entries = sorted(await logged(front, len(TOO_LONG) + 2), key=lambda each: each.began_at)
        assert [len(each.upstreams) for each in entries[-2:]] == [2, 1]
        assert entries[-1].upstreams == ("chatcore",)


async def test_request_ids_are_made_once(settings: dict[str, str]) -> None:
    """A request without an id gets one of nginx's own: in both logs, and in the answer."""
    async with (
        serving(**settings) as service,
        fronted(service.address, service.address) as front,
    ):
        for status in (200, 502):
            async with service.client.get(f"{front.address}/health") as answer:
                assert answer.status == status
                made = answer.headers["X-Request-ID"]
            async with asyncio.timeout(5):
                while made not in {each.request_id for each in front.answered()}:
                    await asyncio.sleep(0.05)
            if service.process.returncode is None:
                service.process.terminate()
            await service.process.wait()


async def refusal(service: Service, size: int) -> Any:
    """Post a body of a size and return the problem, which has what all of them have."""
    headers = {"Content-Type": "application/json"}
    sent = service.client.post(
        f"{service.address}/chat", data=BytesIO(b"x" * size), headers=headers
    )
    async with sent as answer:
        problem = await answer.json(content_type="application/problem+json")
        assert answer.status == problem["status"]
        assert answer.headers.getall("X-Request-ID") == [problem["request_id"]] == ["by-the-client"]
        assert answer.headers["Cache-Control"] == "no-store"
    assert problem["type"] == f"urn:chatcore:problem:{problem['code']}"
    assert {"title", "detail"} < problem.keys()
    return problem
