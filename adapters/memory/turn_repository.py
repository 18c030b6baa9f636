"""Room 3, the world: turns in this process's memory.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from chatcore import (
    Admission,
    AttemptOutcome,
    IdempotencyKeyReused,
    NewTurn,
    OwnerId,
    SessionBusy,
    SessionId,
    SessionNotFound,
    Turn,
    TurnEnd,
    TurnId,
    TurnLost,
    TurnNotFound,
    TurnRef,
    TurnRepository,
    TurnStatus,
    WindowMessage,
)
from chatcore.errors import TURN_INTERRUPTED
from chatcore.model.ids import MessageId

from .records import SessionRecord, TurnRecord


class InMemoryTurns(TurnRepository):
    """The half of the repository that is about turns."""

    _monotonic: Callable[[], float]
    _kept: dict[tuple[OwnerId, SessionId], SessionRecord]
    _keys: dict[tuple[OwnerId, str], TurnRecord]

    async def admit(self, new: NewTurn) -> Admission:
        """Store a question and start its turn; see the port."""
        earlier = self._earlier(new)
        if earlier is not None:
            return earlier
        if new.opens_session:
            record = SessionRecord.opened_by(new)
        else:
            found = self._kept.get((new.owner_id, new.session_id))
            if found is None:
                raise SessionNotFound(new.session_id)
            record = found
            self._require_idle(record, new.now)
        window = record.window_before(new.window_turns)
        kept = record.admit(new, window, lease_until=self._monotonic() + new.lease_seconds)
        self._kept[new.owner_id, new.session_id] = record
        if new.idempotency_key is not None:
            self._keys[new.owner_id, new.idempotency_key] = kept
        return Admission(turn=kept.seen(attempts=False), window=record.said_in(window))

    async def next_attempt(
        self, ref: TurnRef, *, error_code: str, request_digest: str, now: datetime
    ) -> TurnRef:
        """Close this attempt as failed and record the next one; see the port."""
        kept = self._find(ref.owner_id, ref.session_id, ref.turn_id)
        if kept is None:
            raise TurnLost(ref.turn_id)
        following = replace(ref, attempt=ref.attempt + 1)
        if kept.is_held_by(ref) and ref.attempt < kept.turn.max_attempts:
            kept.next_attempt(error_code=error_code, request_digest=request_digest, now=now)
        elif not (kept.is_held_by(following) and kept.turn.attempts[-1].started_at == now):
            raise TurnLost(ref.turn_id)
        return following

    async def renew(self, refs: Sequence[TurnRef], *, lease_seconds: float) -> frozenset[TurnId]:
        """Renew the leases of turns that are still held; see the port."""
        held = set()
        for ref in refs:
            kept = self._find(ref.owner_id, ref.session_id, ref.turn_id)
            if kept is not None and kept.is_held_by(ref):
                kept.lease_until = self._monotonic() + lease_seconds
                held.add(ref.turn_id)
        return frozenset(held)

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        """End a running turn for good; see the port."""
        kept = self._find(ref.owner_id, ref.session_id, ref.turn_id)
        if kept is None:
            raise TurnLost(ref.turn_id)
        if kept.is_held_by(ref):
            kept.finish(end, AttemptOutcome(end.status.value))
        elif kept.turn.attempt != ref.attempt or not kept.was_ended_by(end):
            raise TurnLost(ref.turn_id)
        return kept.seen(attempts=False)

    async def turn(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        """Return one turn with its reply and all its attempts."""
        kept = self._find(owner_id, session_id, turn_id)
        if kept is None:
            raise TurnNotFound(turn_id)
        return kept.seen(attempts=True)

    async def window(
        self, owner_id: OwnerId, session_id: SessionId, numbers: tuple[int, ...]
    ) -> tuple[WindowMessage, ...]:
        """Return the messages of the given turns."""
        record = self._kept.get((owner_id, session_id))
        return () if record is None else record.said_in(numbers)

    async def end_abandoned(self, *, limit: int, now: datetime) -> int:
        """End turns of any owner that are past their lease; see the port."""
        records = [kept for record in self._kept.values() for kept in record.turns]
        abandoned = [kept for kept in records if self._is_abandoned(kept)][:limit]
        for kept in abandoned:
            _interrupt(kept, now)
        return len(abandoned)

    def _earlier(self, new: NewTurn) -> Admission | None:
        """Return the admission that a repeat of a key, or of this very call, stands for."""
        if new.idempotency_key is not None:
            kept = self._keys.get((new.owner_id, new.idempotency_key))
            if kept is not None and kept.fingerprint != new.fingerprint:
                raise IdempotencyKeyReused
            if kept is not None and kept.turn.id != new.turn_id:
                return Admission(turn=kept.seen(attempts=False), repeated=True)
        mine = self._find(new.owner_id, new.session_id, new.turn_id)
        if mine is None:
            return None
        record = self._kept[new.owner_id, new.session_id]
        window = record.said_in(mine.turn.attempts[0].window)
        return Admission(turn=mine.seen(attempts=False), window=window)

    def _require_idle(self, record: SessionRecord, now: datetime) -> None:
        latest = record.turns[-1]
        if self._is_abandoned(latest):
            _interrupt(latest, now)
        if latest.turn.status is TurnStatus.RUNNING:
            raise SessionBusy(latest.turn.id)

    def _find(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> TurnRecord | None:
        record = self._kept.get((owner_id, session_id))
        return None if record is None else record.find(turn_id)

    def _is_abandoned(self, kept: TurnRecord) -> bool:
        running = kept.turn.status is TurnStatus.RUNNING
        return running and kept.lease_until < self._monotonic()


def _interrupt(kept: TurnRecord, now: datetime) -> None:
    end = TurnEnd(
        status=TurnStatus.FAILED,
        reply_id=MessageId(kept.turn.id),
        text="",
        now=now,
        error_code=TURN_INTERRUPTED,
    )
    kept.finish(end, AttemptOutcome.ABANDONED)
