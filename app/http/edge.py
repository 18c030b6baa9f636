"""Room 4, the door: what every answer has in common, as one thin ASGI layer around Litestar.

May import: standard library, app, litestar.

Request id, security headers, CORS, how long a body may take, and one log line a request. It is the
outermost layer, so that errors of the router and answers to unknown addresses have all of it too.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

from litestar.enums import ScopeType
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPScope,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)

from app.http.problems import Refused, bare_problem
from app.http.request_context import REQUEST_ID, request_id_from
from app.logs import get_logger

Headers = list[tuple[bytes, bytes]]

_CACHING = b"cache-control"
EVERYWHERE: Headers = [(b"x-content-type-options", b"nosniff"), (_CACHING, b"no-store")]
_EXPOSED = b"X-Request-ID, Retry-After, X-Should-Retry, Idempotent-Replayed"
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-max-age", b"600"),
]
_ASKS_FOR = b"access-control-request-headers"
_OUR_OWN = b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID"
# Names of headers as they are in use. RFC 9110 allows more, among them `*`, which would mean all.
_NAMES = re.compile(rb"[\w.-]+( *, *[\w.-]+)*")
_CLIENT_LEFT = 499
LAST_ANSWER = (b"connection", b"close")

BODY_SECONDS = 30.0
"""How long a request's body may take to arrive, all in all."""


class Edge:
    """The outermost layer.

    Args:
        app: What is inside.
        origins: Web origins whose pages may call, compared as a whole, byte for byte.
        body_seconds: How long a request's body may take to arrive, all in all.
    """

    def __init__(
        self, app: ASGIApp, *, origins: Sequence[str], body_seconds: float = BODY_SECONDS
    ) -> None:
        self.body_seconds = body_seconds
        self._app = app
        self._log = get_logger("http").bind()
        self._vary: Headers = [(b"vary", b"Origin")] if origins else []
        self._cors: dict[bytes, Headers] = {
            origin.encode(): [
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-expose-headers", _EXPOSED),
            ]
            for origin in origins
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == ScopeType.HTTP:
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"])
        request_id = request_id_from(given.get(b"x-request-id"))
        cors = self._cors.get(given.get(b"origin", b""), [])
        headers = [*EVERYWHERE, (b"x-request-id", request_id.encode()), *self._vary, *cors]
        exchange = _Exchange(receive, send, headers, self.body_seconds)
        token = REQUEST_ID.set(request_id)
        try:
            if cors and _is_preflight(scope, given):
                await exchange.answer(204, [*_PREFLIGHT, _allowed(given.get(_ASKS_FOR, b""))])
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # The process ends and waits no longer. Whoever cancelled us is told; so is the client.
            if not exchange.status:
                await exchange.refuse("service_stopping", LAST_ANSWER)
            raise
        except Exception as error:
            if exchange.status:
                raise
            self._log.error("request_broken", error=error)
            await exchange.refuse("internal_error")
        finally:
            self._tell(scope, exchange)
            REQUEST_ID.reset(token)

    def _tell(self, scope: HTTPScope, exchange: _Exchange) -> None:
        """Log one line: the route's template, never the address itself, which holds ids."""
        route = str(scope.get("path_template") or "-")
        status = _CLIENT_LEFT if exchange.was_left else exchange.status
        log = self._log.debug if route.startswith("/health") and status < 400 else self._log.info
        log(
            "request",
            method=scope["method"],
            route=route,
            status=status,
            ms=round((time.perf_counter() - exchange.started) * 1000, 1),
        )


class _Exchange:
    """One request and its answer on their way through."""

    __slots__ = ("_headers", "_late_at", "_receive", "_send", "started", "status", "was_left")

    def __init__(self, receive: Receive, send: Send, headers: Headers, body_seconds: float) -> None:
        self._late_at: float | None = asyncio.get_running_loop().time() + body_seconds
        self._receive = receive
        self._send = send
        self._headers = headers
        self.started = time.perf_counter()
        self.status = 0
        self.was_left = False

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Pass on what comes.

        Raises:
            Refused: The body did not arrive in time, or the client left in the middle of its own
                request; then nobody reads the answer.
        """
        try:
            async with asyncio.timeout_at(self._late_at):
                message = await self._receive()
        except TimeoutError:
            raise Refused("request_timeout", headers={"Connection": "close"}) from None
        if message["type"] == "http.request" and not message["more_body"]:
            self._late_at = None
        if message["type"] == "http.disconnect" and not self.status:
            self.was_left = True
            raise Refused("bad_request")
        return message

    async def send(self, message: Message) -> None:
        """Pass on the answer with what every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message["headers"])
            # Streams say themselves how they may be cached, and it must not be said twice.
            has_own = any(name == _CACHING for name, _ in given)
            given += [one for one in self._headers if not (has_own and one[0] == _CACHING)]
            message["headers"] = given
        await self._send(message)

    async def refuse(self, code: str, *more: tuple[bytes, bytes]) -> None:
        """Answer with a problem, without asking the application."""
        status, given, body = bare_problem(code)
        await self.answer(status, [*given, *more], body)

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer without asking the application."""
        if body:
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


def _allowed(names: bytes) -> tuple[bytes, bytes]:
    """Allow whatever a page of a listed origin wants to send: clients have headers of their own."""
    is_plain = _NAMES.fullmatch(names) is not None
    return b"access-control-allow-headers", names if is_plain else _OUR_OWN


def _is_preflight(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
