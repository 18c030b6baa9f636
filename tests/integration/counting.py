"""A way to PostgreSQL that counts what passes, and can let nothing pass.

May import: standard library, tests.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

from tests.relay import Relay, Streams


class CountingRelay(Relay):
    """Forwards connections to one server.

    Args:
        url: Of a PostgreSQL that listens on a socket in a folder.

    Attributes:
        sent: Bytes that clients have sent so far.
        may_pass: Cleared: what is sent waits, in both directions, and nobody is told.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = urlsplit(url)
        place = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._socket = f"{place['host']}/.s.PGSQL.{place['port']}"
        self._path = parts.path
        self._user = parts.username
        self.sent = 0
        self.may_pass = asyncio.Event()
        self.may_pass.set()

    @property
    def url(self) -> str:
        """The same database, by way of this relay."""
        return f"postgresql://{self._user}@127.0.0.1:{self.port}{self._path}?sslmode=disable"

    async def connect(self) -> Streams:
        """Connect to the server."""
        return await asyncio.open_unix_connection(self._socket)

    async def hold(self, data: bytes, *, is_answer: bool) -> None:
        """Count, and wait as long as nothing may pass."""
        self.sent += 0 if is_answer else len(data)
        await self.may_pass.wait()
