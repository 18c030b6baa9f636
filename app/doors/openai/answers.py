"""Room 4, the door: objects as answers, and what the routes of this door have in common.

May import: standard library, litestar, msgspec.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response
from litestar.params import QueryParameter

MEDIA_TYPE = "application/json"

_encode = msgspec.json.Encoder().encode

Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=100)]
Order = Annotated[str, QueryParameter(name="order", pattern="^(asc|desc)$")]
After = Annotated[str | None, QueryParameter(name="after")]


def show(shown: msgspec.Struct, *, repeated: bool = False) -> Response[bytes]:
    """Return an object as an answer."""
    headers = {"Idempotent-Replayed": "true"} if repeated else {}
    return Response(_encode(shown), media_type=MEDIA_TYPE, headers=headers, status_code=200)
