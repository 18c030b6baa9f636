"""Room 4, the door: the id of the request that is being answered.

May import: standard library.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from uuid import uuid4

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request this task works for, or began with; empty outside of any."""

_SANE = re.compile(rb"[\x21-\x7e]{1,128}")


def request_id_from(given: bytes | None) -> str:
    """Return the caller's id if it is 1 to 128 visible ASCII characters, else a new one."""
    if given is not None and _SANE.fullmatch(given):
        return given.decode("ascii")
    return uuid4().hex
