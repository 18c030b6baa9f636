"""Room 3, the world: one call of the provider: sent once, bounded in time and size, errors told.

May import: standard library, chatcore, aiohttp.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import ClientError, ClientResponse, ClientResponseError
from aiohttp.http import HttpProcessingError

from chatcore.errors import LLMError

from .failures import Failures
from .payloads import MAX_ANSWER_BYTES, Unreadable, decode_answer
from .provider import Provider
from .silence import Silence
from .streamed_answer import StreamedAnswer

# A TimeoutError is an OSError. aiohttp and uvloop raise a plain RuntimeError for a connection that
# was closed under the reader.
_BROKEN = (ClientError, HttpProcessingError, OSError, RuntimeError)
_ERROR_BODY_SECONDS = 2.0
_ERROR_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Exchange:
    """A whole HTTP answer."""

    status: int
    body: bytes
    failure: LLMError | None
    """What the status means; None for 200."""


class Calls:
    """Sends requests and turns whatever goes wrong into the errors of chatcore.

    Args:
        provider: The connections.
        failures: Makes the errors.
        limit_seconds: For a whole answer, or for the head of a streamed one.
    """

    def __init__(self, provider: Provider, failures: Failures, *, limit_seconds: float) -> None:
        self._provider = provider
        self._failures = failures
        self._limit_seconds = limit_seconds

    async def fetch(self, method: str, path: str, body: bytes | None = None) -> Exchange:
        """Send a request and read the whole answer, whatever its status.

        Raises:
            LLMUnavailable: Not reached, or the connection broke.
            LLMTimeout: No whole answer within the limit.
            LLMIncomplete: More than we are ready to hold in memory.
        """
        try:
            async with asyncio.timeout(self._limit_seconds):
                response = await self._provider.send(method, path, body)
                try:
                    return await self._exchange(response)
                finally:
                    response.close()
        except _BROKEN as error:
            raise self._failure(error) from _safe_cause(error)

    async def open_stream(self, path: str, body: bytes) -> ClientResponse:
        """Send a request and return when an event stream begins.

        Raises:
            LLMError: As `fetch`; and what a status other than 200 means, or another kind of answer.
        """
        try:
            async with asyncio.timeout(self._limit_seconds):
                response = await self._provider.send("POST", path, body)
                try:
                    if not _is_event_stream(response):
                        raise self._not_a_stream(await self._exchange(response))
                except BaseException:
                    response.close()
                    raise
        except _BROKEN as error:
            raise self._failure(error) from _safe_cause(error)
        return response

    async def read(
        self, response: ClientResponse, answer: StreamedAnswer, silence: Silence
    ) -> bytes:
        """Return the next bytes of a stream; none at its end.

        Once the answer is whole, a lost connection and silence are an end like any other.

        Raises:
            LLMUnavailable: The connection broke.
            LLMTimeout: No content within the limit.
        """
        try:
            return await response.content.readany()
        except _BROKEN as error:
            if answer.is_whole:
                return b""
            if silence.is_over:
                raise self._failures.silent(self._limit_seconds) from None
            raise self._failure(error) from _safe_cause(error)

    def let_go(self, response: ClientResponse) -> None:
        """Give the connection of a whole answer back to the pool."""
        self._provider.let_go(response)

    async def _exchange(self, response: ClientResponse) -> Exchange:
        if response.status == 200:
            body = await _read(response, MAX_ANSWER_BYTES)
            if len(body) > MAX_ANSWER_BYTES:
                raise self._failures.incomplete(f"more than {MAX_ANSWER_BYTES} bytes")
            return Exchange(200, body, None)
        body = b""
        with suppress(*_BROKEN):
            async with asyncio.timeout(min(_ERROR_BODY_SECONDS, self._limit_seconds / 2)):
                body = await _read(response, _ERROR_BODY_BYTES)
        failure = self._failures.of_status(response.status, response.headers, body)
        return Exchange(response.status, body, failure)

    def _not_a_stream(self, exchange: Exchange) -> LLMError:
        if exchange.failure is not None:
            return exchange.failure
        with suppress(Unreadable):
            if (told := decode_answer(exchange.body).error) is not None:
                return self._failures.of_error_object(told)
        return self._failures.incomplete("the answer is not an event stream")

    def _failure(self, error: BaseException) -> LLMError:
        return self._failures.of_exception(error, self._limit_seconds)


def _is_event_stream(response: ClientResponse) -> bool:
    kind = response.headers.get("Content-Type", "")
    return response.status == 200 and (not kind or kind.lower().startswith("text/event-stream"))


async def _read(response: ClientResponse, max_bytes: int) -> bytes:
    """Return the body, or a little more than `max_bytes` of it."""
    chunks, size = [], 0
    while size <= max_bytes and (chunk := await response.content.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _safe_cause(error: BaseException) -> BaseException | None:
    """A ClientResponseError shows the headers of the request, and with them the key."""
    return None if isinstance(error, ClientResponseError) else error
