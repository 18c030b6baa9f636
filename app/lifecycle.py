"""Room 4, the door: what has to be opened before the first request and closed after the last.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import suppress
from typing import Protocol

from app.logs import get_logger
from chatcore import ChatService, ServiceStopping

DRAIN_SECONDS = 20.0
"""How long running turns may go on once the process is asked to stop."""
GRACE_SECONDS = 3.0
"""How long it may take after that to hand over what still runs."""
_CLOSE_SECONDS = 1.0


class StartFailed(Exception):
    """The service cannot start or do its work here; the message is one line that says why."""


class Store(Protocol):
    """The connection to the database, as far as the door is concerned."""

    @abstractmethod
    async def open(self) -> None:
        """Connect once, so that what is wrong shows now."""
        ...

    @abstractmethod
    async def check(self) -> None:
        """Find out whether it answers and its schema is the one this code needs."""
        ...

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""
        ...


class Model(Protocol):
    """The connection to the model, as far as the door is concerned."""

    @abstractmethod
    async def check(self) -> None:
        """Find out whether it answers and takes our key."""
        ...

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections."""
        ...


class Lifecycle:
    """Opens, watches over and closes what the service stands on.

    Args:
        store: The database.
        model: The model.
        service: Whose turns are to end, or to be handed over.
        drain_seconds: How long running turns may go on once the process is asked to stop.
        grace_seconds: How long handing over what still runs may take.
    """

    def __init__(
        self,
        *,
        store: Store,
        model: Model,
        service: ChatService,
        drain_seconds: float = DRAIN_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._store = store
        self._model = model
        self._service = service
        self._drain_seconds = drain_seconds
        self._grace_seconds = grace_seconds
        self._drain: asyncio.Task[None] | None = None
        self._log = get_logger("lifecycle")

    async def open(self) -> None:
        """Connect, and go on with the turns that another process left.

        Raises:
            StorageUnavailable: The database does not answer.
        """
        await self._store.open()
        await self._service.start()

    async def require_ready(self) -> None:
        """Return if requests may come.

        Raises:
            ServiceStopping: The process is asked to stop.
            StorageUnavailable: The database does not answer, or is not at head.
        """
        if self._drain is not None:
            raise ServiceStopping
        await self._store.check()

    def begin_drain(self) -> asyncio.Task[None]:
        """Admit nothing more, let running turns finish for a while, then hand over the rest.

        Once is enough. Whatever does not answer meanwhile, the task ends in time.
        """
        if self._drain is None:
            self._drain = asyncio.create_task(self._finish_or_hand_over(), name="drain")
        return self._drain

    async def close(self) -> None:
        """Drain, then close every connection."""
        try:
            await self.begin_drain()
        finally:
            # What hangs now must not hold up the exit, and ends with the process.
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._model.aclose()
                    await self._store.close()

    async def _finish_or_hand_over(self) -> None:
        try:
            async with asyncio.timeout(self._drain_seconds + self._grace_seconds):
                await self._service.close(timeout_seconds=self._drain_seconds)
        except TimeoutError:
            # The leases of what still runs are not given away; they run out.
            self._log.warning("drain_cut_short")
