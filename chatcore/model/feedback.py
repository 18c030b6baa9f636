"""Room 1, the hexagon: what people think of a message.

May import: standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FEEDBACK_COMMENT_MAX_CHARS = 2_000


class Rating(StrEnum):
    """Thumbs."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A verdict on one message; the latest one counts.

    Attributes:
        comment: Why; 1 to 2,000 code points, or None.
    """

    rating: Rating
    comment: str | None = None
