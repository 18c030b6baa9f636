"""What a log line may look like.

May import: standard library, app, chatcore, hypothesis, pytest.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log_text import VALUE_MAX_CHARS, describe, render, safe
from app.logs import Logs, configure_logs, get_logger
from app.turn_log import StructlogTurnObserver
from chatcore import OwnerId, SessionId, StorageUnavailable, TurnId, TurnRef

EVENT = {"time": 0.0, "level": "info", "event": "e"}
FORGERIES = [
    'x\n{"level": "error", "event": "forged"}',
    "x\r\nforged",
    "\x1b[2J\x1b[31mred",
    "a\u2028b\u2029c",
    "\u202edesrever",
    "\u2066isolated\u2069",
    "zero\u200bwidth\ufeff",
    "nul\x00, bell\x07, del\x7f, next line\x85",
    "lone \ud800",
]


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Configure logs into a string and give a way to read it."""
    stream = io.StringIO()
    logs = configure_logs(level="info", log_format="json", secrets=["s3cret-key"], stream=stream)

    def read() -> str:
        logs.flush()
        return stream.getvalue()

    yield read
    logs.close()


@pytest.mark.parametrize("text", FORGERIES)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_value_cannot_forge_a_line(text: str, as_json: bool) -> None:
    """S16: one event is one line of visible characters, whatever the value."""
    line = render(EVENT | {"value": text, "event": text}, as_json=as_json)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    if as_json:
        assert json.loads(line)["value"] == safe(text)


@given(st.text(), st.booleans())
def test_every_line_is_one_line(text: str, as_json: bool) -> None:
    """No text whatever breaks the line or the JSON."""
    line = render(EVENT | {"value": text}, as_json=as_json)
    assert len(line.splitlines()) == 1
    line.encode()
    if as_json:
        assert json.loads(line)["event"] == "e"


def test_a_long_value_is_cut() -> None:
    """A line has a bounded length, and says how long the value was."""
    shown = safe("x" * 1_000_000)
    assert len(shown) < VALUE_MAX_CHARS + 50
    assert "1000000 characters" in shown


def test_exceptions_keep_their_text_to_themselves() -> None:
    """Of a foreign exception only the kind is told; of ours the text too, with the cause's kind."""
    error = StorageUnavailable("no answer")
    error.__cause__ = ValueError("canary: what somebody said")
    assert describe(error) == "StorageUnavailable(no answer) <- ValueError"


def test_the_libraries_logs_come_the_same_way(logged: Callable[[], str]) -> None:
    """Uvicorn's and asyncio's records are lines of the same stream, first line of them only."""
    logging.getLogger("uvicorn.error").info("started %s", "here")
    logging.getLogger("asyncio").error("Task exception\nfuture: <Task exception=Error('canary')>")
    try:
        raise RuntimeError("canary")
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("it broke")
    lines = [json.loads(line) for line in logged().splitlines()]
    assert [(line["event"], line["part"]) for line in lines] == [
        ("started here", "uvicorn.error"),
        ("Task exception", "asyncio"),
        ("it broke", "uvicorn.error"),
    ]
    assert lines[2]["error"] == "RuntimeError"
    assert "test_logs.py:" in lines[2]["at"]
    assert "canary" not in logged()


def test_chatty_libraries_are_kept_quiet(logged: Callable[[], str]) -> None:
    """Below warnings only our own and uvicorn's loggers speak."""
    for name in ("openai", "httpx2", "sqlalchemy.engine", "aiohttp", "asyncio"):
        logging.getLogger(name).info("request body: canary")
        logging.getLogger(name).debug("request body: canary")
    assert logged() == ""


def test_a_secret_never_gets_through(logged: Callable[[], str]) -> None:
    """Wherever the key would appear, it is masked."""
    get_logger("x").warning("with s3cret-key", detail="key: s3cret-key!")
    logging.getLogger("aiohttp").error("unauthorized: s3cret-key")
    assert "s3cret-key" not in logged()
    assert logged().count("***") == 3


def test_levels_are_kept(logged: Callable[[], str]) -> None:
    """Below LOG_LEVEL nothing is written."""
    get_logger("x").debug("quiet")
    get_logger("x").info("heard")
    assert [json.loads(line)["event"] for line in logged().splitlines()] == ["heard"]


def test_a_console_line_is_for_people() -> None:
    """The console format has time, level, event and quoted values."""
    line = render(EVENT | {"a": "two words", "b": 1, "c": ""}, as_json=False)
    assert line == '00:00:00.000 info    e a="two words" b=1 c=""'


class BrokenSink(io.StringIO):
    """A sink that is gone."""

    def write(self, _: str) -> int:
        """Fail."""
        raise BrokenPipeError


def test_a_broken_sink_breaks_nothing() -> None:
    """A closed pipe costs the lines, not the service."""
    logs = Logs(BrokenSink(), as_json=True)
    logs.put(dict(EVENT))
    logs.flush()
    logs.close()


def test_a_slow_sink_drops_the_oldest_and_says_so() -> None:
    """What cannot be written in time is counted, and putting stays cheap."""

    class SlowSink(io.StringIO):
        def write(self, text: str) -> int:
            time.sleep(0.2)
            return super().write(text)

    sink = SlowSink()
    logs = Logs(sink, as_json=True)
    logs.put(dict(EVENT))
    began = time.monotonic()
    for _ in range(25_000):
        logs.put(dict(EVENT))
    assert time.monotonic() - began < 5
    logs.close()
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    dropped = sum(line["count"] for line in lines if line["event"] == "logs_dropped")
    assert dropped > 0
    assert dropped + sum(line["event"] == "e" for line in lines) == 25_001


def test_what_becomes_of_turns_is_told_by_ids(logged: Callable[[], str]) -> None:
    """Handing over, taking over and giving up are events with ids and nothing else."""
    observer = StructlogTurnObserver()
    turn = TurnRef(
        owner_id=OwnerId("anna"),
        session_id=SessionId(UUID(int=1)),
        turn_id=TurnId(UUID(int=2)),
        number=3,
        attempt=2,
    )
    observer.turn_handed_over(turn)
    observer.turn_taken_over(turn)
    observer.turn_given_up(turn, "turn_interrupted")
    lines = [json.loads(line) for line in logged().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "turn_handed_over"),
        ("info", "turn_taken_over"),
        ("warning", "turn_given_up"),
    ]
    ids = {"session_id": str(UUID(int=1)), "turn_id": str(UUID(int=2)), "attempt": 2}
    assert all(ids.items() <= line.items() for line in lines)
    assert lines[2]["code"] == "turn_interrupted"
    assert "anna" not in logged()
