"""Room 4, the door: how late this process is, and which questions it refuses for that.

May import: standard library, app, chatcore, litestar.

The measure is that of toobusy-js: how late a timer fires is how long everything waits that could
go on at once, first tokens and heartbeats too.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from app.http.auth import Guard
from app.logs import get_logger
from chatcore import ServiceOverloaded

# Never the same twice: a loop that is busy for as long as the timer waits would look punctual.
_BETWEEN_SECONDS = (0.05, 0.15)
_WEIGHT = 1 / 3
# What one look counts for at most, in limits: with that weight a single hiccup, however long, does
# not reach beyond the limit.
_MOST_LIMITS = 2.5
_LOG_SECONDS = 10.0


class Pressure:
    """Refuses new questions while this process is late, the more of them the later it is.

    Refusing a part lets the load settle where the rest can be answered, instead of refusing
    everybody and nobody in turns. Only new questions: whatever else is asked ends work, or is
    little of it.

    Args:
        limit_seconds: From here on some are refused; from twice that on all. 0: never any.

    Attributes:
        lag_seconds: How late this process is, smoothed.
    """

    def __init__(self, limit_seconds: float) -> None:
        self.lag_seconds = 0.0
        self._limit = limit_seconds
        self._due = 0.0
        self._quiet_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._log = get_logger("http")

    @asynccontextmanager
    async def measured(self) -> AsyncGenerator[None, None]:
        """Measure until the end."""
        if self._limit:
            self._wait()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def relieve(self) -> None:
        """Let a new question in, or not.

        Raises:
            ServiceOverloaded: Not this one.
        """
        excess = self.lag_seconds - self._limit
        if excess > 0 and random.random() * self._limit < excess:  # noqa: S311
            raise ServiceOverloaded

    def _wait(self) -> None:
        pause = random.uniform(*_BETWEEN_SECONDS)  # noqa: S311
        self._due = time.monotonic() + pause
        self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        late = max(0.0, time.monotonic() - self._due)
        counted = min(late, _MOST_LIMITS * self._limit)
        self.lag_seconds += _WEIGHT * (counted - self.lag_seconds)
        if self.lag_seconds > self._limit and time.monotonic() > self._quiet_until:
            self._quiet_until = time.monotonic() + _LOG_SECONDS
            self._log.warning("overloaded", lag_ms=round(self.lag_seconds * 1000))
        self._wait()


def pressure_guard(pressure: Pressure) -> Guard:
    """Return a Litestar guard that refuses before anything else is looked at.

    A function, no method: Litestar copies guards deeply, and the copy would measure nothing.
    """

    async def relieve(
        _connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
    ) -> None:
        pressure.relieve()

    return relieve
