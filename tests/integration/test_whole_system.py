"""The whole service as it is run: its own process, a real PostgreSQL, a provider over real HTTP.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests import provider as say
from tests.http.sockets import read_answer
from tests.integration.served import Service, serving, settings_for
from tests.provider import Provider, Reply, Request

pytestmark = pytest.mark.postgres

CHATS = 40
SLEEP_SECONDS = 1.0
VISITOR = {"Authorization": "Bearer visitor-" + "w" * 40}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Give a provider that answers at once."""
    async with Provider() as opened:
        opened.default(lambda request: say.answer_as_asked(request, "An answer."))
        yield opened


@pytest.fixture
async def service(
    postgres_url: str, empty_schema: str, provider: Provider
) -> AsyncIterator[Service]:
    """Give a running service with a pool of two and a short limit for silence."""
    async with serving(
        DATABASE_URL=postgres_url,
        DATABASE_SCHEMA=empty_schema,
        DATABASE_POOL_SIZE="2",
        OPENAI_BASE_URL=provider.base_url,
        OPENAI_MODEL="test-model",
        LLM_TIMEOUT_SECONDS="2",
        LLM_MAX_ATTEMPTS="1",
    ) as running:
        yield running


async def test_many_chats_on_a_small_pool(service: Service, provider: Provider) -> None:
    """G10: chats at once on a pool of two take as long as the model: none holds a connection."""
    provider.default(
        lambda request: say.answer_as_asked(request, "Slow.", delay_seconds=SLEEP_SECONDS)
    )
    started = time.monotonic()
    answers = await asyncio.gather(*[service.ask(f"question {n}") for n in range(CHATS)])
    seconds = time.monotonic() - started
    assert Counter(status for status, _ in answers) == {200: CHATS}
    assert len({body["session_id"] for _, body in answers}) == CHATS
    # On a pool of two, held while the model thinks, it would be twenty times the model's second.
    assert seconds < SLEEP_SECONDS + 3


async def test_two_sends_into_one_session(service: Service, provider: Provider) -> None:
    """G3: of two concurrent sends into one session one is answered and one is told it is busy."""
    provider.default(lambda request: say.answer_as_asked(request, "Slow.", delay_seconds=0.5))
    _, first = await service.ask("begin")
    both = [service.ask(text, session_id=first["session_id"]) for text in "ab"]
    (status, _), (other, busy) = sorted(await asyncio.gather(*both), key=lambda got: got[0])
    assert (status, other, busy["code"]) == (200, 409, "session_busy")
    path = f"/sessions/{first['session_id']}/turns/{busy['turn_id']}"
    assert (await service.call("GET", path))[1]["status"] == "completed"


FAILURES: dict[str, tuple[Reply | Callable[[Request], Reply], int, str]] = {
    "401": (say.error(401), 502, "llm_rejected"),
    "404": (say.error(404), 502, "llm_rejected"),
    "429": (say.error(429, headers={"Retry-After": "7"}), 503, "llm_rate_limited"),
    "500": (say.error(500), 502, "llm_unavailable"),
    "slow": (say.whole("late", delay_seconds=8), 504, "llm_timeout"),
    "silent": (say.hang(), 504, "llm_timeout"),
    "cut": (say.cut(), 502, "llm_unavailable"),
    "garbled": (say.garbled(), 502, "llm_unavailable"),
    "not JSON": (say.raw(b"<html>busy</html>", status=200), 502, "llm_incomplete"),
    "no reason": (say.whole("half", finish_reason=None), 502, "llm_incomplete"),
    "empty": (say.whole(""), 502, "llm_incomplete"),
    "filtered": (say.whole("x", finish_reason="content_filter"), 502, "llm_rejected"),
}


async def test_failing_provider(service: Service, provider: Provider) -> None:
    """Every failure has its status and code; the question stays; the next prompt is free of it."""
    _, first = await service.ask("one")
    session = first["session_id"]
    expected = ["one", "An answer."]
    for name, (reply, status, code) in FAILURES.items():
        provider.script(reply)
        got, problem = await service.ask(f"lost: {name}", session_id=session)
        assert (name, got, problem["code"]) == (name, status, code)
        assert problem["session_id"] == session
        _, turn = await service.call("GET", f"/sessions/{session}/turns/{problem['turn_id']}")
        assert (turn["status"], turn["error_code"]) == ("failed", code)
        expected.append(f"lost: {name}")
    status, _ = await service.ask("two", session_id=session)
    assert status == 200
    prompt = [message["content"] for message in provider.requests[-1].json["messages"]]
    assert prompt[1:] == ["one", "An answer.", "two"]
    _, page = await service.call("GET", f"/sessions/{session}/messages?limit=100")
    said = [message["content"] for message in page["items"]]
    assert said == [*expected, "two", "An answer."]
    assert [message["position"] for message in page["items"]] == list(range(1, len(said) + 1))


async def test_provider_that_is_not_there(postgres_url: str, empty_schema: str) -> None:
    """A provider nobody listens at is 502 llm_unavailable, after the allowed attempts."""
    async with serving(
        DATABASE_URL=postgres_url,
        DATABASE_SCHEMA=empty_schema,
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
    ) as service:
        status, problem = await service.ask("hello")
        assert (status, problem["code"]) == (502, "llm_unavailable")
        path = f"/sessions/{problem['session_id']}/turns/{problem['turn_id']}"
        _, turn = await service.call("GET", path)
        assert [attempt["outcome"] for attempt in turn["attempts"]] == ["failed", "failed"]


async def test_restart_finds_everything(
    postgres_url: str, empty_schema: str, provider: Provider
) -> None:
    """G1: after a restart a conversation is there, passage and order, and goes on."""
    settings = {
        "DATABASE_URL": postgres_url,
        "DATABASE_SCHEMA": empty_schema,
        "OPENAI_BASE_URL": provider.base_url,
    }
    async with serving(**settings) as service:
        _, first = await service.ask("one")
        session = first["session_id"]
        quote = {"text": "A servo.", "title": "Motors"}
        await service.ask("two", session_id=session, selected_text=quote)
    sent = provider.requests[-1].json["messages"]
    assert "A servo." in sent[-1]["content"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    async with serving(**settings) as service:
        _, page = await service.call("GET", f"/sessions/{session}/messages")
        assert [message["content"] for message in page["items"]] == [
            "one",
            "An answer.",
            "two",
            "An answer.",
        ]
        assert page["items"][2]["selected_text"]["text"] == "A servo."
        status, _ = await service.ask("three", session_id=session)
        assert status == 200
    assert len(provider.requests[-1].json["messages"]) == 6


async def test_reader_who_leaves_loses_nothing(service: Service, provider: Provider) -> None:
    """G5: the reply to a reader who hung up is stored all the same."""
    provider.default(lambda request: say.answer_as_asked(request, "Kept.", delay_seconds=0.5))
    leaving = asyncio.create_task(service.call("POST", "/chat", {"message": "bye"}, **VISITOR))
    async with asyncio.timeout(10):
        while not any(request.method == "POST" for request in provider.requests):
            await asyncio.sleep(0.01)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    for _ in range(100):
        await asyncio.sleep(0.1)
        _, sessions = await service.call("GET", "/sessions", **VISITOR)
        path = f"/sessions/{sessions['items'][0]['session_id']}/messages"
        _, page = await service.call("GET", path, **VISITOR)
        if len(page["items"]) == 2:
            break
    assert [message["content"] for message in page["items"]] == ["bye", "Kept."]


async def test_one_key_in_two_processes(
    service: Service, postgres_url: str, empty_schema: str, provider: Provider
) -> None:
    """G2: one key, forty posts at once over two processes: one turn, one call, equal replies."""
    provider.default(lambda request: say.answer_as_asked(request, "Once.", delay_seconds=0.3))
    async with serving(
        DATABASE_URL=postgres_url, DATABASE_SCHEMA=empty_schema, OPENAI_BASE_URL=provider.base_url
    ) as other:
        provider.requests.clear()
        posts = [
            place.call("POST", "/chat", {"message": "hi"}, **VISITOR, **{"Idempotency-Key": "k-1"})
            for place in (service, other)
            for _ in range(20)
        ]
        answers = await asyncio.gather(*posts)
    assert {status for status, _ in answers} == {200}
    assert len({str(body) for _, body in answers}) == 1
    assert len(provider.requests) == 1


async def test_slow_workers_are_waited_for(
    postgres_url: str, empty_schema: str, provider: Provider, tmp_path: Path
) -> None:
    """On a machine where a process takes long to load, the service with several still comes up.

    And one that dies while another loads is replaced at once.
    """
    slow = 'import sys, time; "--multiprocessing-fork" in sys.orig_argv and time.sleep(11)'
    (tmp_path / "sitecustomize.py").write_text(slow)
    settings = settings_for(postgres_url, empty_schema, provider)
    async with serving(WORKERS="2", PYTHONPATH=str(tmp_path), **settings) as service:
        assert (await service.ask("Hello"))[0] == 200
        for _ in range(2):
            before = _workers(service)
            os.kill(min(before), signal.SIGKILL)
            async with asyncio.timeout(9):  # one that loads needs more
                while len(_workers(service) - before) < 1 or len(_workers(service)) < 2:
                    await asyncio.sleep(0.1)


async def test_an_idle_connection_lasts_longer_than_a_proxy_keeps_it(service: Service) -> None:
    """A proxy as we configure it lets go after five seconds: it must not meet us doing so."""
    port = int(service.address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for idle_seconds in (7.0, 0.0):
        writer.write(b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
        await asyncio.sleep(idle_seconds)
    answered_at = time.monotonic()
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    assert time.monotonic() - answered_at > 8
    writer.close()


def _workers(service: Service) -> set[int]:
    pid = service.process.pid
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    children = {int(child) for child in text.split()}
    names = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return {child for child, name in names.items() if b"--multiprocessing-fork" in name}
