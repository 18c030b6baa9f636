"""Room 3, the world: what several methods look up.

May import: standard library, chatcore.
"""

from __future__ import annotations

from uuid import UUID

from chatcore import OwnerId, Question, SessionId, Turn, TurnId, WindowMessage

from . import reading_statements as sql
from . import rows, said_rows, values
from .database import Database


async def find_turn(
    database: Database, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
) -> Turn | None:
    """Return a turn with its reply and all its attempts, or None."""
    given = values.turn_values(owner_id, session_id, turn_id)
    row = await database.fetch_one(sql.TURN_BY_ID, given)
    if row is None:
        return None
    return rows.stored_turn(row, await database.fetch(sql.ATTEMPTS_OF_TURN, given))


async def window_of(
    database: Database, owner_id: OwnerId, session_id: SessionId, numbers: tuple[int, ...]
) -> tuple[WindowMessage, ...]:
    """Return the messages of the given turns, oldest first."""
    if not numbers:
        return ()
    given = {"owner_id": owner_id, "session_id": session_id, "numbers": list(numbers)}
    return said_rows.window(await database.fetch(sql.WINDOW_OF_TURNS, given))


async def question_of(
    database: Database, owner_id: OwnerId, session_id: SessionId, message_id: UUID
) -> Question | None:
    """Return the question of the turn that a message belongs to, or None."""
    given = {"owner_id": owner_id, "session_id": session_id, "message_id": message_id}
    row = await database.fetch_one(sql.QUESTION_OF_MESSAGE, given)
    return None if row is None else said_rows.question(row)
