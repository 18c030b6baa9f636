"""Room 2, the wall: what chatcore asks of the storage about replies that are being written.

May import: standard library, chatcore.model.

A running turn belongs to the process that holds its latest attempt, until its lease ends; only the
store's clock decides about leases. These methods work for turns of any owners at once, except where
they name one. Each is one short, whole transaction.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from chatcore.model.ids import MessageId, OwnerId, SessionId, TurnId
from chatcore.model.journal import AbandonedTurn, Beat, JournalEntry, JournalPlace, TakenTurn
from chatcore.model.turn import Turn, TurnRef


class ReplyJournal(Protocol):
    """Live text, leases and taking over (guarantees G6 and G7)."""

    @abstractmethod
    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        """Renew the leases of turns that this process runs, and append their new text.

        Args:
            beats: One for each turn, in any order; may be empty.
            lease_seconds: How long from now each may stay silent before it counts as abandoned. 0
                gives the turns away: anybody may take them over at once. No lease outlasts its
                turn's deadline by more than this.

        Returns:
            Those that are still held. Whoever is missing was ended, taken over or erased: nothing
            of its text was stored, its attempt must stop, and write nothing.

        Raises:
            StorageUnavailable: The store did not answer. Repeating the same pieces is safe: a piece
                that is stored already is not stored twice.
        """
        ...

    @abstractmethod
    async def read(self, places: Sequence[JournalPlace]) -> tuple[JournalEntry, ...]:
        """Return how turns stand and what their journals hold beyond the given places.

        Args:
            places: One for each turn; may be empty. A place is 0 or the end of a piece that was
                read or written before.

        Returns:
            One entry a turn, in any order. Missing: erased, unknown, or somebody else's.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def abandoned(
        self, *, limit: int, session: tuple[OwnerId, SessionId] | None = None
    ) -> tuple[AbandonedTurn, ...]:
        """Return running turns that are past their lease.

        Args:
            limit: Most turns to return, at least 1.
            session: Only the one of this session. None: of all owners, which only this asks for.

        Raises:
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def take_over(
        self,
        ref: TurnRef,
        *,
        template: str,
        stream: bool,
        lease_seconds: float,
        now: datetime,
    ) -> TakenTurn:
        """Make an abandoned turn ours: close its attempt as abandoned and record the next one.

        Args:
            ref: The turn as its last attempt held it.
            template: Digest of the kept `RequestTemplate` that our attempt is made with.
            stream: Whether it asks for the answer in parts.
            lease_seconds: How long the turn may stay silent.
            now: The caller's clock; informs, decides nothing.

        Returns:
            The turn as held by the next attempt, whose window is that of the one before.

        Raises:
            TurnLost: The turn is not abandoned (any more), or has no attempt or no time left.
                Nothing was written. Of several that try at once, one succeeds. A repeat whose
                answer was lost meets this too: the turn waits for its lease once more.
            StorageUnavailable: The store did not answer.
        """
        ...

    @abstractmethod
    async def give_up(
        self, ref: TurnRef, *, reply_id: MessageId, error_code: str, now: datetime
    ) -> Turn:
        """End an abandoned turn as failed; keep what the journal holds of its last attempt.

        Args:
            ref: The turn as its last attempt held it.
            reply_id: Id for the reply's message, if there is text.
            error_code: Stable code of the failure. The attempt ends as abandoned.
            now: The caller's clock; informs, decides nothing.

        Returns:
            The failed turn, without its attempts.

        Raises:
            TurnLost: The turn is not abandoned (any more). Nothing was written.
            StorageUnavailable: The store did not answer. Repeating is safe; it may meet `TurnLost`.
        """
        ...
