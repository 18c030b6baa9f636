"""Room 4, the door: what every answer has in common, as one thin ASGI layer around Litestar.

May import: standard library, app, litestar.

Request id, security headers, CORS, and one log line a request. It is the outermost layer, so that
errors of the router and answers to unknown addresses have all of it too.
"""

from __future__ import annotations

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

from app.http.problems import MEDIA_TYPE, Refused, internal_error
from app.http.request_context import REQUEST_ID, request_id_from
from app.logs import get_logger

Headers = list[tuple[bytes, bytes]]

_EVERYWHERE: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_EXPOSED = b"X-Request-ID, Retry-After, Idempotent-Replayed"
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Idempotency-Key, X-Request-ID",
    ),
    (b"access-control-max-age", b"600"),
]
_CLIENT_LEFT = 499


class Edge:
    """The outermost layer.

    Args:
        app: What is inside.
        origins: Web origins whose pages may call, compared as a whole, byte for byte.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
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
        headers = [*_EVERYWHERE, (b"x-request-id", request_id.encode()), *self._vary, *cors]
        exchange = _Exchange(receive, send, headers)
        token = REQUEST_ID.set(request_id)
        try:
            if cors and _is_preflight(scope, given):
                await exchange.answer(204, list(_PREFLIGHT))
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.status:
                raise
            self._log.error("request_broken", error=error)
            status, body = internal_error()
            await exchange.answer(status, [(b"content-type", MEDIA_TYPE.encode())], body)
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

    __slots__ = ("_headers", "_receive", "_send", "started", "status", "was_left")

    def __init__(self, receive: Receive, send: Send, headers: Headers) -> None:
        self._receive = receive
        self._send = send
        self._headers = headers
        self.started = time.perf_counter()
        self.status = 0
        self.was_left = False

    async def receive(self) -> HTTPReceiveMessage | WebSocketReceiveMessage:
        """Pass on what comes.

        Raises:
            Refused: The client left in the middle of its own request. Nobody reads the answer.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.status:
            self.was_left = True
            raise Refused("bad_request")
        return message

    async def send(self, message: Message) -> None:
        """Pass on the answer with what every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
        await self._send(message)

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer without asking the application."""
        if body:
            headers = [*headers, (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


def _is_preflight(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    return scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
