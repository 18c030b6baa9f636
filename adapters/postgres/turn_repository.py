"""Room 3, the world: turns in PostgreSQL.

May import: standard library, chatcore, asyncpg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg

from chatcore import (
    Admission,
    IdempotencyKeyReused,
    NewTurn,
    OwnerId,
    SessionBusy,
    SessionId,
    SessionNotFound,
    StorageUnavailable,
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

from . import admit_statements as admit_sql
from . import rows
from . import sweep_statements as sweep_sql
from . import turn_statements as sql
from .database import Database, Row

# How often an admission is tried again because what it collided with is gone by now.
_ADMIT_TRIES = 10


class PostgresTurns(TurnRepository):
    """The half of the repository that is about turns."""

    _database: Database

    async def admit(self, new: NewTurn) -> Admission:
        """Store a question and start its turn; see the port."""
        for _ in range(_ADMIT_TRIES):
            try:
                return await self._admit(new)
            except asyncpg.UniqueViolationError:
                # Not inferred from the constraint's name: a repeat in flight breaks several.
                earlier = await self._earlier(new)
                if earlier is not None:
                    return earlier
                await self._require_idle(new)
        raise StorageUnavailable("the session's turns change too fast")

    async def next_attempt(
        self, ref: TurnRef, *, error_code: str, request_digest: str, now: datetime
    ) -> TurnRef:
        """Close this attempt as failed and record the next one; see the port."""
        values = rows.ref_values(ref) | {
            "error_code": error_code,
            "request_digest": request_digest,
            "now": now,
        }
        following = replace(ref, attempt=ref.attempt + 1)
        if await self._database.fetch_one(sql.NEXT_ATTEMPT, values) is not None:
            return following
        turn = await self._find(ref.owner_id, ref.session_id, ref.turn_id)
        # It may have been this very call, tried before, whose answer was lost.
        if turn is None or turn.status.is_terminal or turn.attempt != following.attempt:
            raise TurnLost(ref.turn_id)
        if turn.attempts[-1].started_at != now:
            raise TurnLost(ref.turn_id)
        return following

    async def renew(self, refs: Sequence[TurnRef], *, lease_seconds: float) -> frozenset[TurnId]:
        """Renew the leases of turns that are still held; see the port."""
        if not refs:
            return frozenset()
        values = {
            "owner_ids": [ref.owner_id for ref in refs],
            "session_ids": [ref.session_id for ref in refs],
            "numbers": [ref.number for ref in refs],
            "attempts": [ref.attempt for ref in refs],
            "lease_seconds": lease_seconds,
        }
        held = await self._database.fetch(sweep_sql.RENEW, values)
        return frozenset(TurnId(row["id"]) for row in held)

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        """End a running turn for good; see the port."""
        statement = sql.FINISH_WITH_REPLY if end.text else sql.FINISH_WITHOUT_REPLY
        values = rows.ref_values(ref) | rows.end_values(end)
        row = await self._database.fetch_one(statement, values)
        if row is not None:
            return rows.ended_turn(ref, end, row)
        turn = await self._find(ref.owner_id, ref.session_id, ref.turn_id)
        # It may have been this very call, tried before, whose answer was lost.
        if turn is None or turn.attempt != ref.attempt or not _was_ended_by(turn, end):
            raise TurnLost(ref.turn_id)
        return replace(turn, attempts=())

    async def turn(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn:
        """Return one turn with its reply and all its attempts."""
        turn = await self._find(owner_id, session_id, turn_id)
        if turn is None:
            raise TurnNotFound(turn_id)
        return turn

    async def window(
        self, owner_id: OwnerId, session_id: SessionId, numbers: tuple[int, ...]
    ) -> tuple[WindowMessage, ...]:
        """Return the messages of the given turns."""
        if not numbers:
            return ()
        values = {"owner_id": owner_id, "session_id": session_id, "numbers": list(numbers)}
        return rows.window(await self._database.fetch(sql.WINDOW_OF_TURNS, values))

    async def end_abandoned(self, *, limit: int, now: datetime) -> int:
        """End turns of any owner that are past their lease; see the port."""
        values = {"limit": limit, "now": now, "error_code": TURN_INTERRUPTED}
        row = await self._database.fetch_one(sweep_sql.END_ABANDONED, values)
        return 0 if row is None else int(row["ended"])

    async def _admit(self, new: NewTurn) -> Admission:
        values = rows.new_turn_values(new)
        statement = admit_sql.OPEN_SESSION if new.opens_session else admit_sql.CONTINUE_SESSION
        found = await self._database.fetch(statement, values)
        if not found:
            # A key that names another question tells more than a session that is gone.
            await self._earlier(new)
            raise SessionNotFound(new.session_id)
        turn = rows.admitted_turn(new, found[0])
        if new.opens_session:
            return Admission(turn=turn)
        if _saw_the_present(found):
            return Admission(turn=turn, window=rows.window(found))
        values["number"] = turn.number
        said = await self._database.fetch(admit_sql.REFRESH_WINDOW, values)
        return Admission(turn=turn, window=rows.window(said))

    async def _earlier(self, new: NewTurn) -> Admission | None:
        """Return the admission that a repeat of a key, or of this very call, stands for."""
        values = rows.new_turn_values(new)
        found = await self._database.fetch(admit_sql.EARLIER_TURN, values)
        mine = [row for row in found if row["id"] == new.turn_id]
        if not found:
            return None
        row = (mine or found)[0]
        if bytes(row["fingerprint"]) != new.fingerprint:
            raise IdempotencyKeyReused
        turn = await self._find(new.owner_id, SessionId(row["session_id"]), TurnId(row["id"]))
        if turn is None:
            return None
        if not mine:
            return Admission(turn=replace(turn, attempts=()), repeated=True)
        window = await self.window(new.owner_id, turn.session_id, turn.attempts[0].window)
        return Admission(turn=replace(turn, attempts=()), window=window)

    async def _require_idle(self, new: NewTurn) -> None:
        """End the session's running turn if its process is gone, else refuse."""
        values: dict[str, object] = {"owner_id": new.owner_id, "session_id": new.session_id}
        running = await self._database.fetch_one(admit_sql.RUNNING_TURN, values)
        if running is None:
            return
        if not running["is_abandoned"]:
            raise SessionBusy(TurnId(running["id"]))
        values |= {"limit": 1, "now": new.now, "error_code": TURN_INTERRUPTED}
        await self._database.fetch(sweep_sql.END_ABANDONED_OF_SESSION, values)

    async def _find(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn | None:
        values = {"owner_id": owner_id, "session_id": session_id, "turn_id": turn_id}
        row = await self._database.fetch_one(sql.TURN_BY_ID, values)
        if row is None:
            return None
        attempts = await self._database.fetch(sql.ATTEMPTS_OF_TURN, values)
        return rows.stored_turn(row, attempts)


def _saw_the_present(found: Sequence[Row]) -> bool:
    """Whether the window was read after the turn before had ended.

    Turns of a session follow one another: if the one before was seen as ended, so was all else.
    """
    row = found[0]
    is_direct: bool = row["prior_number"] == row["last_turn"] - 1
    return is_direct and row["prior_status"] != TurnStatus.RUNNING


def _was_ended_by(turn: Turn, end: TurnEnd) -> bool:
    same_reply = turn.reply.id == end.reply_id if turn.reply else not end.text
    return same_reply and turn.status is end.status and turn.ended_at == end.now
