"""Room 2, the wall: time and fresh ids, as arguments instead of globals.

May import: standard library.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Tells the time that informs people. It never decides who may write."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the current time: aware, UTC."""
        ...


class IdSource(Protocol):
    """Makes ids."""

    @abstractmethod
    def new_id(self) -> UUID:
        """Return an id never returned before, by any process: a UUIDv7 (RFC 9562)."""
        ...
