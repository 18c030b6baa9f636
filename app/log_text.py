"""Room 4, the door: what a log line may look like: one line, bounded, and safe to look at.

May import: standard library, chatcore, msgspec.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

import msgspec

from chatcore import ChatError

VALUE_MAX_CHARS = 2000
_MAX_FRAMES = 12
_SECRET_MIN_CHARS = 4
_MASK = "***"
_encode = msgspec.json.Encoder().encode
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
    if text.isascii() and text.isprintable():
        return text  # nearly all are, and asking is much cheaper than searching
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Mask:
    """Hides secrets, as written and as read from a URL.

    Args:
        secrets: Those of less than four characters are let be: they would be found everywhere.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        plain = {*secrets, *map(unquote, secrets)}
        # And as they stand in a line of JSON.
        spellings = plain | {_encode(safe(secret)).decode()[1:-1] for secret in plain}
        long_enough = [secret for secret in spellings if len(secret) >= _SECRET_MIN_CHARS]
        # A longer one may hold a shorter one.
        self._secrets = sorted(long_enough, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text with every secret in it replaced."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text


def masked(text: str, secrets: Sequence[str]) -> str:
    """Return a text with every secret in it replaced."""
    return Mask(secrets).hide(text)


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
    """Return one event as one line.

    Args:
        event: With `time`, in seconds since the epoch, `level` and `event`.
        as_json: For machines; else for people.
    """
    time = _moment(event["time"])
    level, name = str(event["level"]), safe(event["event"])
    rest = {safe(key): value for key, value in event.items() if key not in _LEADING}
    if as_json:
        plain = {key: value if _is_plain(value) else safe(value) for key, value in rest.items()}
        return _encode({"time": time, "level": level, "event": name, **plain}).decode()
    shown = "".join(f" {key}={_quoted(safe(value))}" for key, value in rest.items())
    return f"{time[11:-1]} {level:<7} {name}{shown}"


def _moment(seconds: object) -> str:
    moment = datetime.fromtimestamp(float(str(seconds)), UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


_LEADING = frozenset({"time", "level", "event"})


def _is_plain(value: object) -> bool:
    # Of no other kind, such as numbers of a library's own, which the encoder would refuse.
    return value is None or type(value) in (bool, int, float)


def _quoted(text: str) -> str:
    return _encode(text).decode() if " " in text or '"' in text or not text else text


def _describe_one(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, ChatError):
        return f"{name}({error})"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name}(errno {error.errno})"
    return name
