"""Room 3, the world: several statements as one transaction.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa

from .connection import TROUBLE
from .statement import Statement

Row = Mapping[str, Any]
_T = TypeVar("_T")

CANCEL_SECONDS = 0.5
"""Longest wait for the server to confirm that something was ended before its time."""
_LEAST_SECONDS = 0.05
# Who stands still in the middle of a transaction must not hold its locks for long: everybody's
# leases are renewed in one statement, which would wait for them.
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '2s'"
)


class Transaction:
    """An open transaction. Each statement sees all that is committed when it begins."""

    def __init__(
        self,
        compiled: Callable[[sa.ClauseElement], Statement],
        connection: Any,
        give_up_at: float,
    ) -> None:
        self._compiled = compiled
        self._connection = connection
        self._give_up_at = give_up_at

    async def run(self, work: Callable[[Transaction], Awaitable[_T]]) -> _T:
        """Begin, do the work, and commit; whatever is raised, roll back."""
        try:
            await self._execute(_BEGIN)
            result = await work(self)
            await self._execute("COMMIT")
        except BaseException:
            await self._roll_back()
            raise
        return result

    async def fetch(self, statement: sa.ClauseElement, values: Mapping[str, object]) -> list[Row]:
        """Run one statement and return all its rows."""
        prepared = self._compiled(statement)
        arguments = prepared.arguments(values)
        left = seconds_left(self._give_up_at)
        rows: list[Row] = await self._connection.fetch(prepared.sql, *arguments, timeout=left)
        return rows

    async def fetch_one(
        self, statement: sa.ClauseElement, values: Mapping[str, object]
    ) -> Row | None:
        """Run one statement and return its first row, or None if it has none."""
        rows = await self.fetch(statement, values)
        return rows[0] if rows else None

    async def _execute(self, command: str) -> None:
        await self._connection.execute(command, timeout=seconds_left(self._give_up_at))

    async def _roll_back(self) -> None:
        """End a transaction that failed; what cannot be ended soon is closed, never used again."""
        try:
            await self._connection.execute("ROLLBACK", timeout=CANCEL_SECONDS)
        except TROUBLE:
            self._connection.terminate()
        except BaseException:
            self._connection.terminate()
            raise


def seconds_left(give_up_at: float) -> float:
    """Return the seconds until a monotonic time: a few at least, so that a try is one."""
    return max(give_up_at - time.monotonic(), _LEAST_SECONDS)
