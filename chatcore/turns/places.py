"""Room 1, the hexagon: how many turns may run in this process at a time.

May import: standard library, chatcore.errors.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from chatcore.errors import ServiceOverloaded


class Places:
    """One for each turn that runs here, or is on its way to.

    Some can be kept for abandoned turns: where new questions take every place as soon as it is
    free, nobody would ever go on with those.

    Args:
        most: How many there are; None: as many as come.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._taken = 0
        self._kept = 0
        self._all_free = asyncio.Event()
        self._all_free.set()

    @property
    def is_any_free(self) -> bool:
        """Whether an abandoned turn would find one."""
        return self._most is None or self._taken < self._most

    def take(self) -> None:
        """Take one for a new question.

        Raises:
            ServiceOverloaded: All are taken, or kept.
        """
        if self._most is not None and self._taken + self._kept >= self._most:
            raise ServiceOverloaded
        self._add(1)

    def take_kept(self) -> None:
        """Take one for an abandoned turn, which has found that one is free."""
        self._kept = max(0, self._kept - 1)
        self._add(1)

    def give_back(self, _: object = None) -> None:
        """Give one back. Can be the callback of a task that has ended."""
        self._add(-1)

    def keep(self, count: int) -> None:
        """Keep the next so many for abandoned turns; 0: none any more."""
        self._kept = count

    async def wait(self, *, timeout_seconds: float) -> None:
        """Wait until all have been given back, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._all_free.wait()

    def _add(self, count: int) -> None:
        self._taken += count
        if self._taken:
            self._all_free.clear()
        else:
            self._all_free.set()
