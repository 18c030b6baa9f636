"""Room 3, the world: what goes wrong at the provider -> the `LLM…` errors of chatcore.

May import: standard library, chatcore, aiohttp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from aiohttp import ClientError, ServerTimeoutError

from chatcore.errors import (
    LLMError,
    LLMIncomplete,
    LLMRateLimited,
    LLMRejected,
    LLMTimeout,
    LLMUnavailable,
)

DETAIL_MAX_CHARS = 500
"""Longest detail of an error, in code points."""

_BY_STATUS: dict[int, type[LLMError]] = {
    408: LLMTimeout,
    409: LLMUnavailable,
    429: LLMRateLimited,
}
_BY_WORD: dict[str, type[LLMError]] = {
    # Words a server puts into `code` or `type`. Some 429s and 5xxs are refusals in disguise.
    "insufficient_quota": LLMRejected,
    "content_filter": LLMRejected,
    "content_policy_violation": LLMRejected,
}
_BY_WORD_WITHOUT_STATUS: dict[str, type[LLMError]] = {
    **_BY_WORD,
    "authentication_error": LLMRejected,
    "context_length_exceeded": LLMRejected,
    "invalid_api_key": LLMRejected,
    "invalid_request_error": LLMRejected,
    "model_not_found": LLMRejected,
    "not_found_error": LLMRejected,
    "permission_error": LLMRejected,
    "rate_limit_error": LLMRateLimited,
    "rate_limit_exceeded": LLMRateLimited,
    "timeout": LLMTimeout,
}
_BY_FINISH_REASON: dict[str, type[LLMError]] = {
    "content_filter": LLMRejected,
    "error": LLMUnavailable,  # OpenRouter: the model behind it failed on the way
}


class Failures:
    """Makes errors whose details are short, single-line and free of the secret.

    Args:
        secret: Masked wherever it occurs.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def incomplete(self, reason: str) -> LLMIncomplete:
        """The answer was empty, broke off or could not be read."""
        return LLMIncomplete(self._detail(reason))

    def silent(self, seconds: float) -> LLMTimeout:
        """No content came for so long."""
        return LLMTimeout(f"no content for {seconds:g} seconds")

    def of_status(self, status: int, headers: Mapping[str, str], body: bytes) -> LLMError:
        """An answer with another status than 200."""
        told: object = None
        with suppress(ValueError, RecursionError):
            told = json.loads(body)
        kind = _first_known(_BY_WORD, _words(told)) or _class_of_status(status)
        detail = _message(told) or body.decode("utf-8", "replace")
        return kind(
            self._detail(f"HTTP {status}: {detail}"), retry_after_seconds=retry_after(headers)
        )

    def of_error_object(self, told: object) -> LLMError:
        """An error object where an answer was expected, with status 200."""
        kind = _first_known(_BY_WORD_WITHOUT_STATUS, _words(told))
        if kind is None and (status := _status_in(told)) is not None:
            kind = _class_of_status(status)
        return (kind or LLMUnavailable)(
            self._detail(_message(told) or "an error without a message")
        )

    def of_finish_reason(self, reason: str) -> LLMError | None:
        """A finish reason that means failure; None for every other."""
        kind = _BY_FINISH_REASON.get(reason)
        return kind(f"finish reason {reason}") if kind else None

    def of_exception(self, error: BaseException, limit_seconds: float) -> LLMError:
        """What was raised while sending or reading."""
        if isinstance(error, TimeoutError) and not isinstance(error, ClientError):
            return self.silent(limit_seconds)
        words = "not reached in time" if isinstance(error, ServerTimeoutError) else str(error)
        return LLMUnavailable(self._detail(f"{type(error).__name__}: {words}"))

    def _detail(self, text: str) -> str:
        text = text[: DETAIL_MAX_CHARS * 40].replace(self._secret, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= DETAIL_MAX_CHARS else line[: DETAIL_MAX_CHARS - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the server asks to wait, if it names a time we can read.

    Source: RFC 9110, section 10.2.3; `retry-after-ms` is OpenAI's finer form.
    """
    value = headers.get("Retry-After", "")
    for text, unit in ((headers.get("Retry-After-Ms", ""), 0.001), (value, 1.0)):
        with suppress(ValueError):
            seconds = float(text) * unit
            return max(seconds, 0.0) if isfinite(seconds) else None
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(value)
        return max((until - _server_time(headers)).total_seconds(), 0.0)
    return None


def _server_time(headers: Mapping[str, str]) -> datetime:
    """The server's own clock, so that a wrong clock of ours does not lengthen the wait."""
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
    return datetime.now(UTC)


def _class_of_status(status: int) -> type[LLMError]:
    return _BY_STATUS.get(status) or (LLMUnavailable if status >= 500 else LLMRejected)


def _first_known(
    table: Mapping[str, type[LLMError]], words: tuple[str, ...]
) -> type[LLMError] | None:
    return next((table[word] for word in words if word in table), None)


def _inner(told: object) -> object:
    """`{"error": …}` and what is in it are told the same way."""
    return told["error"] if isinstance(told, dict) and told.get("error") else told


def _words(told: object) -> tuple[str, ...]:
    inner = _inner(told)
    if not isinstance(inner, dict):
        return ()
    return tuple(word for key in ("code", "type") if isinstance(word := inner.get(key), str))


def _status_in(told: object) -> int | None:
    inner = _inner(told)
    if isinstance(inner, dict):
        for key in ("code", "status", "status_code"):
            value = inner.get(key)
            if isinstance(value, int | str) and str(value).isdecimal():
                number = int(str(value)[:9])
                if 400 <= number <= 599:
                    return number
    return None


def _message(told: object) -> str:
    inner = _inner(told)
    if isinstance(inner, str):
        return inner
    if isinstance(inner, dict):
        for key in ("message", "detail", "msg"):
            if isinstance(value := inner.get(key), str) and value:
                return value
    return ""
