"""Room 4, the door: refusals as ChatKit's frontends show them.

May import: standard library, app, chatcore, litestar, msgspec.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response

from app.doors.chatkit.telling import encode_events, error_of
from app.http.event_stream import HEADERS
from app.http.events import MEDIA_TYPE
from app.http.problems import answer_problem
from app.logs import get_logger
from chatcore import ChatError

_log = get_logger("http")


def answer_with_message(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn any exception into its problem document, with the `message` that the frontend shows."""
    answer = answer_problem(request, error)
    document = msgspec.json.decode(answer.content)
    wrong = [f"{found['field']} {found['reason']}" for found in document.get("errors") or ()]
    document["message"] = "; ".join(wrong) or document["detail"]
    answer.content = msgspec.json.encode(document)
    return answer


def end_at_once(error: Exception) -> Response[bytes]:
    """Return a stream that only says what went wrong.

    For what must not be sent again of itself although nobody knows what became of it: the frontend
    repeats a 5xx, and takes this for an answer. Nothing offers to retry: there is no item for that.
    """
    code = error.code if isinstance(error, ChatError) else "internal_error"
    _log.warning("stream_not_begun", code=code, error=error)
    said = encode_events(error_of(code, allow_retry=False))
    return Response(said, status_code=200, media_type=MEDIA_TYPE, headers=HEADERS)
