"""A way from the browser to the service that can be cut.

May import: standard library, tests.
"""

from __future__ import annotations

import asyncio

from tests.http.sockets import Place
from tests.relay import Relay, Streams


class Wire(Relay):
    """One listening port in front of a service.

    Args:
        leads_to: Where the service is.

    Attributes:
        leads_to: Where connections that are made from now on go.
    """

    def __init__(self, leads_to: Place) -> None:
        super().__init__()
        self.leads_to = leads_to

    @property
    def address(self) -> str:
        """Where the browser finds it, also after a cut."""
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> Streams:
        """Connect to the service."""
        return await asyncio.open_connection(*self.leads_to)
