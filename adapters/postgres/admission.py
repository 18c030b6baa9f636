"""Room 3, the world: admitting questions in PostgreSQL.

May import: standard library, chatcore, asyncpg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from chatcore import (
    Admission,
    IdempotencyKeyReused,
    MessageSuperseded,
    NewTurn,
    OnBusy,
    SessionBusy,
    SessionId,
    SessionNotFound,
    StorageUnavailable,
    TurnId,
    TurnStatus,
)

from . import admit_statements as sql
from . import replace_statements as room_sql
from . import rows, said_rows, values
from .database import Database
from .ending import stop_running
from .lookups import find_turn, question_of, window_of
from .transaction import Row, Transaction

# How often an admission is tried again because what it collided with is gone by now.
_ADMIT_TRIES = 10


class PostgresAdmissions:
    """Storing a question and starting its turn."""

    _database: Database

    async def admit(self, new: NewTurn) -> Admission:
        """Store a question and start its turn; see the port."""
        may_open, makes_room = new.opens_session, new.replaces is not None
        for _ in range(_ADMIT_TRIES):
            try:
                admission = await (self._make_room(new) if makes_room else self._admit(new))
            except asyncpg.UniqueViolationError:
                # Not inferred from the constraint's name: a repeat in flight breaks several.
                admission = await self._earlier(new)
            except SessionNotFound:
                if not may_open:
                    raise
                # Erased after it had been in the way.
                new, makes_room = replace(new, opens_session=True), False
                continue
            if admission is not None:
                return admission
            if new.on_busy is OnBusy.REJECT:
                await self._require_idle(new)
            if new.opens_session:
                new = replace(new, opens_session=False)  # It is there already.
            elif new.on_busy is OnBusy.SUPERSEDE:
                makes_room = True
        raise StorageUnavailable("the session's turns change too fast")

    async def _admit(self, new: NewTurn) -> Admission:
        """Admit a question, hoping that nothing is in its way."""
        statement = sql.OPEN_SESSION if new.opens_session else sql.CONTINUE_SESSION
        found = await self._database.fetch(statement, values.new_turn_values(new))
        if not found:
            raise await self._not_found(new)
        if new.opens_session:
            return Admission(turn=rows.admitted_turn(new, found[0]))
        return await self._admission(new, found)

    async def _make_room(self, new: NewTurn) -> Admission | None:
        """Admit a question, and in the same commit end or supersede what is in its way.

        Returns:
            The admission; None if an earlier call has admitted it and it was erased since.
        """
        given = values.new_turn_values(new)
        superseded: TurnId | None = None

        async def work(held: Transaction) -> list[Row] | None:
            nonlocal superseded
            if await held.fetch_one(room_sql.LOCK_SESSION, given) is None:
                return []
            if await held.fetch_one(sql.EARLIER_TURN, given) is not None:
                return None
            superseded = await _clear(held, new)
            return await held.fetch(sql.CONTINUE_SESSION, given)

        found = await self._database.transact(work)
        if found is None:
            return await self._earlier(new)
        if not found:
            raise await self._not_found(new)
        return replace(await self._admission(new, found), superseded=superseded)

    async def _admission(self, new: NewTurn, found: Sequence[Row]) -> Admission:
        turn = rows.admitted_turn(new, found[0])
        if _saw_the_present(found):
            return Admission(turn=turn, window=said_rows.window(found))
        given = values.new_turn_values(new) | {"number": turn.number}
        said = await self._database.fetch(sql.REFRESH_WINDOW, given)
        return Admission(turn=turn, window=said_rows.window(said))

    async def _not_found(self, new: NewTurn) -> SessionNotFound:
        # A key that names another question tells more than a session that is gone.
        await self._earlier(new)
        return SessionNotFound(new.session_id)

    async def _earlier(self, new: NewTurn) -> Admission | None:
        """Return the admission that a repeat of a key, or of this very call, stands for."""
        found = await self._database.fetch(sql.EARLIER_TURN, values.new_turn_values(new))
        mine = [row for row in found if row["id"] == new.turn_id]
        if not found:
            return None
        row = (mine or found)[0]
        if bytes(row["fingerprint"]) != new.fingerprint:
            raise IdempotencyKeyReused
        session_id = SessionId(row["session_id"])
        turn = await find_turn(self._database, new.owner_id, session_id, TurnId(row["id"]))
        if turn is None:
            return None
        as_it_stands = rows.in_short(turn)
        if not mine:
            return Admission(turn=as_it_stands, repeated=True)
        numbers = turn.attempts[0].window
        part = await question_of(self._database, new.owner_id, session_id, new.part_id)
        return Admission(
            turn=as_it_stands,
            window=await window_of(self._database, new.owner_id, session_id, numbers),
            superseded=None if part is None else part.turn_id,
        )

    async def _require_idle(self, new: NewTurn) -> None:
        """Raise `SessionBusy` if a turn of the session is still running."""
        running = await self._database.fetch_one(sql.RUNNING_TURN, values.new_turn_values(new))
        if running is not None:
            raise _busy(running)


async def _clear(held: Transaction, new: NewTurn) -> TurnId | None:
    """Stop and supersede what is in a question's way; return what was stopped.

    Raises:
        MessageSuperseded: What is to be replaced does not count any more, or never was.
        SessionBusy: A turn is running, and the caller rejects.
    """
    given = values.new_turn_values(new)
    running = await held.fetch_one(sql.RUNNING_TURN, given)
    if running is not None and new.on_busy is OnBusy.REJECT:
        raise _busy(running)
    replaces = new.replaces is not None
    if replaces and await held.fetch_one(room_sql.TURN_TO_REPLACE, given) is None:
        raise MessageSuperseded
    stopped = None
    if running is not None:
        turn_id = TurnId(running["id"])
        turn = values.turn_values(new.owner_id, new.session_id, turn_id)
        if await stop_running(held, turn | {"reply_id": new.part_id, "now": new.now}):
            stopped = turn_id
    if replaces:
        await held.fetch(room_sql.SUPERSEDE, given)
    return stopped


def _busy(running: Row) -> SessionBusy:
    return SessionBusy(TurnId(running["id"]), is_abandoned=running["is_abandoned"])


def _saw_the_present(found: Sequence[Row]) -> bool:
    """Whether the window was read after the turn before had ended.

    Turns of a session follow one another: if the one before was seen as ended, so was all else.
    """
    row = found[0]
    is_direct: bool = row["prior_number"] == row["last_turn"] - 1
    return is_direct and row["prior_status"] != TurnStatus.RUNNING
