"""A way to PostgreSQL that can be slow, cut, and lead to another server.

May import: standard library, tests.
"""

from __future__ import annotations

import asyncio

from tests.relay import Relay, Streams


class Doorway(Relay):
    """One listening port in front of a server.

    Args:
        socket_path: Where the server listens.

    Attributes:
        delay_seconds: How long each answer of the server is held back.
        leads_to: Where connections that are opened from now on go.
    """

    def __init__(self, socket_path: str) -> None:
        super().__init__()
        self.leads_to = socket_path
        self.delay_seconds = 0.0

    def url(self, database: str, *, user: str = "postgres") -> str:
        """Return the way through."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    async def connect(self) -> Streams:
        """Connect to the server."""
        return await asyncio.open_unix_connection(self.leads_to)

    async def hold(self, data: bytes, *, is_answer: bool) -> None:
        """Hold an answer back."""
        if is_answer and self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
