"""Beside room 3: the order of the columns in keys and indexes.

May import: standard library, alembic, sqlalchemy.

Rebuilds the keys of all tables, which are locked meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Table, the columns of its primary key as they were; the second goes before the first.
_KEYS = (
    ("chat_sessions", ("owner_id", "id")),
    ("turns", ("owner_id", "session_id", "number")),
    ("messages", ("owner_id", "session_id", "position")),
    ("attempts", ("owner_id", "turn_id", "number")),
    ("reply_journal", ("owner_id", "turn_id", "attempt", "start")),
    ("erased_sessions", ("owner_id", "session_id")),
)
_UNIQUE = (
    ("turns", ("owner_id", "id")),
    ("messages", ("owner_id", "id")),
    ("messages", ("owner_id", "session_id", "turn_number", "role")),
)
# Name, its columns as they were, whether unique, for which rows.
_INDEXES = (
    (
        "turns_idempotency_key",
        ("owner_id", "idempotency_key"),
        True,
        "idempotency_key IS NOT NULL",
    ),
    ("turns_one_running", ("owner_id", "session_id"), True, "status = 'running'"),
    (
        "turns_history",
        ("owner_id", "session_id", "number"),
        False,
        "status IN ('completed', 'stopped') AND reply_id IS NOT NULL AND superseded_by IS NULL",
    ),
)
# Name, table, its columns, the table referred to, its columns.
_REFERENCES = (
    (
        "turns_chat_sessions_fkey",
        ("turns", ("owner_id", "session_id")),
        ("chat_sessions", ("owner_id", "id")),
    ),
    (
        "messages_turns_fkey",
        ("messages", ("owner_id", "session_id", "turn_number")),
        ("turns", ("owner_id", "session_id", "number")),
    ),
    ("attempts_turns_fkey", ("attempts", ("owner_id", "turn_id")), ("turns", ("owner_id", "id"))),
    (
        "reply_journal_turns_fkey",
        ("reply_journal", ("owner_id", "turn_id")),
        ("turns", ("owner_id", "id")),
    ),
)
_Order = Callable[[tuple[str, ...]], list[str]]


def upgrade() -> None:
    _rebuild(before=list, after=_what_tells_most_first)
    _let_serve("0003")


def downgrade() -> None:
    _rebuild(before=_what_tells_most_first, after=list)
    _let_serve("0002")


def _what_tells_most_first(columns: tuple[str, ...]) -> list[str]:
    first, second, *rest = columns
    return [second, first, *rest]


def _rebuild(*, before: _Order, after: _Order) -> None:
    for name, (table, _), _ in _REFERENCES:
        op.drop_constraint(name, table, type_="foreignkey")
    for table, columns in _KEYS:
        op.drop_constraint(f"{table}_pkey", table, type_="primary")
        op.create_primary_key(f"{table}_pkey", table, after(columns))
    for table, columns in _UNIQUE:
        op.drop_constraint(_key_name(table, before(columns)), table, type_="unique")
        op.create_unique_constraint(_key_name(table, after(columns)), table, after(columns))
    for name, columns, unique, rows in _INDEXES:
        op.drop_index(name, table_name="turns")
        op.create_index(
            name, "turns", after(columns), unique=unique, postgresql_where=sa.text(rows)
        )
    for name, (table, columns), (other, others) in _REFERENCES:
        op.create_foreign_key(name, table, other, list(columns), list(others), ondelete="CASCADE")


def _key_name(table: str, columns: list[str]) -> str:
    return f"{table}_{'_'.join(columns)}_key"


def _let_serve(revision: str) -> None:
    served = sa.table("schema_compatibility", sa.column("revision", sa.Text))
    op.execute(served.update().values(revision=revision))
