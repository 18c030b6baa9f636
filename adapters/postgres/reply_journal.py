"""Room 3, the world: live text, leases and taking over, in PostgreSQL.

May import: standard library, chatcore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from chatcore.failure_codes import TURN_INTERRUPTED

from . import journal_statements as sql
from . import reading_statements as read_sql
from . import rows, said_rows, values
from .database import Database
from .ending import give_up_abandoned
from .lookups import find_turn
from .transaction import Transaction


class PostgresJournal(ReplyJournal):
    """The part of the repository that is about running replies."""

    _database: Database

    async def beat(self, beats: Sequence[Beat], *, lease_seconds: float) -> frozenset[TurnId]:
        """Renew leases and append text; see the port."""
        if not beats:
            return frozenset()
        held = await self._database.fetch(sql.BEAT, values.beat_values(beats, lease_seconds))
        return frozenset(TurnId(row["turn_id"]) for row in held)

    async def read(self, places: Sequence[JournalPlace]) -> tuple[JournalEntry, ...]:
        """Return how turns stand and what came after the given places; see the port."""
        if not places:
            return ()
        found = await self._database.fetch(sql.READ, values.place_values(places))
        return tuple(rows.journal_entry(row) for row in found)

    async def abandoned(
        self, *, limit: int, session: tuple[OwnerId, SessionId] | None = None
    ) -> tuple[AbandonedTurn, ...]:
        """Return running turns past their lease, those that have waited longest first."""
        given: dict[str, object] = {"limit": limit}
        if session is None:
            found = await self._database.fetch(sql.ABANDONED, given)
        else:
            given |= {"owner_id": session[0], "session_id": session[1]}
            found = await self._database.fetch(sql.ABANDONED_OF_SESSION, given)
        return tuple(rows.abandoned_turn(row) for row in found)

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
        given = values.ref_values(ref) | {
            "template": template,
            "stream": stream,
            "lease_seconds": lease_seconds,
            "error_code": TURN_INTERRUPTED,
            "now": now,
        }
        # Read first, since it never changes: failing afterwards would cost the turn an attempt.
        said = said_rows.window(await self._database.fetch(read_sql.REQUEST_OF_ATTEMPT, given))
        row = await self._database.fetch_one(sql.TAKE_OVER, given)
        if row is None:
            raise TurnLost(ref.turn_id)
        (question,) = [message for message in said if message.turn_number == ref.number]
        return TakenTurn(
            ref=replace(ref, attempt=row["attempt"]),
            text=question.content,
            quote=question.quote,
            window=tuple(message for message in said if message.turn_number != ref.number),
            max_attempts=row["max_attempts"],
            seconds_left=float(row["seconds_left"]),
        )

    async def give_up(
        self, ref: TurnRef, *, reply_id: MessageId, error_code: str, now: datetime
    ) -> Turn:
        """End an abandoned turn as failed and keep what came of it; see the port."""
        given = values.ref_values(ref)
        given |= {"reply_id": reply_id, "error_code": error_code, "now": now}

        async def work(held: Transaction) -> bool:
            return await give_up_abandoned(held, given)

        was_abandoned = await self._database.transact(work)
        turn = await find_turn(self._database, ref.owner_id, ref.session_id, ref.turn_id)
        if turn is None or not was_abandoned:
            raise TurnLost(ref.turn_id)
        return replace(turn, attempts=())
