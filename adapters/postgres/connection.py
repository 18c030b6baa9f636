"""Room 3, the world: connection strings, as they are pasted, made fit for asyncpg.

May import: standard library, chatcore, asyncpg.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from chatcore import StorageUnavailable

CONNECT_SECONDS = 5.0
"""Longest wait for one try to connect."""

# asyncpg answers a connection that dies between two messages with an InternalClientError
# ("another operation is in progress"); it is as good as closed.
TROUBLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""Everything that asyncpg raises when a database cannot be used."""

_T = TypeVar("_T")
_PATIENCE_SECONDS = 8.0
_PAUSE_SECONDS = 0.25
_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg")
# Options of libpq that asyncpg would send to the server as settings, which refuses them.
# channel_binding is negotiated by the driver; Neon prints it in every string.
_LIBPQ_ONLY = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "pgbouncer",
    }
)
# PostgreSQL's words for SQLSTATE 42501 name an object, never a value. Words of another form may
# come from a trigger, which can say anything.
_DENIED = re.compile(
    r"(?:permission denied for|must be owner of) (?P<kind>database|schema|table|sequence|function) "
    r"\"?[^\s\"]{1,63}\"?"
)
_RIGHTS = {
    "database": "CONNECT on it, and CREATE to migrate",
    "schema": "USAGE on it, and CREATE to migrate",
    "table": "SELECT, INSERT, UPDATE and DELETE on it, and to own it to migrate",
}
_BY_SQLSTATE = {
    "28000": "the server does not let this user in (SQLSTATE 28000)",
    "28P01": "the server refuses the user or the password (SQLSTATE 28P01)",
    "3D000": "the database does not exist (SQLSTATE 3D000)",
    "3F000": "there is no such schema, or the database's user needs USAGE and CREATE on it "
    "(SQLSTATE 3F000)",
    "53300": "the server has no connection left for this user: lower DATABASE_POOL_SIZE, or run "
    "fewer processes (SQLSTATE 53300)",
}


def clean_dsn(url: str) -> str:
    """Return a connection string that asyncpg takes, from one as a provider prints it.

    Raises:
        ValueError: Not a PostgreSQL URL. The message never holds the password.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # whose text quotes user and password
        raise ValueError("is not a PostgreSQL URL: something in it must be escaped") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("is not a PostgreSQL URL: it must begin with postgresql://")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number") from None
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, value) for name, value in pairs if name not in _LIBPQ_ONLY])
    return urlunsplit(("postgresql", parts.netloc, parts.path, query, ""))


def describe_dsn(url: str) -> str:
    """Return where a connection string points, without user or password.

    Nothing left of the last `@` is shown, also where the password holds characters that ought to
    have been escaped.
    """
    address, _, query = url.strip().partition("://")[2].replace("#", "?", 1).partition("?")
    if "@" in query:
        return "a database whose URL has an unescaped ?, # or @"
    place, _, name = address.rpartition("@")[2].partition("/")
    socket = dict(parse_qsl(query)).get("host")
    return f"{place or socket or 'localhost'}/{name or 'postgres'}"


async def connect(dsn: str, **options: Any) -> Any:
    """Open one connection of its own; a database that is waking up is given its time.

    Raises:
        StorageUnavailable: Not to be had; the reason is in the text, without the password.
    """
    address = clean_dsn(dsn)

    async def once() -> Any:
        return await asyncpg.connect(address, timeout=CONNECT_SECONDS, **options)

    return await with_patience(once, dsn)


async def with_patience(connecting: Callable[[], Awaitable[_T]], dsn: str) -> _T:
    """Connect, and try again for some seconds while the server is waking up or starting.

    Args:
        connecting: Connects once.
        dsn: Where to, for the error.

    Raises:
        StorageUnavailable: Not to be had; the reason is in the text, without the password.
    """
    now = asyncio.get_running_loop().time
    give_up_at = now() + _PATIENCE_SECONDS
    while True:
        left = give_up_at - now()
        try:
            async with asyncio.timeout(min(left, CONNECT_SECONDS)):
                return await connecting()
        except TROUBLE as error:
            if not _is_waking_up(error) or give_up_at - now() <= 2 * _PAUSE_SECONDS:
                raise StorageUnavailable(f"{describe_dsn(dsn)}: {reason(error)}") from error
        await asyncio.sleep(_PAUSE_SECONDS)


def reason(error: BaseException) -> str:
    """Return one line that says why a connection is not to be had."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError | asyncpg.TooManyConnectionsError):
        return known_reason(error) or _first_line(error)
    if isinstance(error, asyncpg.PostgresError):
        return _first_line(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return str(error).splitlines()[0]  # about an option of the URL, never its password
    if isinstance(error, OSError):
        return error.strerror or "cannot be reached"
    return type(error).__name__


def safe_reason(error: BaseException) -> str:
    """Return what went wrong with a statement, in words that cannot quote what was to be stored."""
    if known := known_reason(error):
        return known
    if isinstance(error, TimeoutError):
        return "no answer in time"
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else type(error).__name__


def known_reason(error: BaseException) -> str | None:
    """Return a line for what an operator can put right; None for everything else."""
    state = getattr(error, "sqlstate", None)
    if state == asyncpg.InsufficientPrivilegeError.sqlstate:
        return _missing_right(_first_line(error))
    return _BY_SQLSTATE.get(state) if isinstance(state, str) else None


def _missing_right(told: str) -> str:
    """Make one line of the server's, which names the object but not the right."""
    found = _DENIED.fullmatch(told)
    if found is None:
        return "the database's user lacks a right (SQLSTATE 42501)"
    right = _RIGHTS.get(found["kind"] or "", "more rights on it")
    return f"{told}: the database's user needs {right}"


def _is_waking_up(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(("08003", "08006", "57P"))
    return isinstance(error, TimeoutError | ConnectionResetError | ConnectionAbortedError)


def _first_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else ""
    return text.splitlines()[0] if text else type(error).__name__
