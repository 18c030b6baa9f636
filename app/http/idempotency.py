"""Room 4, the door: the header Idempotency-Key.

May import: standard library, app, chatcore, litestar.

Source: draft-ietf-httpapi-idempotency-key-header (read 2026-01): a structured-field string; clients
also send it bare, as Stripe's do, so both forms are one key.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter

from app.http.auth import PUBLIC_OWNER
from app.http.problems import Refused
from app.http.schemas import FieldError
from chatcore import OwnerId

HEADER = "Idempotency-Key"
PUBLIC_MIN_CHARS = 16
"""Shortest key of the shared owner: whoever knows it gets the reply."""

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        description="1 to 255 printable ASCII characters, bare or as a quoted string; at least 16 "
        "without a credential. The same key with the same question gets the same reply, however "
        "often and whenever it is sent.",
    ),
]

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPED = re.compile(r'\\(["\\])')


async def require_one_key(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Refuse a request with several keys, before reading its body: none of them is meant."""
    if len(connection.headers.getall(HEADER, [])) > 1:
        raise _wrong("is given more than once")


def read_idempotency_key(header: str | None, owner_id: OwnerId) -> str | None:
    """Return the key of a request.

    Raises:
        Refused: It is no key, or one too easy to guess for an owner that everybody shares.
    """
    if header is None:
        return None
    key = header.strip()
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        if quoted is None:
            raise _wrong("is not a quoted string")
        key = _ESCAPED.sub(r"\1", quoted[1])
    if not _KEY.fullmatch(key):
        raise _wrong("is not 1 to 255 printable ASCII characters")
    if owner_id == PUBLIC_OWNER and len(key) < PUBLIC_MIN_CHARS:
        raise _wrong(
            f"is shorter than {PUBLIC_MIN_CHARS} characters, and without a credential whoever "
            "guesses it gets the reply: send a longer one, or a visitor token"
        )
    return key


def _wrong(reason: str) -> Refused:
    return Refused("invalid_request", errors=[FieldError(field=HEADER, reason=reason)])
