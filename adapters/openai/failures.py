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
from chatcore.model.prompt import Prompt

from .blanking import blank_repeated
from .error_body import body_message_of, describe_body, message_of, status_in, words_of

DETAIL_MAX_CHARS = 500
"""Longest detail of an error, in code points."""

_WORDS_MAX_CHARS = 4 * DETAIL_MAX_CHARS

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
    """Makes errors whose details are short, single-line, free of the secret and of content.

    Args:
        secret: Masked wherever it occurs.
        prompt: What the model is asked: what the provider's words repeat of it is blanked.
    """

    def __init__(self, secret: str, prompt: Prompt | None = None) -> None:
        self._secret = secret
        self._prompt = prompt

    def about(self, prompt: Prompt) -> Failures:
        """Return what makes the errors of one request."""
        return Failures(self._secret, prompt)

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
        kind = _first_known(_BY_WORD, words_of(told)) or _class_of_status(status)
        kind_of_body = headers.get("Content-Type", "")
        detail = body_message_of(told) or describe_body(kind_of_body, len(body))
        return kind(
            self._detail(f"HTTP {status}: {detail}"), retry_after_seconds=retry_after(headers)
        )

    def of_error_object(self, told: object) -> LLMError:
        """An error object where an answer was expected, with status 200."""
        kind = _first_known(_BY_WORD_WITHOUT_STATUS, words_of(told))
        if kind is None and (status := status_in(told)) is not None:
            kind = _class_of_status(status)
        return (kind or LLMUnavailable)(
            self._detail(message_of(told) or "an error without a message")
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
        # Masked before it is cut: half of a secret would not be found.
        words = text.replace(self._secret, "***")[:_WORDS_MAX_CHARS]
        prompt = self._prompt
        texts = () if prompt is None else (prompt.system, *(m.content for m in prompt.messages))
        line = blank_repeated(words, texts)
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
