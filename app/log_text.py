"""Room 4, the door: what a log line may look like: one line, bounded, and safe to look at.

May import: standard library, chatcore.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from chatcore import ChatError

VALUE_MAX_CHARS = 2000
_MAX_FRAMES = 12
_SECRET_MIN_CHARS = 4
_MASK = "***"
# Control characters, line and paragraph separators, and what turns the direction of writing:
# they let a value forge a line, colour a terminal, or read differently from what it says.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def safe(value: object) -> str:
    """Return a value as bounded text with every unsafe character escaped."""
    text = str(value)
    if len(text) > VALUE_MAX_CHARS:
        text = f"{text[:VALUE_MAX_CHARS]}… ({len(text)} characters)"
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def masked(value: str, secrets: Sequence[str]) -> str:
    """Return a text with every secret in it replaced, as written and as read from a URL.

    Secrets of less than four characters are let be: they would be found everywhere.
    """
    spellings = {*secrets, *map(unquote, secrets)}
    # A longer one may hold a shorter one.
    for secret in sorted(spellings, key=len, reverse=True):
        if len(secret) >= _SECRET_MIN_CHARS:
            value = value.replace(secret, _MASK)
    return value


def shown_address(address: str) -> str:
    """Return a URL without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def describe(error: BaseException) -> str:
    """Return what an exception is, and its text only where that is known to hold no content.

    A driver's or a library's exception may quote what it was given: a question, a key, a URL.
    """
    names: list[str] = []
    current: BaseException | None = error
    while current is not None and len(names) < 5:
        names.append(_describe_one(current))
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return " <- ".join(names)


def frames(trace: TracebackType | None) -> str:
    """Return where an exception came from: files, lines and functions, never values."""
    found = traceback.extract_tb(trace)[-_MAX_FRAMES:]
    return " < ".join(
        f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}"
        for frame in reversed(found)
    )


def render(event: Mapping[str, object], *, as_json: bool) -> str:
    """Return one event as one line."""
    moment = datetime.fromtimestamp(float(str(event["time"])), UTC)
    time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    level, name = str(event["level"]), safe(event["event"])
    rest = {safe(key): value for key, value in event.items() if key not in _LEADING}
    if as_json:
        plain = {key: value if _is_plain(value) else safe(value) for key, value in rest.items()}
        return dumps({"time": time, "level": level, "event": name, **plain}, ensure_ascii=False)
    shown = "".join(f" {key}={_quoted(safe(value))}" for key, value in rest.items())
    return f"{time[11:-1]} {level:<7} {name}{shown}"


_LEADING = frozenset({"time", "level", "event"})


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _quoted(text: str) -> str:
    return dumps(text, ensure_ascii=False) if " " in text or '"' in text or not text else text


def _describe_one(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, ChatError):
        return f"{name}({error})"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name}(errno {error.errno})"
    return name
