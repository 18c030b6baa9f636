"""Room 3, the world: turns in this process's memory.

May import: standard library, chatcore.
"""

from __future__ import annotations

from datetime import datetime

from chatcore import (
    Admission,
    AttemptOutcome,
    IdempotencyKeyReused,
    MessageId,
    MessageNotFound,
    MessageSuperseded,
    NewTurn,
    OnBusy,
    OwnerId,
    Question,
    RequestTemplate,
    SessionBusy,
    SessionId,
    Turn,
    TurnEnd,
    TurnId,
    TurnLost,
    TurnNotFound,
    TurnRef,
    TurnRepository,
    WindowMessage,
)

from .session_record import SessionRecord
from .store import InMemoryStore
from .turn_record import TurnRecord, following


class InMemoryTurns(InMemoryStore, TurnRepository):
    """The part of the repository that is about turns."""

    async def admit(self, new: NewTurn) -> Admission:
        """Store a question and start its turn; see the port."""
        earlier = self._earlier(new)
        if earlier is not None:
            return earlier
        known = self._kept.get((new.owner_id, new.session_id))
        if known is None and new.opens_session:
            known = SessionRecord.opened_by(new)
        record = known or self._require(new.owner_id, new.session_id)
        stopped = self._make_room(record, new)
        window = record.window_before(new.window_turns)
        kept = record.admit(new, window, now=self._monotonic())
        kept.stopped_for_it = stopped
        self._kept[new.owner_id, new.session_id] = record
        if new.idempotency_key is not None:
            self._keys[new.owner_id, new.idempotency_key] = kept
        return Admission(
            turn=kept.seen(attempts=False), window=record.said_in(window), superseded=stopped
        )

    async def next_attempt(
        self,
        ref: TurnRef,
        *,
        error_code: str,
        request_digest: str,
        template: str,
        stream: bool,
        now: datetime,
    ) -> TurnRef:
        """Close this attempt as failed and record the next one; see the port."""
        kept = self._find(ref.owner_id, ref.session_id, ref.turn_id)
        if kept is None:
            raise TurnLost(ref.turn_id)
        if kept.is_held_by(ref) and ref.attempt < kept.turn.max_attempts:
            kept.next_attempt(
                AttemptOutcome.FAILED,
                error_code=error_code,
                request_digest=request_digest,
                template=template,
                stream=stream,
                now=now,
            )
        elif not kept.was_moved_on_by(ref, now):
            raise TurnLost(ref.turn_id)
        return following(ref)

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        """End a running turn for good; see the port."""
        kept = self._find(ref.owner_id, ref.session_id, ref.turn_id)
        if kept is None:
            raise TurnLost(ref.turn_id)
        if kept.is_held_by(ref):
            kept.finish(end, AttemptOutcome(end.status.value))
        elif not kept.was_ended_by(ref, end):
            raise TurnLost(ref.turn_id)
        return kept.seen(attempts=False)

    async def stop(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        turn_id: TurnId,
        *,
        reply_id: MessageId,
        now: datetime,
    ) -> Turn:
        """End a running turn as stopped, whoever runs it; see the port."""
        kept = self._find(owner_id, session_id, turn_id)
        if kept is None:
            raise TurnNotFound(turn_id)
        if kept.is_running:
            kept.stop(reply_id=reply_id, now=now)
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

    async def question(
        self, owner_id: OwnerId, session_id: SessionId, message_id: MessageId
    ) -> Question:
        """Return the question of the turn that a message belongs to."""
        record = self._kept.get((owner_id, session_id))
        kept = None if record is None else record.find_by_message(message_id)
        if kept is None:
            raise MessageNotFound(message_id)
        return _question_of(kept)

    async def question_named(
        self, owner_id: OwnerId, session_id: SessionId, client_id: str
    ) -> Question:
        """Return the latest question that the caller calls so."""
        record = self._kept.get((owner_id, session_id))
        kept = None if record is None else record.find_by_client_id(client_id)
        if kept is None:
            raise MessageNotFound
        return _question_of(kept)

    async def question_after(
        self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
    ) -> Question | None:
        """Return the question of the first turn after this one that still counts."""
        record = self._kept.get((owner_id, session_id))
        kept = None if record is None else record.find_after(turn_id)
        return None if kept is None else _question_of(kept)

    async def keep_template(self, template: RequestTemplate) -> None:
        """Keep what requests are made with, under its digest."""
        self._templates.setdefault(template.digest, template)

    async def template(self, digest: str) -> RequestTemplate | None:
        """Return what was kept under this digest, or None."""
        return self._templates.get(digest)

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
        return Admission(
            turn=mine.seen(attempts=False),
            window=record.said_in(mine.turn.attempts[0].window),
            superseded=mine.stopped_for_it,
        )

    def _make_room(self, record: SessionRecord, new: NewTurn) -> TurnId | None:
        """Stop and supersede what the new turn takes the place of; return what was stopped."""
        busy = record.running
        if busy is not None and new.on_busy is OnBusy.REJECT:
            is_abandoned = busy.is_abandoned(self._monotonic())
            raise SessionBusy(busy.turn.id, is_abandoned=is_abandoned)
        if new.replaces is not None and not record.counts(new.replaces):
            raise MessageSuperseded
        if busy is not None:
            busy.stop(reply_id=new.part_id, now=new.now)
        if new.replaces is not None:
            record.supersede_from(new.replaces, by=new.turn_id)
        return None if busy is None else busy.turn.id


def _question_of(kept: TurnRecord) -> Question:
    return Question(
        turn_id=kept.turn.id,
        turn_number=kept.turn.number,
        message_id=kept.question.id,
        position=kept.question.position,
        text=kept.question.content,
        quote=kept.question.quote,
        client_id=kept.question.client_id,
        superseded_by=kept.turn.superseded_by,
    )
