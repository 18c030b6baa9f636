"""Room 3, the world: the system clock, and ids made from it.

May import: standard library, chatcore.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from uuid import UUID

from chatcore import Clock, IdSource

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62
_RANDOM_BITS = 0xFFF << 64 | (1 << 62) - 1


class SystemClock(Clock):
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time: aware, UTC."""
        return datetime.now(UTC)


class UuidV7Source(IdSource):
    """UUIDv7: 48 bits of milliseconds, then 74 random bits.

    Source: RFC 9562 section 5.7. Nothing may rely on the order of ids made in one millisecond.
    """

    def new_id(self) -> UUID:
        """Return an id never returned before, by any process."""
        milliseconds = time.time_ns() // 1_000_000
        random = int.from_bytes(os.urandom(10), "big") & _RANDOM_BITS
        return UUID(int=milliseconds << 80 | _VERSION_7 | _VARIANT_RFC | random)
