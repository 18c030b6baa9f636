"""Room 4, the door: how the text of a setting becomes a value, or a clear complaint.

May import: standard library.

Every parser takes text that is not empty and returns a value, or raises ValueError with what is
wrong and what is accepted. No message repeats the text: it may hold a secret.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MASK = "***"


class Secret:
    """Text that does not show itself: not in repr, str, logs or tracebacks."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"Secret({_MASK!r})"

    def __str__(self) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def reveal(self) -> str:
        """Return the text. For the one place that needs it."""
        return self._value


class DatabaseUrl(Secret):
    """A PostgreSQL URL; what it shows is scheme, host and database, never the credentials."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"

    def __str__(self) -> str:
        parts = urlsplit(self._value)
        # A socket's folder stands in the query.
        place = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "")
        login = f"{_MASK}@" if "@" in parts.netloc else ""
        return f"postgresql://{login}{place}{parts.path}"

    @property
    def password(self) -> str | None:
        """The password as written in the URL, if there is one."""
        return urlsplit(self._value).password


def text(value: str) -> str:
    """Accept any text."""
    return value


def secret(value: str) -> Secret:
    """Accept any printable text without spaces, and hide it."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("has characters that no key has; accepted: visible ASCII characters")
    return Secret(value)


def path(value: str) -> Path:
    """Accept the path of a file or folder; `~` is the home folder."""
    if "\x00" in value:
        raise ValueError("contains a NUL character; accepted: a path")
    return Path(value).expanduser()


def integer(low: int, high: int) -> Callable[[str], int]:
    """Accept a whole number from low to high."""
    accepted = f"accepted: a whole number from {low} to {high}"

    def parse(value: str) -> int:
        if not _INTEGER.fullmatch(value):
            raise ValueError(f"is not a whole number; {accepted}")
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"is out of range; {accepted}")
        return number

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Accept a number of seconds from low to high."""
    accepted = f"accepted: a number of seconds from {low:g} to {high:g}"

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f"is not a number; {accepted}") from None
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError(f"is out of range; {accepted}")
        return number

    return parse


def choice(*names: str) -> Callable[[str], str]:
    """Accept one of the names, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in names:
            raise ValueError(f"is not known; accepted: {', '.join(names)}")
        return value.lower()

    return parse


def auth_mode(value: str) -> str:
    """Accept the ways to tell who is asking that exist so far."""
    if value.lower() in {"api-key", "jwt"}:
        raise ValueError("this mode is not available yet; accepted: anonymous")
    return choice("anonymous")(value)


def schema_name(value: str) -> str:
    """Accept a PostgreSQL schema name that needs no quotes."""
    if not _NAME.fullmatch(value) or value.startswith("pg_"):
        raise ValueError(
            "is not a usable schema name; accepted: 1 to 63 of a-z, 0-9 and _, "
            "not beginning with a digit or pg_"
        )
    return value


def database_url(value: str) -> DatabaseUrl:
    """Accept a PostgreSQL URL."""
    accepted = "accepted: postgresql://user:password@host:port/database"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(f"is malformed; {accepted}") from None
    if parts.scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError(f"does not begin with postgresql://; {accepted}")
    if any(character.isspace() for character in value):
        raise ValueError(f"contains white space; {accepted}")
    if "@" in parts.path + parts.fragment:
        raise ValueError(
            f"has an @ behind a / or #; in a password these are %2F and %23; {accepted}"
        )
    if not parts.path.strip("/"):
        raise ValueError(f"names no database; {accepted}")
    hosts = parts.netloc.rpartition("@")[2]
    port = dict(parse_qsl(parts.query)).get("port", "0")
    if (hosts and not all(hosts.split(","))) or not port.isdecimal():
        raise ValueError(f"has an empty host or a port that is no number; {accepted}")
    return DatabaseUrl(value)


def http_url(value: str) -> str:
    """Accept an http or https URL without credentials."""
    accepted = "accepted: an address such as http://127.0.0.1:8080/v1"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(f"is malformed; {accepted}") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"is not an http or https address; {accepted}")
    if parts.username or parts.password or parts.fragment:
        raise ValueError(f"has credentials or a fragment; {accepted}")
    return value


def several(names: tuple[str, ...], *, none: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of some of these names, or a word that means none of them."""
    accepted = f"accepted: {', '.join(names)}, separated by commas, or {none}"

    def parse(value: str) -> tuple[str, ...]:
        found = dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip())
        if list(found) == [none]:
            return ()
        if not found or not set(found) <= set(names):
            raise ValueError(f"names something else; {accepted}")
        return tuple(found)

    return parse


def origins(value: str) -> tuple[str, ...]:
    """Accept exact web origins, separated by commas."""
    found = [_origin(part.strip()) for part in value.split(",") if part.strip()]
    if not found:
        raise ValueError("names no origin; accepted: such as https://book.example")
    return tuple(dict.fromkeys(found))


def _origin(value: str) -> str:
    accepted = "accepted: exact origins such as https://book.example, separated by commas"
    if "*" in value:
        raise ValueError(f"has a wildcard; {accepted}")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"has a malformed origin; {accepted}") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not value.isascii():
        raise ValueError(f"has something that is not an http or https origin; {accepted}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"has an origin with more than scheme, host and port; {accepted}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # A browser leaves the default port out, and what it sends is compared as a whole.
    shown = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{shown}"
