"""Room 2, the wall: what chatcore asks of the storage of turns.

May import: standard library, chatcore.model.

Every method is one short, whole transaction, and names the owner: what belongs to somebody else is
answered exactly like what does not exist (guarantee G11). No method is called while a connection,
lock or transaction of another is open (G10). What is returned shares no mutable state with the
store.
"""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from chatcore.model.admission import Admission, NewTurn, Question, WindowMessage
from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.template import RequestTemplate
from chatcore.model.turn import Turn, TurnEnd, TurnRef


class TurnRepository(Protocol):
    """Turns: the only way words get into a conversation."""

    @abstractmethod
    async def admit(self, new: NewTurn) -> Admission:
        """Store a question and start its turn, or recognise an earlier admission of it.

        In one commit or not at all: the session (if `opens_session` and there is none), the
        question at the next position, the turn as `running` with the next number, and attempt 1 as
        `pending`.

        Args:
            new: Ids never used before, except by an earlier try of this same admission.

        Returns:
            The admission. Its window holds the messages of the latest `window_turns` earlier turns
            that are completed, or stopped with a reply, and not superseded, oldest first: question,
            reply, question … A repeat of an `idempotency_key` returns that turn as it now stands,
            with `repeated` set and no window; it changes nothing.
            With `on_busy` supersede, a running turn of the session is stopped in the same commit,
            like by `stop`, its part kept under `part_id`, and named in the answer.
            With `replaces`, that turn and all after it that still count are superseded by this one
            in the same commit, and are in no window from then on.

        Raises:
            SessionNotFound: No such session of this owner. Nothing was written.
            SessionBusy: Another turn of the session is running, and the caller rejects. Nothing
                was written. `is_abandoned` tells whether that turn is past its lease; it still
                counts, until somebody takes it over or gives it up.
            MessageSuperseded: The turn to be replaced is superseded already, or there is no such
                turn. Nothing was written.
            IdempotencyKeyReused: The key names a turn with another fingerprint. Nothing written.
            StorageUnavailable: The store did not answer. Repeating with the same value is safe.

        Promise: durable on return. At most one running turn a session (G3), one turn a key (G2),
        dense positions and numbers (G4), whatever is called at the same time.
        """
        ...

    @abstractmethod
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
        """Close this attempt as failed and record the next one, before it is sent.

        Args:
            ref: The running turn, held by the attempt that failed.
            error_code: Stable code of the failure.
            request_digest: SHA-256 of the request that failed, hex; empty if none was made.
            template: Digest of the kept `RequestTemplate` that the next attempt is made with.
            stream: Whether the next attempt asks for the answer in parts.
            now: The caller's clock.

        Returns:
            The turn as held by the next attempt, whose window is that of this one.

        Raises:
            TurnLost: This attempt no longer holds the turn, or was its last. Nothing was written.
                A repeat whose answer was lost is recognised by its `now`, and succeeds again.
            StorageUnavailable: The store did not answer. Repeating is safe.

        Promise: durable on return (G7).
        """
        ...

    @abstractmethod
    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        """End a running turn for good.

        In one commit or not at all: the reply right after its question (if there is text), the
        turn's and the attempt's outcome; and its journal is dropped.

        Args:
            ref: The running turn, held by the attempt that ends it.
            end: How it ends.

        Returns:
            The turn as now stored, with its reply; `attempts` is empty.

        Raises:
            TurnLost: Ended, taken over or erased by somebody else. Nothing was written. A repeat of
                a finish whose answer was lost is recognised and returns the stored turn instead.
            StorageUnavailable: The store did not answer. Repeating with the same values is safe.

        Promise: durable on return; a terminal turn never changes again (G1, G7).
        """
        ...

    @abstractmethod
    async def stop(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        turn_id: TurnId,
        *,
        reply_id: MessageId,
        now: datetime,
    ) -> Turn:
        """End a running turn as stopped, whoever runs it; keep what its journal holds as the reply.

        Args:
            owner_id: Whose turn.
            session_id: Of which session.
            turn_id: Which turn.
            reply_id: Id for the reply's message, if the journal holds text of the latest attempt.
            now: The caller's clock; informs, decides nothing.

        Returns:
            The turn, without its attempts: stopped now, or unchanged if it had ended before.

        Raises:
            TurnNotFound: No such turn in this session of this owner.
            StorageUnavailable: The store did not answer. Repeating is safe.

        Promise: no text is lost that a `beat` had stored before, whatever runs at the same time; on
        return the next question is admitted (G5). Every later write of the attempt changes nothing.
        """
        ...

    @abstractmethod
    async def turn(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        """Return one turn with its reply and all its attempts.

        Raises:
            TurnNotFound: No such turn in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def window(
        self, owner_id: OwnerId, session_id: SessionId, numbers: tuple[int, ...]
    ) -> tuple[WindowMessage, ...]:
        """Return the messages of the given turns, for replaying an attempt.

        Args:
            owner_id: Whose session.
            session_id: Which session.
            numbers: Turn numbers, ascending, as recorded with an attempt.

        Returns:
            The messages of those turns, oldest first. Numbers of no turn are left out.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def question(
        self, owner_id: OwnerId, session_id: SessionId, message_id: MessageId
    ) -> Question:
        """Return the question of the turn that a message belongs to, whichever of the two it is.

        Raises:
            MessageNotFound: No such message in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def question_named(
        self, owner_id: OwnerId, session_id: SessionId, client_id: str
    ) -> Question:
        """Return the latest question that the caller calls so; it may be superseded.

        Raises:
            MessageNotFound: No such question in this session of this owner.
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def question_after(
        self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
    ) -> Question | None:
        """Return the question of the first turn after this one that still counts.

        Returns:
            The question; None if none after it counts, or there is no such turn in this session of
            this owner.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def keep_template(self, template: RequestTemplate) -> None:
        """Keep what requests are made with, under its digest, for good. A repeat changes nothing.

        Raises:
            StorageUnavailable: The store did not answer. Repeating is safe.
        """
        ...

    @abstractmethod
    async def template(self, digest: str) -> RequestTemplate | None:
        """Return what was kept under this digest, or None.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        ...
