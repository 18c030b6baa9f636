"""Room 4, the door: who is asking.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from typing import Any, Protocol

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from app.http.problems import Refused
from chatcore import OwnerId

PUBLIC_OWNER = OwnerId("public")
"""Everybody without a credential: knowing a session's id is the right to it."""

_VISITOR = re.compile(rb"(?i:bearer) +(visitor-[A-Za-z0-9._~+/=-]{32,504}) *")
_HINT = (
    "This credential is not accepted. Send none, or a visitor token: "
    "Authorization: Bearer visitor- and at least 32 random characters."
)

RawHeaders = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI gives them: lower-case names, repeated ones repeated."""


class Authenticator(Protocol):
    """Turns the headers of a request into an owner, or refuses."""

    @abstractmethod
    async def authenticate(self, headers: RawHeaders) -> OwnerId:
        """Return whose request it is.

        Raises:
            Refused: `unauthorized`; nothing tells apart why.
        """
        ...


class AnonymousAuthenticator(Authenticator):
    """No credential is the owner `public`; a visitor token is an owner of its own.

    The browser makes the token and keeps it; only its SHA-256 is ever stored.
    """

    async def authenticate(self, headers: RawHeaders) -> OwnerId:
        """Return whose request it is."""
        given = [value for name, value in headers if name == b"authorization"]
        if not given:
            return PUBLIC_OWNER
        found = _VISITOR.fullmatch(given[0])
        if len(given) > 1 or found is None:
            raise Refused("unauthorized", _HINT, headers={"WWW-Authenticate": "Bearer"})
        return OwnerId(f"visitor:{sha256(found[1]).hexdigest()}")


Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


def owner_guard(authenticator: Authenticator) -> Guard:
    """Return a Litestar guard that finds out the owner before anything of a body is read."""

    async def know_owner(
        connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
    ) -> None:
        connection.scope["user"] = await authenticator.authenticate(connection.scope["headers"])

    return know_owner


def provide_owner_id(request: Request[OwnerId, Any, Any]) -> OwnerId:
    """Return the owner that the guard found out."""
    return request.user
