"""A pool whose server fails at a statement that was chosen beforehand.

May import: standard library, adapters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from adapters.postgres import Database

_T = TypeVar("_T")
_Run = Callable[[Any, float], Awaitable[_T]]


class FailingDatabase(Database):
    """Counts statements, BEGIN and COMMIT among them, and lets the server raise at one of them.

    A statement that is run again, because its call failed, keeps its number.

    Attributes:
        statements: How many there were, each counted once.
        raised: How often the server raised what was aimed.
        tries: The most tries that one call has needed.
    """

    def __init__(self, dsn: str, *, schema: str, pool_size: int = 1) -> None:
        super().__init__(dsn, schema=schema, pool_size=pool_size)
        self._numbers: dict[_Run[Any], list[int]] = {}
        self._tries: dict[_Run[Any], int] = {}
        self._is_target: Callable[[int, str], bool] = lambda number, sql: False
        self._sqlstate = ""
        self._left = 0
        self.statements = 0
        self.raised = 0

    @property
    def tries(self) -> int:
        """The most tries that one call has needed."""
        return max(self._tries.values())

    def aim(self, target: int | str, sqlstate: str, *, times: int) -> None:
        """Count from 0 again, and fail at one statement, so many times.

        Args:
            target: The number of a statement, from 1; or what a statement contains.
            sqlstate: What the server raises.
            times: How often; each try of a call is one.
        """
        if isinstance(target, int):
            self._is_target = lambda number, _: number == target
        else:
            self._is_target = lambda _, sql: target in sql
        self._sqlstate = sqlstate
        self._left = times
        self.statements = self.raised = 0
        self._numbers.clear()
        self._tries.clear()

    async def _on_a_connection(self, run: _Run[_T], give_up_at: float) -> _T:
        self._tries[run] = self._tries.get(run, 0) + 1
        numbers = self._numbers.setdefault(run, [])

        async def counted(connection: Any, until: float) -> _T:
            return await run(_Counted(connection, self, numbers), until)

        return await super()._on_a_connection(counted, give_up_at)

    async def _before(self, connection: Any, nth: int, numbers: list[int], sql: str) -> None:
        if nth > len(numbers):
            self.statements += 1
            numbers.append(self.statements)
        if self._left and self._is_target(numbers[nth - 1], sql):
            self._left -= 1
            self.raised += 1
            raising = f"RAISE EXCEPTION 'aimed' USING ERRCODE = '{self._sqlstate}'"
            await connection.execute(f"DO $$ BEGIN {raising}; END $$")


class _Counted:
    """A connection that asks, before each statement, whether it is to fail."""

    def __init__(self, connection: Any, database: FailingDatabase, numbers: list[int]) -> None:
        self._connection = connection
        self._database = database
        self._numbers = numbers
        self._nth = 0

    async def fetch(self, sql: str, *arguments: object, timeout: float) -> Any:  # noqa: ASYNC109
        """Fail, or do as asked."""
        await self._count(sql)
        return await self._connection.fetch(sql, *arguments, timeout=timeout)

    async def execute(self, sql: str, *, timeout: float) -> Any:  # noqa: ASYNC109
        """Fail, or do as asked; undoing never fails."""
        if sql != "ROLLBACK":
            await self._count(sql)
        return await self._connection.execute(sql, timeout=timeout)

    def terminate(self) -> None:
        """Do as asked."""
        self._connection.terminate()

    async def _count(self, sql: str) -> None:
        self._nth += 1
        await self._database._before(self._connection, self._nth, self._numbers, sql)
