"""Room 2, the wall: what chatcore asks of the storage of turns.

May import: standard library, chatcore.model.

Every method is one short, whole transaction, and names the owner: what belongs to somebody else is
answered exactly like what does not exist (guarantee G11). No method is called while a connection,
lock or transaction of another is open (G10). What is returned shares no mutable state with the
store.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from chatcore.model.ids import OwnerId, SessionId, TurnId
from chatcore.model.turn import Admission, NewTurn, Turn, TurnEnd, TurnRef, WindowMessage


class TurnRepository(Protocol):
    """Turns: the only way words get into a conversation."""

    @abstractmethod
    async def admit(self, new: NewTurn) -> Admission:
        """Store a question and start its turn, or recognise an earlier admission of it.

        In one commit or not at all: the session (if `opens_session`), the question at the next
        position, the turn as `running` with the next number, and attempt 1 as `pending`.

        Args:
            new: Ids never used before, except by an earlier try of this same admission.

        Returns:
            The admission. Its window holds the messages of the latest `window_turns` earlier turns
            that are completed, or stopped with a reply, oldest first: question, reply, question …
            A repeat of an `idempotency_key` returns that turn as it now stands, with `repeated`
            set and no window; it changes nothing.

        Raises:
            SessionNotFound: No such session of this owner. Nothing was written.
            SessionBusy: Another turn of the session is running. Nothing was written. A turn that is
                past its lease does not count: it is ended as failed, code `turn_interrupted`.
            IdempotencyKeyReused: The key names a turn with another fingerprint. Nothing written.
            StorageUnavailable: The store did not answer. Repeating with the same value is safe.

        Promise: durable on return. At most one running turn a session (G3), one turn a key (G2),
        dense positions and numbers (G4), whatever is called at the same time.
        """
        ...

    @abstractmethod
    async def next_attempt(
        self, ref: TurnRef, *, error_code: str, request_digest: str, now: datetime
    ) -> TurnRef:
        """Close this attempt as failed and record the next one, before it is sent.

        Args:
            ref: The running turn, held by the attempt that failed.
            error_code: Stable code of the failure.
            request_digest: SHA-256 of the request that failed, hex.
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
    async def renew(self, refs: Sequence[TurnRef], *, lease_seconds: float) -> frozenset[TurnId]:
        """Renew the leases of turns that this process runs, of any owners, all in one go.

        Args:
            refs: Running turns as their attempts hold them; may be empty.
            lease_seconds: How long from now each may stay silent before it counts as abandoned.

        Returns:
            Those that are still held. Whoever is missing was ended, taken over or erased: its
            attempt must stop, and write nothing.

        Raises:
            StorageUnavailable: The store did not answer. Repeating is safe.
        """
        ...

    @abstractmethod
    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        """End a running turn for good.

        In one commit or not at all: the reply right after its question (if there is text), the
        turn's and the attempt's outcome.

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
    async def end_abandoned(self, *, limit: int, now: datetime) -> int:
        """End turns of any owner that are past their lease, as failed with `turn_interrupted`.

        The only method for all owners; the store's clock decides. Safe to run in many processes.

        Args:
            limit: Most turns to end in this call, at least 1.
            now: The caller's clock; informs.

        Returns:
            How many were ended.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        ...
