"""Room 4, the door: the one table from error codes to answers, all as RFC 9457 problems.

May import: standard library, app, chatcore, litestar, msgspec.

An answer is made from the code and the typed fields of an error, never from its text: what a
provider or a database said goes to the log at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from app.http.request_context import REQUEST_ID
from app.http.schemas import FieldError, Problem
from app.logs import get_logger
from chatcore import ChatError, InvalidInput, Turn, TurnFailed

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:chatcore:problem:"

_log = get_logger("http")


class Row(NamedTuple):
    """What a code means to a client.

    Attributes:
        retry_after_seconds: Sent as `Retry-After` unless the error itself knows better.
    """

    status: int
    title: str
    detail: str
    retryable: bool = False
    retry_after_seconds: int | None = None


PROBLEMS: Mapping[str, Row] = {
    # the request
    "malformed_json": Row(400, "Malformed JSON", "The body is not a JSON document."),
    "bad_request": Row(400, "Bad request", "The request cannot be understood."),
    "unauthorized": Row(401, "Unauthorized", "This credential is not accepted."),
    "not_found": Row(404, "Not found", "There is nothing here."),
    "session_not_found": Row(404, "Session not found", "There is no such session."),
    "turn_not_found": Row(404, "Turn not found", "There is no such turn in this session."),
    "message_not_found": Row(404, "Message not found", "There is no such message."),
    "method_not_allowed": Row(
        405, "Method not allowed", "This address does not know this method; see Allow."
    ),
    "request_timeout": Row(
        408, "Request timeout", "The request took too long to arrive.", retryable=True
    ),
    "body_too_large": Row(413, "Body too large", "The body is longer than this service reads."),
    "unsupported_media_type": Row(
        415, "Unsupported media type", "The body must be application/json in UTF-8."
    ),
    "headers_too_large": Row(431, "Headers too large", "The request's head is too long."),
    "invalid_request": Row(422, "Invalid request", "A value cannot be accepted; see errors."),
    "idempotency_key_reused": Row(
        422, "Idempotency key reused", "This key was used before, with another request."
    ),
    # the conversation
    "conflict": Row(409, "Conflict", "The conversation is not in a state for this."),
    "session_busy": Row(
        409, "Session busy", "A reply in this session is still being written.", True, 1
    ),
    "message_superseded": Row(
        409, "Message superseded", "Another turn has taken this message's place."
    ),
    "turn_lost": Row(409, "Turn lost", "The turn was ended or erased meanwhile."),
    # the model
    "llm_error": Row(502, "Model failed", "The model gave no usable answer."),
    "llm_unavailable": Row(502, "Model unavailable", "The model could not be reached.", True),
    "llm_incomplete": Row(502, "Answer incomplete", "The model's answer broke off.", True),
    "llm_rejected": Row(502, "Rejected by the model", "The model does not take this request."),
    "llm_rate_limited": Row(503, "Model busy", "The model asks to slow down.", True, 10),
    "llm_timeout": Row(504, "Model too slow", "The model was silent for too long.", True),
    "turn_failed": Row(502, "Turn failed", "No whole reply came; the question is kept."),
    "turn_interrupted": Row(
        503, "Turn interrupted", "The reply was interrupted; the question is kept.", True, 1
    ),
    # the service
    "storage_unavailable": Row(
        503, "Storage unavailable", "The conversation store does not answer.", True, 2
    ),
    "schema_outdated": Row(
        503, "Storage not ready", "The conversation store waits for a migration.", True, 30
    ),
    "service_overloaded": Row(
        503, "Service overloaded", "There is too much to do; nothing was stored.", True, 2
    ),
    "service_stopping": Row(503, "Service stopping", "This process is shutting down.", True, 1),
    "chat_error": Row(500, "Internal error", "Something went wrong on our side."),
    "internal_error": Row(500, "Internal error", "Something went wrong on our side."),
}
"""Code to answer. A code never changes its meaning; `retryable` agrees with the error classes."""

_FROM_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}


class Refused(Exception):
    """The door refuses a request before the service sees it.

    Args:
        code: A code of the table.
        detail: Text for the client instead of the table's; never somebody else's words.
        errors: Which fields are wrong.
        headers: Sent with the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(code)


@dataclass(slots=True)
class _Answer:
    code: str
    detail: str | None = None
    retryable: bool | None = None
    errors: list[FieldError] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


def answer_problem(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn any exception into its problem document."""
    answer = _read(error)
    row = PROBLEMS.get(answer.code)
    if row is None or answer.code in {"internal_error", "chat_error"}:
        _log.error("request_broken", error=error)
    elif answer.code == "storage_unavailable":
        _log.warning("storage_unavailable", error=error)
    status, body = encode_problem(answer, _named(error, "turn_id"), _named(error, "session_id"))
    wait = getattr(error, "retry_after_seconds", None)
    if wait is None and row is not None:
        wait = row.retry_after_seconds
    if wait is not None:
        answer.headers["Retry-After"] = str(max(1, math.ceil(wait)))
    if getattr(error, "repeated", False):
        answer.headers["Idempotent-Replayed"] = "true"
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=answer.headers)


def problem_of(error: Exception) -> bytes:
    """Return the document of an exception, for where an answer has begun already."""
    return encode_problem(_read(error), _named(error, "turn_id"), _named(error, "session_id"))[1]


def problem_of_failed(turn: Turn) -> bytes:
    """Return the document of a turn that failed."""
    answer = _Answer(turn.error_code or TurnFailed.code)
    return encode_problem(answer, str(turn.id), str(turn.session_id))[1]


def encode_problem(
    answer: _Answer, turn_id: str | None = None, session_id: str | None = None
) -> tuple[int, bytes]:
    """Return the status and the document for an answer; an unknown code is an internal error."""
    code = answer.code if answer.code in PROBLEMS else "internal_error"
    row = PROBLEMS[code]
    problem = Problem(
        type=TYPE_PREFIX + code,
        title=row.title,
        status=row.status,
        code=code,
        detail=answer.detail or row.detail,
        retryable=row.retryable if answer.retryable is None else answer.retryable,
        request_id=REQUEST_ID.get(),
        turn_id=turn_id,
        session_id=session_id,
        errors=answer.errors or None,
    )
    return row.status, msgspec.json.encode(problem)


def bare_problem(code: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and document of a code, for where there is no Litestar."""
    status, body = encode_problem(_Answer(code))
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    if wait := PROBLEMS[code].retry_after_seconds:
        headers.append((b"retry-after", b"%d" % wait))
    return status, headers, body


def _read(error: Exception) -> _Answer:
    """Find out what an exception means to a client."""
    if isinstance(error, Refused):
        return _Answer(error.code, error.detail, errors=error.errors, headers=error.headers)
    if isinstance(error, InvalidInput):
        return _Answer(error.code, errors=[FieldError(field=error.field, reason=error.reason)])
    if isinstance(error, ChatError):
        return _Answer(error.code, retryable=error.retryable)
    if isinstance(error, ValidationException):
        return _read_validation(error)
    if isinstance(error, HTTPException):
        code = _FROM_STATUS.get(error.status_code, "internal_error")
        return _Answer(code, headers=dict(error.headers or {}))
    return _Answer("internal_error")


def _read_validation(error: ValidationException) -> _Answer:
    """Read Litestar's complaints about parameters; an empty body is one of them."""
    found = [item for item in error.extra or () if isinstance(item, dict)]
    if any(item.get("key") == "data" for item in found):
        return _Answer("malformed_json", "The body is empty.")
    return _Answer(
        "invalid_request",
        errors=[
            FieldError(field=str(item.get("key", "request")), reason=_plain(item.get("message")))
            for item in found
        ],
    )


def _plain(message: object) -> str:
    """Return a complaint of the decoder in the form of ours."""
    text = str(message).replace("`", "")
    return f"{text[:1].lower()}{text[1:200]}"


def _named(error: Exception, attribute: str) -> str | None:
    """Return an id for the document. A 404 names none: unknown, foreign and malformed are alike."""
    value = getattr(error, attribute, None)
    code = getattr(error, "code", "")
    return None if value is None or code.endswith("_not_found") else str(value)
