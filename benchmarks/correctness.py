"""Beside the rooms: a system is measured only if it does the work.

May import: standard library, benchmarks.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

from benchmarks.errors import BenchmarkError
from benchmarks.rig import App, Rig
from benchmarks.systems import HISTORY_MESSAGES, Door

_TOKENS = 100
_CHARACTERS = 4 * _TOKENS
_TURNS = 8
_SESSION = re.compile(r'"session_id": ?"([0-9a-f-]{36})"')
_TOKEN = re.compile(r'^data: \{"(?:delta|text)": ?("(?:[^"\\]|\\.)*")\}', re.MULTILINE)
_WRONG = ('{"message":""}', '{"message":1}', "{", '{"message":"x","session_id":"no"}')


def check(rig: Rig, app: App) -> None:
    """Hold one conversation, every second turn streamed, and look at what became of it.

    Raises:
        BenchmarkError: The provider did not see the window, a row is missing, a stream is not
            whole, or a wrong request was taken.
    """
    rig.configure_provider(f"latency=0&token=0&tokens={_TOKENS}&burst=10")
    session_id = None
    for turn in range(_TURNS):
        door = app.system.streamed if turn % 2 else app.system.whole
        text = _post(app, door, door.body(session_id))
        found = _SESSION.search(text)
        _require(app, found is not None, f"an answer without its session: {text[:300]}")
        session_id = session_id or (found[1] if found else "")
        seen = rig.configure_provider("")["last_messages"]
        expected = 2 + min(2 * turn, HISTORY_MESSAGES)
        _require(app, seen == expected, f"{seen} messages went to the model, not {expected}")
        if door.token:
            _require(app, _length(text) == _CHARACTERS, f"a stream of {_length(text)} characters")
            _require(app, door.end in text, "a stream without its end")
    _require_rows(rig, app, session_id or "")
    for body in _WRONG:
        _require_refusal(app, body)


def _length(stream: str) -> int:
    """Return how many characters the tokens of a stream have."""
    return sum(len(json.loads(text)) for text in _TOKEN.findall(stream))


def _require_rows(rig: Rig, app: App, session_id: str) -> None:
    row = rig.postgres.execute(
        app.database,
        "SELECT count(*) FILTER (WHERE role = 'user'), count(*) FILTER (WHERE role = 'assistant' "
        f"AND length(content) = {_CHARACTERS}) FROM {app.system.messages} "
        f"WHERE session_id = '{session_id}'",
    )[0]
    _require(app, tuple(row) == (_TURNS, _TURNS), f"{tuple(row)} questions and replies are stored")


def _require_refusal(app: App, body: str) -> None:
    try:
        _post(app, app.system.whole, body)
    except BenchmarkError as error:
        _require(app, bool(re.search("answers (400|404|422)", str(error))), str(error))
    else:
        _require(app, False, f"it took {body}")


def _post(app: App, door: Door, body: str) -> str:
    request = urllib.request.Request(
        app.url + door.path, body.encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:300]
        raise BenchmarkError(f"{app.system.name} answers {error.code} to {body}: {said}") from None


def _require(app: App, is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise BenchmarkError(f"{app.system.name} does not do the work: {otherwise}")
