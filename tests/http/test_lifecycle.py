"""What happens when the service starts and when it is asked to stop.

May import: standard library, app, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.lifecycle import Lifecycle
from chatcore import TurnStatus
from chatcore.testing.builders import EXPIRED, an_owner, new_turn
from tests.builders import bench
from tests.http.command import (
    ENDLESS,
    KEY,
    SLOW,
    FakeModel,
    answers,
    ask,
    fake_model,
    refuses,
    serving,
)
from tests.http.door import ServedLLM, SwitchableStore

HASTY_SERVE = "import sys; from app.cli import serve; sys.exit(serve(drain_seconds=3))"


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """Give the address of a fake model."""
    with fake_model() as address:
        yield address


async def test_the_start_goes_on_with_abandoned_turns() -> None:
    """G7: what a dead process left is asked again, or ended; what may be alive is left alone."""
    built = bench(first_id=100)
    lifecycle = Lifecycle(store=SwitchableStore(), model=ServedLLM(), service=built.service)
    admit, again = built.repository.admit, built.repository.turn
    dead = (await admit(new_turn(an_owner(), lease_seconds=EXPIRED))).turn
    tried = (await admit(new_turn(an_owner(), lease_seconds=EXPIRED, max_attempts=1))).turn
    alive = (await admit(new_turn(an_owner()))).turn
    await lifecycle.open()
    await lifecycle.close()
    turn = await again(dead.owner_id, dead.session_id, dead.id)
    assert (turn.status, turn.attempt) == (TurnStatus.COMPLETED, 2)
    turn = await again(tried.owner_id, tried.session_id, tried.id)
    assert (turn.status, turn.error_code) == (TurnStatus.FAILED, "turn_interrupted")
    turn = await again(alive.owner_id, alive.session_id, alive.id)
    assert turn.status is TurnStatus.RUNNING


async def test_a_drain_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever does not answer at the end, the process leaves, and closes what it can."""
    built, store, llm = bench(), SwitchableStore(), ServedLLM()
    lifecycle = Lifecycle(
        store=store, model=llm, service=built.service, drain_seconds=0, grace_seconds=0.2
    )
    monkeypatch.setattr(built.service, "close", hang)
    await lifecycle.open()
    async with asyncio.timeout(5):
        await lifecycle.close()
    assert store.calls[-1] == "close"
    assert llm.is_closed


async def hang(**_: float) -> None:
    """Never return."""
    await asyncio.Event().wait()


@pytest.mark.postgres
def test_a_stop_lets_replies_finish(tmp_path: Path, postgres_url: str, model_url: str) -> None:
    """SIGTERM while a reply is under way: the client still gets it, then the process ends."""
    with (
        serving(
            tmp_path,
            DATABASE_URL=postgres_url,
            DATABASE_SCHEMA="cli_drained",
            OPENAI_BASE_URL=model_url,
            OPENAI_API_KEY=KEY,
        ) as (process, address),
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(ask, address, SLOW)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert waiting.result()["response"] == "fine"
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.postgres
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_ends_what_takes_too_long(
    tmp_path: Path, postgres_url: str, model_url: str, workers: str
) -> None:
    """After SIGTERM nobody is let in; who waits for what outlasts the drain gets a code."""
    with (
        serving(
            tmp_path,
            "-c",
            HASTY_SERVE,
            DATABASE_URL=postgres_url,
            DATABASE_SCHEMA="cli_interrupted",
            OPENAI_BASE_URL=model_url,
            OPENAI_API_KEY=KEY,
            WORKERS=workers,
        ) as (process, address),
        ThreadPoolExecutor(1) as pool,
    ):
        FakeModel.is_asked.clear()
        waiting = pool.submit(ask, address, ENDLESS)
        assert FakeModel.is_asked.wait(10)
        process.send_signal(signal.SIGTERM)
        assert refuses(address)
        assert not waiting.done()
        refused = waiting.exception(timeout=10)
        assert isinstance(refused, urllib.error.HTTPError)
        with refused:
            assert (refused.code, json.load(refused)["code"]) == (503, "service_stopping")
        process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.postgres
def test_workers_end_with_a_parent_that_is_killed(
    tmp_path: Path, postgres_url: str, model_url: str
) -> None:
    """Workers whose parent is killed stop too, so that the port is free for the next start."""
    with serving(
        tmp_path,
        DATABASE_URL=postgres_url,
        DATABASE_SCHEMA="cli_orphaned",
        OPENAI_BASE_URL=model_url,
        OPENAI_API_KEY=KEY,
        WORKERS="2",
    ) as (process, address):
        assert answers(address)
        process.kill()
        assert refuses(address)


@pytest.mark.postgres
def test_a_head_without_end_is_refused(tmp_path: Path, postgres_url: str, model_url: str) -> None:
    """The service itself bounds what it reads of a request before there is one."""
    with serving(
        tmp_path,
        DATABASE_URL=postgres_url,
        DATABASE_SCHEMA="cli_bounded",
        OPENAI_BASE_URL=model_url,
        OPENAI_API_KEY=KEY,
    ) as (_, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            header = b"X: " + b"x" * 1000 + b"\r\n"
            client.sendall(b"GET /health HTTP/1.1\r\nHost: t\r\n" + 68 * header)
            assert client.recv(100).startswith(b"HTTP/1.1 431 ")
