"""Room 3, the world: both halves of ending a turn from outside, within a transaction.

May import: standard library.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import stop_statements as sql
from .transaction import Transaction


async def stop_running(held: Transaction, turn: Mapping[str, object]) -> bool:
    """End a turn as stopped and keep its part; tell whether it was running.

    Args:
        held: The transaction.
        turn: Owner, session and turn, `reply_id` and `now`.
    """
    given = {**turn, "error_code": None, "outcome": "stopped"}
    ended = await held.fetch_one(sql.STOP, given)
    if ended is not None:
        await held.fetch(sql.KEEP_PART, given | dict(ended))
    return ended is not None


async def give_up_abandoned(held: Transaction, turn: Mapping[str, object]) -> bool:
    """End a turn as failed and keep its part; tell whether it was abandoned.

    Args:
        held: The transaction.
        turn: The turn as its last attempt held it, `reply_id`, `error_code` and `now`.
    """
    given = {**turn, "outcome": "abandoned"}
    ended = await held.fetch_one(sql.GIVE_UP, given)
    if ended is not None:
        await held.fetch(sql.KEEP_PART, given | dict(ended))
    return ended is not None
