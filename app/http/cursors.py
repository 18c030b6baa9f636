"""Room 4, the door: opaque places in lists.

May import: standard library, app, chatcore.

A cursor is a few bytes in base64url. It is not signed: it says where to go on in a list that its
owner may read anyway, and nothing else.
"""

from __future__ import annotations

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.http.problems import Refused
from app.http.schemas import FieldError
from chatcore import SessionCursor, SessionId

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SESSION = struct.Struct(">cq16s")
_POSITION = struct.Struct(">cq")
_MAX_POSITION = 2**31 - 1
_MAX_TEXT_CHARS = 64


def encode_session_cursor(cursor: SessionCursor) -> str:
    """Return the text of a place in a list of sessions."""
    microseconds = (cursor.updated_at - _EPOCH) // timedelta(microseconds=1)
    return _encode(_SESSION.pack(b"s", microseconds, cursor.session_id.bytes))


def decode_session_cursor(text: str | None, *, field: str) -> SessionCursor | None:
    """Return the place; None stays None.

    Raises:
        Refused: It is no cursor of such a list.
    """
    if text is None:
        return None
    kind, microseconds, session_id = _decode(text, _SESSION, field)
    try:
        updated_at = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise _wrong(field) from None
    if kind != b"s":
        raise _wrong(field)
    return SessionCursor(updated_at=updated_at, session_id=SessionId(UUID(bytes=session_id)))


def encode_position(position: int) -> str:
    """Return the text of a message's place in its session."""
    return _encode(_POSITION.pack(b"m", position))


def decode_position(text: str | None, *, field: str) -> int | None:
    """Return the position; None stays None.

    Raises:
        Refused: It is no cursor of such a list.
    """
    if text is None:
        return None
    kind, position = _decode(text, _POSITION, field)
    if kind != b"m" or not 1 <= position <= _MAX_POSITION:
        raise _wrong(field)
    return int(position)


def _encode(value: bytes) -> str:
    return urlsafe_b64encode(value).decode("ascii").rstrip("=")


def _decode(text: str, form: struct.Struct, field: str) -> tuple[Any, ...]:
    if len(text) > _MAX_TEXT_CHARS or not text.isascii():
        raise _wrong(field)
    try:
        value = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise _wrong(field) from None
    # The decoder skips what is no base64 at all; only what we would write ourselves counts.
    if len(value) != form.size or _encode(value) != text:
        raise _wrong(field)
    return form.unpack(value)


def _wrong(field: str) -> Refused:
    reason = "is not a cursor that this list gave out"
    return Refused("invalid_request", errors=[FieldError(field=field, reason=reason)])
