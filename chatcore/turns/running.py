"""Room 1, the hexagon: a turn in flight, as its task holds it and as others see it.

May import: standard library, chatcore.model, chatcore.turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from chatcore.model.admission import Admission
from chatcore.model.journal import Beat
from chatcore.model.prompt import Prompt
from chatcore.model.turn import Turn, TurnRef
from chatcore.turns.live_reply import LiveReply


class Cut(Enum):
    """Why a turn is to wait for the model no longer."""

    LOST = "it was ended, taken over or erased by somebody else: write nothing"
    STOPPED = "its owner wants it to end with what has come"
    HANDED_OVER = "the process is closing: somebody else goes on"


class CutShort(Exception):
    """Ends the asking; `RunningTurn.cut_by` says why."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What whoever began a turn gets.

    Attributes:
        live: Its reply; None if the admission was a repeat.
    """

    admission: Admission
    live: LiveReply | None


@dataclass(slots=True, kw_only=True, eq=False)
class RunningTurn:
    """One admitted turn that waits for the model.

    Attributes:
        ref: The turn as its attempt holds it.
        make_prompt: Makes what the model is asked; a pure function.
        live: Its reply as far as it has come.
        max_attempts: How often the model may be asked for it.
        stream: Whether this attempt asks for the answer in parts.
        started: When it began here, by the monotonic clock, in seconds.
        deadline: When it must have ended, by the same clock.
        digest: Of the latest request to the model.
        is_moving_on: Its next attempt is being recorded: for so long the store may know of it, and
            this process not yet.
        cut_by: Why it is to end now; None while it may go on.
        renewed: When its lease was last known to be renewed, by the monotonic clock.
    """

    ref: TurnRef
    make_prompt: Callable[[], Prompt]
    live: LiveReply
    max_attempts: int
    stream: bool
    started: float
    deadline: float
    renewed: float
    digest: str | None = None
    is_moving_on: bool = False
    cut_by: Cut | None = None
    task: asyncio.Task[None] | None = None
    _limit: asyncio.Timeout | None = None
    _stored: int = 0
    _stored_digest: str | None = None
    _pending: Beat | None = None

    @property
    def text(self) -> str:
        """What has come of the reply in this attempt."""
        return self.live.since(0)

    @property
    def has_pending(self) -> bool:
        """Whether a piece of it may or may not be in the journal."""
        return self._pending is not None

    def append(self, text: str) -> None:
        """Add to the reply, unless it is somebody else's by now."""
        if self.cut_by is not Cut.LOST:
            self.live.append(text)

    def go_on_as(self, ref: TurnRef, *, stream: bool) -> None:
        """Begin anew with the next attempt."""
        self.ref = ref
        self.stream = stream
        self.digest = None
        self._stored, self._stored_digest, self._pending = 0, None, None
        self.live.restart(ref.attempt)

    def limit(self, seconds: float) -> asyncio.Timeout:
        """Return a time limit for waiting for the model; none is left once it is to end."""
        self._limit = asyncio.timeout(0 if self.cut_by else max(0.0, seconds))
        return self._limit

    def end_limit(self) -> None:
        """Let what follows take as long as it takes: it is about the store."""
        self._limit = None

    def cut(self, reason: Cut) -> None:
        """Have it end now instead of waiting for the model; being lost counts more than the rest.

        The task is never cancelled: that could hit it while something is being stored.
        """
        if self.cut_by is None or reason is Cut.LOST:
            self.cut_by = reason
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    def next_beat(self, *, only_news: bool) -> Beat | None:
        """Return what the journal does not have yet.

        Args:
            only_news: None if there is nothing new. Else a sign of life without text.
        """
        if self._pending is None:
            text = self.live.since(self._stored)
            digest = None if self.digest == self._stored_digest else self.digest
            if only_news and not text:
                return None
            beat = Beat(self.ref, self._stored, text, digest)
            if not text:
                return beat
            # Sent again exactly so until it is known to be stored: pieces never overlap.
            self._pending = beat
        return self._pending

    def acknowledge(self, beat: Beat, *, sent: float) -> None:
        """Note that the journal has this."""
        if beat.ref != self.ref:
            return
        self.renewed = sent
        if beat.request_digest is not None:
            self._stored_digest = beat.request_digest
        if beat is self._pending:
            self._pending = None
            self._stored = beat.start + len(beat.text)


def ref_of(turn: Turn) -> TurnRef:
    """Return a turn as its latest attempt holds it."""
    return TurnRef(
        owner_id=turn.owner_id,
        session_id=turn.session_id,
        turn_id=turn.id,
        number=turn.number,
        attempt=turn.attempt,
    )
