"""Room 3, the world: a SQLAlchemy Core statement in the words of the driver.

May import: standard library, sqlalchemy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import dialect


class Statement:
    """A Core statement, compiled for one schema."""

    __slots__ = ("_constants", "_names", "sql")

    def __init__(self, statement: sa.ClauseElement, schema: str) -> None:
        compiled = statement.compile(
            dialect=dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            schema_translate_map={None: schema},
            render_schema_translate=True,
        )
        self.sql = str(compiled)
        self._names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        self._constants = {k: v for k, v in compiled.params.items() if v is not None}

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """Return the values in the order of the statement's parameters."""
        constants = self._constants
        return [values[name] if name in values else constants[name] for name in self._names]
