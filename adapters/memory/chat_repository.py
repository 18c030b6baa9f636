"""Room 3, the world: conversations in this process's memory, with the promises of PostgreSQL.

May import: standard library, chatcore.

No method awaits anything, so each one is a whole transaction of the event loop. Everything handed
out is immutable, so nothing a caller does with it can change what is stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from chatcore import (
    Admission,
    AttemptOutcome,
    ChatRepository,
    ChatSession,
    IdempotencyKeyReused,
    MessagePage,
    NewTurn,
    OwnerId,
    SessionBusy,
    SessionCursor,
    SessionId,
    SessionNotFound,
    SessionPage,
    Turn,
    TurnEnd,
    TurnId,
    TurnLost,
    TurnNotFound,
    TurnRef,
    TurnStatus,
    WindowMessage,
)
from chatcore.errors import TURN_INTERRUPTED
from chatcore.model.ids import MessageId

from .records import SessionRecord, TurnRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What is left of an erased session: counts and cost, no content."""

    owner_id: OwnerId
    session_id: SessionId
    erased_at: datetime
    turns: int
    prompt_tokens: int
    completion_tokens: int


class InMemoryChatRepository(ChatRepository):
    """Conversation storage that lives as long as the process.

    Args:
        monotonic: Seconds that only grow; decides about leases.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[tuple[OwnerId, SessionId], SessionRecord] = {}
        self._keys: dict[tuple[OwnerId, str], TurnRecord] = {}
        self.tombstones: list[Tombstone] = []

    async def admit(self, new: NewTurn) -> Admission:
        """Store a question and start its turn; see the port."""
        earlier = self._earlier(new)
        if earlier is not None:
            return earlier
        if new.opens_session:
            record = SessionRecord.opened_by(new)
        else:
            record = self._require(new.owner_id, new.session_id)
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

    async def session(self, owner_id: OwnerId, session_id: SessionId) -> ChatSession:
        """Return one session."""
        return self._require(owner_id, session_id).session

    async def sessions(
        self, owner_id: OwnerId, *, limit: int, after: SessionCursor | None
    ) -> SessionPage:
        """Return one page of an owner's sessions, latest activity first."""
        mine = [record.session for key, record in self._kept.items() if key[0] == owner_id]
        mine.sort(key=lambda session: (session.updated_at, session.id), reverse=True)
        if after is not None:
            place = (after.updated_at, after.session_id)
            mine = [session for session in mine if (session.updated_at, session.id) < place]
        items = tuple(mine[:limit])
        cursor = None
        if len(mine) > limit:
            cursor = SessionCursor(updated_at=items[-1].updated_at, session_id=items[-1].id)
        return SessionPage(items=items, next_cursor=cursor)

    async def messages(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> MessagePage:
        """Return one page of a session's messages, oldest first within it."""
        said = self._require(owner_id, session_id).messages()
        if after is not None:
            wanted = [message for message in said if message.position > after][:limit]
        else:
            wanted = [message for message in said if before is None or message.position < before]
            wanted = wanted[-limit:]
        return MessagePage(
            items=tuple(wanted),
            has_older=bool(wanted) and wanted[0].position > 1,
            has_newer=bool(wanted) and wanted[-1].position < said[-1].position,
        )

    async def rename(
        self, owner_id: OwnerId, session_id: SessionId, *, title: str, now: datetime
    ) -> ChatSession:
        """Give a session another title."""
        record = self._require(owner_id, session_id)
        record.touch(now)
        record.session = replace(record.session, title=title)
        return record.session

    async def erase(self, owner_id: OwnerId, session_id: SessionId, *, now: datetime) -> None:
        """Erase a session with every word in it; a tombstone keeps its counts."""
        record = self._require(owner_id, session_id)
        del self._kept[owner_id, session_id]
        self._keys = {key: kept for key, kept in self._keys.items() if kept not in record.turns}
        used = [kept.turn.usage for kept in record.turns if kept.turn.usage is not None]
        tombstone = Tombstone(
            owner_id=owner_id,
            session_id=session_id,
            erased_at=now,
            turns=len(record.turns),
            prompt_tokens=sum(usage.prompt_tokens for usage in used),
            completion_tokens=sum(usage.completion_tokens for usage in used),
        )
        self.tombstones.append(tombstone)

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

    def _require(self, owner_id: OwnerId, session_id: SessionId) -> SessionRecord:
        record = self._kept.get((owner_id, session_id))
        if record is None:
            raise SessionNotFound(session_id)
        return record

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
