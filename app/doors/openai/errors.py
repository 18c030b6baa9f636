"""Room 4, the door: what goes wrong, in the words and the form that OpenAI's clients read.

May import: standard library, app, chatcore, litestar, msgspec.

The statuses and sentences are those of every door (`app.http.problems`). OpenAI's clients send a
request again, twice, on 408, 409, 429 and every 5xx, without a key that would tell us: where that
would ask a second time, they are told not to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from app.doors.openai.ids import response_id
from app.http.problems import PROBLEMS, Refused, Row
from app.logs import get_logger
from chatcore import (
    ChatError,
    InvalidInput,
    LLMError,
    ServiceStopping,
    SessionBusy,
    SessionId,
    StorageUnavailable,
    TurnFailed,
    TurnId,
)

MEDIA_TYPE = "application/json"

_CODES = {
    "turn_not_found": ("response_not_found", "There is no such response."),
    "session_not_found": ("conversation_not_found", "There is no such conversation."),
    "message_not_found": ("item_not_found", "There is no such item."),
    "unauthorized": ("invalid_api_key", None),
}
_STATUS = {"invalid_request": 400}
_FROM_STATUS = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}
_FROM_STATUS |= {400: "bad_request", 413: "body_too_large", 415: "unsupported_media_type"}
_NO_FIELD = "is not a known field"

_log = get_logger("http")


class ErrorBody(msgspec.Struct):
    """What an error says."""

    message: str
    type: str
    param: str | None
    code: str | None


class Wrong(Exception):
    """This door refuses a request, for a reason that only its protocol knows.

    Args:
        param: Which parameter is meant.
        message: What is wrong with it, in a sentence for people.
        code: Stable name.
        status: Of HTTP.
    """

    def __init__(
        self,
        param: str | None,
        message: str,
        *,
        code: str = "invalid_request",
        status: int = 400,
    ) -> None:
        self.param = param
        self.message = message
        self.code = code
        self.status = status
        super().__init__(code)


class AfterWriting(Exception):
    """Something was kept, or may have been: sending it all again would keep it twice."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause
        super().__init__(str(cause))


def unsupported(param: str, reason: str) -> Wrong:
    """Return the refusal of a parameter that would be ignored silently otherwise."""
    return Wrong(param, f"'{param}' is not supported: {reason}", code="unsupported_parameter")


def answer_error(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn any exception into its answer."""
    has_written = isinstance(error, AfterWriting)
    if isinstance(error, AfterWriting):
        error = error.cause
    status, body = describe(error)
    code = _code_of(error)
    row = PROBLEMS.get(code)
    if status >= 500 and (row is None or code in {"internal_error", "chat_error"}):
        _log.error("request_broken", error=error)
    elif isinstance(error, StorageUnavailable):
        _log.warning("storage_unavailable", error=error)
    log_model_failure(error)
    headers = dict(getattr(error, "headers", None) or {})
    wait = getattr(error, "retry_after_seconds", None)
    if wait is None and row is not None:
        wait = row.retry_after_seconds
    if wait is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if not _may_be_sent_again(error, row, has_written=has_written):
        headers["x-should-retry"] = "false"
    if getattr(error, "repeated", False):
        headers["Idempotent-Replayed"] = "true"
    return Response(encode(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def log_model_failure(error: Exception) -> None:
    """Log why an answer that is not kept failed, with the provider's own words, bounded."""
    if isinstance(error, LLMError):
        _log.warning("passing_answer_failed", code=error.code, detail=error.detail[:500])


def encode(body: ErrorBody) -> bytes:
    """Return the document of an error."""
    return msgspec.json.encode({"error": body})


def describe(error: Exception) -> tuple[int, ErrorBody]:
    """Return the status and the contents of an error, from its code and its typed fields alone."""
    if isinstance(error, Wrong):
        return error.status, ErrorBody(
            error.message, _type_of(error.status), error.param, error.code
        )
    code = _code_of(error)
    row = PROBLEMS[code]
    status = _STATUS.get(code, row.status)
    name, words = _CODES.get(code, (code, None))
    param, reason = _field_of(error)
    message = f"{param}: {reason}" if param else _detail_of(error) or words or row.detail
    if known := _kept_as(error):
        message = f"{message} What was asked is kept, with what comes of it, as {known}."
    return status, ErrorBody(message, _type_of(status), param, name)


def _kept_as(error: Exception) -> str | None:
    """Return the id of the response that went wrong, or goes on without its reader."""
    if isinstance(error, (TurnFailed, ServiceStopping, StorageUnavailable)):
        session_id, turn_id = error.session_id, error.turn_id
        if session_id is not None and turn_id is not None:
            return response_id(SessionId(session_id), TurnId(turn_id))
    return None


def _type_of(status: int) -> str:
    if status >= 500:
        return "server_error"
    return "rate_limit_error" if status == 429 else "invalid_request_error"


def _code_of(error: Exception) -> str:
    code = "internal_error"
    if isinstance(error, ValidationException):
        code = "invalid_request"
    elif isinstance(error, HTTPException):
        code = _FROM_STATUS.get(error.status_code, code)
    elif isinstance(error, (Refused, ChatError)):
        code = error.code
    return code if code in PROBLEMS or isinstance(error, Wrong) else "internal_error"


def _detail_of(error: Exception) -> str | None:
    return error.detail if isinstance(error, Refused) else None


def _field_of(error: Exception) -> tuple[str | None, str]:
    """Return the first value that is wrong, and why."""
    if isinstance(error, InvalidInput):
        return error.field, error.reason
    if isinstance(error, Refused):
        # Fields nobody knows are none of these: this protocol's clients may send them.
        for each in error.errors:
            if each.reason != _NO_FIELD:
                return each.field, each.reason
    if isinstance(error, ValidationException):
        found = [item for item in error.extra or () if isinstance(item, Mapping)]
        if found:
            return str(found[0].get("key", "request")), "is not accepted"
    return None, ""


def _may_be_sent_again(error: Exception, row: Row | None, *, has_written: bool) -> bool:
    """Whether a client that sends the same once more does no harm, and may have more luck."""
    if has_written:
        return False
    names_a_turn = getattr(error, "turn_id", None) is not None and not isinstance(
        error, SessionBusy
    )
    return row is not None and row.retryable and not names_a_turn
