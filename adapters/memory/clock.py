"""Room 3, the world: a clock and ids for tests, the same in every run.

May import: standard library, chatcore.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from chatcore import Clock, IdSource


class TickingClock(Clock):
    """A clock that moves by one step whenever it is read, and only then.

    Args:
        start: First time told; aware.
        step: How far each reading moves it; zero for a clock that stands still.
    """

    def __init__(
        self,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        *,
        step: timedelta = timedelta(seconds=1),
    ) -> None:
        self._next = start
        self._step = step

    def now(self) -> datetime:
        """Return the time, then move on by one step."""
        now = self._next
        self._next += self._step
        return now


class SequentialIds(IdSource):
    """Ids 1, 2, 3 … in the shape of a UUIDv7, so that tests can read them."""

    def __init__(self, start: int = 1) -> None:
        self._next = start

    def new_id(self) -> UUID:
        """Return the next id."""
        number = self._next
        self._next += 1
        return UUID(int=number << 80 | 0x7 << 76 | 0b10 << 62 | number)
