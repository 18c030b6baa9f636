"""Room 4, the door: what the OpenAPI document says about what routes have in common.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from collections.abc import Iterable

from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec

from app.http.problems import MEDIA_TYPE, PROBLEMS
from app.http.schemas import Problem

ALWAYS = ("bad_request", "unauthorized", "internal_error", "storage_unavailable")
"""Codes of every route that knows an owner."""
OF_BODIES = (
    "malformed_json",
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
    "invalid_request",
)
"""Codes of every route that reads a body."""

OF_REPLIES = (
    "session_busy",
    "turn_lost",
    "idempotency_key_reused",
    "llm_unavailable",
    "llm_incomplete",
    "llm_rejected",
    "llm_rate_limited",
    "turn_interrupted",
    "service_stopping",
    "service_overloaded",
    "llm_timeout",
)
"""Codes of every route that has the model asked."""

REPLAYED = ResponseHeader(
    name="Idempotent-Replayed",
    value="true",
    description="`true`: the key was known, and this is its first reply.",
    documentation_only=True,
)


def problems(*codes: str) -> dict[int, ResponseSpec]:
    """Return the answers of a route that can end with these codes, one a status."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=", ".join(f"`{code}`" for code in named),
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status, named in _by_status(dict.fromkeys(codes))
    }


def _by_status(codes: Iterable[str]) -> list[tuple[int, list[str]]]:
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(PROBLEMS[code].status, []).append(code)
    return sorted(found.items())
