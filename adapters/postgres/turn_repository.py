"""Room 3, the world: turns in PostgreSQL.

May import: standard library, chatcore.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from chatcore import (
    MessageId,
    MessageNotFound,
    OwnerId,
    Question,
    RequestTemplate,
    SessionId,
    StorageUnavailable,
    Turn,
    TurnEnd,
    TurnId,
    TurnLost,
    TurnNotFound,
    TurnRef,
    TurnRepository,
    WindowMessage,
)

from . import reading_statements as read_sql
from . import rows, said_rows, values
from . import turn_statements as sql
from .admission import PostgresAdmissions
from .ending import stop_running
from .lookups import find_turn, question_of, window_of
from .transaction import Transaction

# How often an end is tried again because its turn's text was being stored at that moment.
_FINISH_TRIES = 20


class PostgresTurns(PostgresAdmissions, TurnRepository):
    """The part of the repository that is about turns."""

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
        given = values.ref_values(ref) | {
            "error_code": error_code,
            "request_digest": request_digest,
            "template": template,
            "stream": stream,
            "now": now,
        }
        following = replace(ref, attempt=ref.attempt + 1)
        if await self._database.fetch_one(sql.NEXT_ATTEMPT, given) is not None:
            return following
        turn = await self._find(ref.owner_id, ref.session_id, ref.turn_id)
        # It may have been this very call, tried before, whose answer was lost.
        if turn is None or turn.status.is_terminal or turn.attempt != following.attempt:
            raise TurnLost(ref.turn_id)
        if turn.attempts[-1].started_at != now:
            raise TurnLost(ref.turn_id)
        return following

    async def finish(self, ref: TurnRef, end: TurnEnd) -> Turn:
        """End a running turn for good; see the port."""
        statement = sql.FINISH_WITH_REPLY if end.text else sql.FINISH_WITHOUT_REPLY
        given = values.ref_values(ref) | values.end_values(end)
        for _ in range(_FINISH_TRIES):
            row = await self._database.fetch_one(statement, given)
            if row is not None:
                return rows.ended_turn(ref, end, row)
            turn = await self._find(ref.owner_id, ref.session_id, ref.turn_id)
            if turn is None or turn.attempt != ref.attempt:
                raise TurnLost(ref.turn_id)
            if turn.status.is_terminal:
                # It may have been this very call, tried before, whose answer was lost.
                if not _was_ended_by(turn, end):
                    raise TurnLost(ref.turn_id)
                return rows.in_short(turn)
        raise StorageUnavailable("the turn changes too fast")

    async def stop(
        self,
        owner_id: OwnerId,
        session_id: SessionId,
        turn_id: TurnId,
        *,
        reply_id: MessageId,
        now: datetime,
    ) -> Turn:
        """End a running turn as stopped and keep what came of it; see the port."""
        given = values.turn_values(owner_id, session_id, turn_id)
        given |= {"reply_id": reply_id, "now": now}

        async def work(held: Transaction) -> None:
            await stop_running(held, given)

        await self._database.transact(work)
        return rows.in_short(await self.turn(owner_id, session_id, turn_id))

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
        return await window_of(self._database, owner_id, session_id, numbers)

    async def question(
        self, owner_id: OwnerId, session_id: SessionId, message_id: MessageId
    ) -> Question:
        """Return the question of the turn that a message belongs to."""
        question = await question_of(self._database, owner_id, session_id, message_id)
        if question is None:
            raise MessageNotFound(message_id)
        return question

    async def question_named(
        self, owner_id: OwnerId, session_id: SessionId, client_id: str
    ) -> Question:
        """Return the latest question that the caller calls so."""
        given = {"owner_id": owner_id, "session_id": session_id, "client_id": client_id}
        row = await self._database.fetch_one(read_sql.QUESTION_NAMED, given)
        if row is None:
            raise MessageNotFound
        return said_rows.question(row)

    async def question_after(
        self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
    ) -> Question | None:
        """Return the question of the first turn after this one that still counts."""
        given = values.turn_values(owner_id, session_id, turn_id)
        row = await self._database.fetch_one(read_sql.QUESTION_AFTER, given)
        return None if row is None else said_rows.question(row)

    async def keep_template(self, template: RequestTemplate) -> None:
        """Keep what requests are made with, under its digest."""
        given = {"template": template.digest, "body": template.to_json()}
        await self._database.fetch(read_sql.KEEP_TEMPLATE, given)

    async def template(self, digest: str) -> RequestTemplate | None:
        """Return what was kept under this digest, or None."""
        row = await self._database.fetch_one(read_sql.TEMPLATE_BY_DIGEST, {"template": digest})
        return None if row is None else RequestTemplate.from_json(row["body"])

    async def locate(self, turn_id: TurnId) -> list[tuple[OwnerId, SessionId]]:
        """Return the owners and sessions that have a turn with this id: for the operator alone.

        Reads all turns. More than one only if owners brought ids of their own making.
        """
        found = await self._database.fetch(read_sql.SESSIONS_OF_TURN, {"turn_id": turn_id})
        return [(OwnerId(row["owner_id"]), SessionId(row["session_id"])) for row in found]

    async def _find(self, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId) -> Turn | None:
        return await find_turn(self._database, owner_id, session_id, turn_id)


def _was_ended_by(turn: Turn, end: TurnEnd) -> bool:
    same_reply = turn.reply.id == end.reply_id if turn.reply else not end.text
    return same_reply and turn.status is end.status and turn.ended_at == end.now
