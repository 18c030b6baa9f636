"""What docs/how-to/nginx.conf sets fits what the service does.

May import: standard library, app, msgspec, pytest, tests.architecture.
"""

from __future__ import annotations

import re

import msgspec
import pytest

from app.http.event_stream import KEEP_ALIVE_SECONDS
from app.http.events import MEDIA_TYPE
from app.http.problems import PROBLEMS, TYPE_PREFIX
from app.http.protocol import HEAD_SECONDS
from app.http.request_context import request_id_from
from app.http.schemas import Problem
from app.settings import Settings
from tests.architecture.source_tree import ROOT

TEXT = (ROOT / "docs" / "how-to" / "nginx.conf").read_text("utf-8")
DIRECTIVES = re.findall(r"^ *([a-z_]+) +([^#;]+);", TEXT, re.MULTILINE)
UNITS = {"": 1, "s": 1, "k": 2**10, "m": 2**20}


def amount(name: str) -> int:
    """Return the value of a directive that is there once, in seconds or bytes."""
    (value,) = [value for found, value in DIRECTIVES if found == name]
    number = re.fullmatch(r"(\d+)([skm]?)", value)
    assert number, value
    return int(number[1]) * UNITS[number[2]]


def test_times() -> None:
    """It waits longer for an answer than a turn takes, and leaves idle connections first."""
    assert amount("proxy_read_timeout") > Settings().turn_deadline_seconds > KEEP_ALIVE_SECONDS
    assert amount("keepalive_timeout") < HEAD_SECONDS


def test_sizes() -> None:
    """A body that may be sent stays in memory; one that is too long is ours to refuse."""
    assert amount("client_max_body_size") > 2 * Settings().body_max_bytes
    assert amount("client_body_buffer_size") >= Settings().body_max_bytes
    assert amount("proxy_max_temp_file_size") == 0


def test_no_question_is_asked_twice() -> None:
    """G2: what may have been carried out is not sent again."""
    assert [value for name, value in DIRECTIVES if name == "proxy_next_upstream"] == [
        "error timeout"
    ]


def test_streams_are_left_alone() -> None:
    """G6: nothing of ours about streams is ignored, and they are not compressed."""
    assert not [value for name, value in DIRECTIVES if name == "proxy_ignore_headers"]
    assert not [value for name, value in DIRECTIVES if name == "gzip_types" and MEDIA_TYPE in value]


@pytest.mark.parametrize("code", ["body_too_large", "service_unreachable"])
def test_its_own_answers_are_problems(code: str) -> None:
    """What nginx says by itself has the shape of our problems, and the words where we have any."""
    (text,) = re.findall(rf"return \d+ '(\{{.*{code}.*\}})';", TEXT)
    problem = msgspec.json.decode(text, type=Problem)
    assert set(msgspec.json.decode(text)) == set(msgspec.structs.asdict(problem)) - {
        "turn_id",
        "session_id",
        "errors",
    }
    assert (problem.type, problem.code) == (TYPE_PREFIX + code, code)
    assert problem.request_id == "$chat_request_id"
    assert f"return {problem.status} '{text}';" in TEXT
    if row := PROBLEMS.get(code):
        told = (problem.status, problem.title, problem.detail, problem.retryable)
        assert told == row[:4]


def test_request_ids() -> None:
    """It passes on the ids that the service takes, but for those that would end a JSON string."""
    (pattern,) = re.findall(r"\"~(\^.*\$)\" +\$http_x_request_id;", TEXT)
    for character in map(chr, range(256)):
        given = character.encode("latin-1")
        is_taken = request_id_from(given) == character and character not in '"\\'
        assert bool(re.search(pattern, character)) == is_taken
    assert re.search(pattern, "x" * 128)
    assert not re.search(pattern, "x" * 129)
