"""Room 3, the world: connection strings, as they are pasted, made fit for asyncpg.

May import: standard library, chatcore, asyncpg.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from chatcore import StorageUnavailable

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


def clean_dsn(url: str) -> str:
    """Return a connection string that asyncpg takes, from one as a provider prints it.

    Raises:
        ValueError: Not a PostgreSQL URL. The message never holds the password.
    """
    parts = urlsplit(url.strip())
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
    """Return where a connection string points, without user or password."""
    parts = urlsplit(url.strip())
    socket = dict(parse_qsl(parts.query)).get("host")
    place = parts.netloc.rpartition("@")[2] or socket or "localhost"
    return f"{place}/{parts.path.lstrip('/') or 'postgres'}"


async def connect(dsn: str, *, timeout_seconds: float = 10.0, **options: Any) -> Any:
    """Open one connection of its own.

    Raises:
        StorageUnavailable: Not to be had; the reason is in the text, without the password.
    """
    try:
        return await asyncpg.connect(clean_dsn(dsn), timeout=timeout_seconds, **options)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StorageUnavailable(f"{describe_dsn(dsn)}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return one line that says why a database cannot be used."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.args[0] if error.args else type(error).__name__).splitlines()[0]
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return str(error).splitlines()[0]  # about an option of the URL, never its password
    if isinstance(error, OSError):
        return error.strerror or "cannot be reached"
    return type(error).__name__
