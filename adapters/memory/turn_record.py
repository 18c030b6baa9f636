"""Room 3, the world: what the memory repository keeps of one turn, and the rules on it.

May import: standard library, chatcore.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from chatcore import (
    Attempt,
    AttemptOutcome,
    Beat,
    Message,
    MessageId,
    Role,
    Turn,
    TurnEnd,
    TurnId,
    TurnRef,
    TurnStatus,
)
from chatcore.failure_codes import TURN_INTERRUPTED


@dataclass(slots=True, kw_only=True, eq=False)
class TurnRecord:
    """One turn with everything that belongs to it; the values in it are immutable.

    Attributes:
        lease_until: Past this, by the repository's clock, the turn counts as abandoned.
        deadline: Past this, nobody begins another attempt.
        stopped_for_it: The turn that ran when this one was admitted.
        journal: Text of the latest attempt, by where it begins. Empty once the turn has ended.
    """

    turn: Turn
    question: Message
    fingerprint: bytes
    lease_until: float
    deadline: float
    stopped_for_it: TurnId | None = None
    journal: dict[int, str] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.turn.status is TurnStatus.RUNNING

    @property
    def ref(self) -> TurnRef:
        """The turn as its latest attempt holds it."""
        return TurnRef(
            owner_id=self.turn.owner_id,
            session_id=self.turn.session_id,
            turn_id=self.turn.id,
            number=self.turn.number,
            attempt=self.turn.attempt,
        )

    def is_held_by(self, ref: TurnRef) -> bool:
        """Whether this attempt may still write."""
        return self.is_running and self.ref == ref

    def is_abandoned(self, now: float) -> bool:
        """Whether it runs, but its process has been silent for too long."""
        return self.is_running and self.lease_until <= now

    def may_go_on(self, now: float) -> bool:
        """Whether another attempt may begin."""
        return self.turn.attempt < self.turn.max_attempts and now < self.deadline

    def was_ended_by(self, ref: TurnRef, end: TurnEnd) -> bool:
        """Whether this very end is what is stored: a repeat whose answer was lost."""
        facts = (self.turn.status, self.turn.ended_at)
        if self.ref != ref or facts != (end.status, end.now):
            return False
        return self.turn.reply is None or self.turn.reply.id == end.reply_id

    def was_moved_on_by(self, ref: TurnRef, now: datetime) -> bool:
        """Whether the latest attempt is what this one was followed by at that moment."""
        return self.is_held_by(following(ref)) and self.turn.attempts[-1].started_at == now

    def seen(self, *, attempts: bool) -> Turn:
        """Return the turn, with or without its attempts and metadata."""
        return self.turn if attempts else replace(self.turn, attempts=(), metadata=())

    def written(self, offset: int = 0) -> str:
        """Return what the journal holds from there on."""
        return "".join(text for start, text in sorted(self.journal.items()) if start >= offset)

    def beat(self, beat: Beat, *, lease_seconds: float, now: float) -> None:
        """Renew the lease, append the text, record the digest."""
        self.lease_until = min(now, self.deadline) + lease_seconds
        if beat.text:
            self.journal.setdefault(beat.start, beat.text)
        if beat.request_digest is not None:
            last = replace(self.turn.attempts[-1], request_digest=beat.request_digest)
            self.turn = replace(self.turn, attempts=(*self.turn.attempts[:-1], last))

    def next_attempt(
        self,
        outcome: AttemptOutcome,
        *,
        error_code: str,
        template: str,
        stream: bool,
        now: datetime,
        request_digest: str = "",
    ) -> None:
        """Close the latest attempt, and open another with the same window."""
        last = self.turn.attempts[-1]
        closed = replace(
            last,
            outcome=outcome,
            error_code=error_code,
            request_digest=request_digest or last.request_digest,
            ended_at=now,
        )
        opened = pending_attempt(
            last.number + 1, last.window, template=template, stream=stream, now=now
        )
        attempts = (*self.turn.attempts[:-1], closed, opened)
        self.turn = replace(self.turn, attempt=opened.number, attempts=attempts)
        self.journal.clear()

    def be_taken_over(
        self, *, template: str, stream: bool, lease_until: float, now: datetime
    ) -> None:
        """Close the attempt that went silent, and open the next one for somebody else."""
        self.next_attempt(
            AttemptOutcome.ABANDONED,
            error_code=TURN_INTERRUPTED,
            template=template,
            stream=stream,
            now=now,
        )
        self.lease_until = lease_until

    def stop(self, *, reply_id: MessageId, now: datetime) -> None:
        """End as stopped, with what the journal holds."""
        end = TurnEnd(status=TurnStatus.STOPPED, reply_id=reply_id, text=self.written(), now=now)
        self.finish(end, AttemptOutcome.STOPPED)

    def give_up(self, *, reply_id: MessageId, error_code: str, now: datetime) -> None:
        """End as failed, with what the journal holds."""
        end = TurnEnd(
            status=TurnStatus.FAILED,
            reply_id=reply_id,
            text=self.written(),
            now=now,
            error_code=error_code,
        )
        self.finish(end, AttemptOutcome.ABANDONED)

    def finish(self, end: TurnEnd, outcome: AttemptOutcome) -> None:
        """End the turn, its latest attempt and, if there is text, add the reply."""
        last = self.turn.attempts[-1]
        closed = replace(
            last,
            outcome=outcome,
            model=end.model,
            request_digest=end.request_digest or last.request_digest,
            error_code=end.error_code,
            usage=end.usage,
            ended_at=end.now,
        )
        self.question = replace(self.question, turn_status=end.status)
        self.turn = replace(
            self.turn,
            status=end.status,
            ended_at=end.now,
            reply=self._reply(end) if end.text else None,
            model=end.model,
            finish_reason=end.finish_reason,
            error_code=end.error_code,
            usage=end.usage,
            attempts=(*self.turn.attempts[:-1], closed),
        )
        self.journal.clear()

    def supersede(self, by: TurnId) -> None:
        """Leave the conversation to another turn."""
        self.question = replace(self.question, superseded_by=by)
        reply = self.turn.reply and replace(self.turn.reply, superseded_by=by)
        self.turn = replace(self.turn, superseded_by=by, reply=reply)

    def _reply(self, end: TurnEnd) -> Message:
        return Message(
            id=end.reply_id,
            session_id=self.turn.session_id,
            turn_id=self.turn.id,
            turn_status=end.status,
            position=self.question.position + 1,
            role=Role.ASSISTANT,
            content=end.text,
            quote=None,
            created_at=end.now,
        )


def following(ref: TurnRef) -> TurnRef:
    """Return the turn as the attempt after this one holds it."""
    return replace(ref, attempt=ref.attempt + 1)


def pending_attempt(
    number: int, window: tuple[int, ...], *, template: str, stream: bool, now: datetime
) -> Attempt:
    """Return an attempt as it is recorded before it is sent."""
    return Attempt(
        number=number,
        outcome=AttemptOutcome.PENDING,
        window=window,
        template=template,
        stream=stream,
        started_at=now,
        ended_at=None,
        model=None,
        request_digest=None,
        error_code=None,
        usage=None,
    )
