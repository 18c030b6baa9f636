"""Room 1, the hexagon: what a reader of a reply gets to see.

May import: standard library, chatcore.model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from chatcore.model.ids import SessionId, TurnId
from chatcore.model.turn import Turn

_POSITION = re.compile(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,8})(\.end)?")


@dataclass(frozen=True, slots=True)
class ReplyPosition:
    """How far a reader has come.

    Attributes:
        attempt: Whose text it has read.
        offset: How many code points of it.
        has_end: Whether it has seen the end of the turn as well.
    """

    attempt: int
    offset: int
    has_end: bool = False

    def __str__(self) -> str:
        return f"{self.attempt}.{self.offset}" + (".end" if self.has_end else "")

    @classmethod
    def parse(cls, text: str) -> ReplyPosition:
        """Return the position that was written so.

        Raises:
            ValueError: It is none.
        """
        found = _POSITION.fullmatch(text)
        if found is None:
            raise ValueError("is not a position in a reply")
        return cls(int(found[1]), int(found[2]), found[3] is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOpened:
    """Which turn it is: always first, at once.

    Attributes:
        repeated: True: an idempotency key had named this turn before.
    """

    session_id: SessionId
    turn_id: TurnId
    repeated: bool


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """The next piece of the reply: never empty. `position` is the place after it."""

    text: str
    position: ReplyPosition


@dataclass(frozen=True, slots=True)
class ReplyRestarted:
    """A new attempt began: what was read of the reply counts no more."""

    position: ReplyPosition


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn has ended and is stored: always last.

    What was read since the last restart is the stored reply; of a stopped or failed turn, possibly
    a little more than that: then the stored one counts.
    """

    turn: Turn
    position: ReplyPosition


TurnEvent = TurnOpened | ReplyDelta | ReplyRestarted | TurnEnded
