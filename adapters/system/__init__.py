"""Room 3, the world: the machine's own clock and random numbers.

May import: standard library.
"""

from .clock import SystemClock, UuidV7Source

__all__ = ["SystemClock", "UuidV7Source"]
