"""Room 3, the world: replies that are being written, in this process's memory.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from chatcore import (
    AbandonedTurn,
    Beat,
    JournalEntry,
    JournalPlace,
    MessageId,
    OwnerId,
    ReplyJournal,
    SessionId,
    TakenTurn,
    Turn,
    TurnId,
    TurnLost,
    TurnRef,
)

from .store import InMemoryStore
from .turn_record import TurnRecord


class InMemoryJournal(InMemoryStore, ReplyJournal):
    """The part of the repository that is about live text, leases and taking over."""

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        """Renew leases and append new text; see the port."""
        held = set()
        for beat in beats:
            kept = self._find_held(beat.ref)
            if kept is not None:
                kept.beat(beat, lease_seconds=lease_seconds, now=self._monotonic())
                held.add(beat.ref.turn_id)
        return frozenset(held)

    async def read(self, places: Sequence[JournalPlace]) -> tuple[JournalEntry, ...]:
        """Return how turns stand and what came beyond the given places; see the port."""
        found = [
            (self._find(place.owner_id, place.session_id, place.turn_id), place) for place in places
        ]
        now = self._monotonic()
        return tuple(_entry(kept, place, now) for kept, place in found if kept is not None)

    async def abandoned(
        self, *, limit: int, session: tuple[OwnerId, SessionId] | None = None
    ) -> tuple[AbandonedTurn, ...]:
        """Return running turns that are past their lease; see the port."""
        now = self._monotonic()
        records = self._kept.values() if session is None else [self._kept.get(session)]
        running = [record.running for record in records if record is not None]
        late = [kept for kept in running if kept is not None and kept.is_abandoned(now)]
        return tuple(AbandonedTurn(kept.ref, kept.may_go_on(now)) for kept in late[:limit])

    async def take_over(
        self,
        ref: TurnRef,
        *,
        template: str,
        stream: bool,
        lease_seconds: float,
        now: datetime,
    ) -> TakenTurn:
        """Make an abandoned turn ours; see the port."""
        kept, seconds = self._require_abandoned(ref), self._monotonic()
        if not kept.may_go_on(seconds):
            raise TurnLost(ref.turn_id)
        lease_until = seconds + lease_seconds
        kept.be_taken_over(template=template, stream=stream, lease_until=lease_until, now=now)
        record = self._kept[ref.owner_id, ref.session_id]
        return TakenTurn(
            ref=kept.ref,
            text=kept.question.content,
            quote=kept.question.quote,
            window=record.said_in(kept.turn.attempts[-1].window),
            max_attempts=kept.turn.max_attempts,
            seconds_left=kept.deadline - seconds,
        )

    async def give_up(
        self, ref: TurnRef, *, reply_id: MessageId, error_code: str, now: datetime
    ) -> Turn:
        """End an abandoned turn as failed; see the port."""
        kept = self._require_abandoned(ref)
        kept.give_up(reply_id=reply_id, error_code=error_code, now=now)
        return kept.seen(attempts=False)

    def _require_abandoned(self, ref: TurnRef) -> TurnRecord:
        kept = self._find_held(ref)
        if kept is None or not kept.is_abandoned(self._monotonic()):
            raise TurnLost(ref.turn_id)
        return kept


def _entry(kept: TurnRecord, place: JournalPlace, now: float) -> JournalEntry:
    start = place.offset if place.attempt == kept.turn.attempt else 0
    return JournalEntry(
        turn_id=kept.turn.id,
        status=kept.turn.status,
        attempt=kept.turn.attempt,
        is_abandoned=kept.is_abandoned(now),
        start=start,
        text=kept.written(start),
    )
