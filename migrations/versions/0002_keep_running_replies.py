"""Beside room 3: journals of running replies, deadlines, superseded turns, request templates.

May import: standard library, alembic, sqlalchemy.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WAS_HISTORY = "status IN ('completed', 'stopped') AND reply_id IS NOT NULL"
_IS_HISTORY = f"{_WAS_HISTORY} AND superseded_by IS NULL"
_UNEVEN = (
    ("chat_sessions", "owner_id"),
    ("turns", "owner_id"),
    ("turns", "session_id"),
    ("messages", "owner_id"),
    ("messages", "session_id"),
    ("attempts", "owner_id"),
    ("reply_journal", "owner_id"),
)


def upgrade() -> None:
    op.add_column("turns", sa.Column("deadline", sa.DateTime(timezone=True), nullable=True))
    # What the deadline was by default when these turns were admitted.
    op.execute("UPDATE turns SET deadline = created_at + interval '300 seconds'")
    op.alter_column("turns", "deadline", nullable=False)
    op.add_column("turns", sa.Column("superseded_by", sa.Uuid(), nullable=True))
    op.drop_index("turns_history", table_name="turns")
    _create_history_index(_IS_HISTORY)
    # What these attempts were made with was not kept; an empty digest says so.
    op.add_column("attempts", sa.Column("template", sa.Text(), nullable=False, server_default=""))
    op.alter_column("attempts", "template", server_default=None)
    op.add_column(
        "attempts", sa.Column("stream", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.alter_column("attempts", "stream", server_default=None)
    op.create_table(
        "reply_journal",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("turn_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint("start >= 0", name=op.f("reply_journal_start_check")),
        sa.CheckConstraint("text <> ''", name=op.f("reply_journal_text_check")),
        sa.ForeignKeyConstraint(
            ["owner_id", "turn_id"],
            ["turns.owner_id", "turns.id"],
            name=op.f("reply_journal_turns_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "owner_id", "turn_id", "attempt", "start", name=op.f("reply_journal_pkey")
        ),
        comment="Replies of running turns, as far as they have come; dropped when their turn ends.",
    )
    op.create_table(
        "request_templates",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("request_templates_pkey")),
        comment="What requests to the model are made with besides the conversation. No owner: the "
        "operator's words, few rows, the same for all; where tables are distributed, a reference "
        "table.",
    )
    _expect_large_owners()


def downgrade() -> None:
    op.drop_table("request_templates")
    op.drop_table("reply_journal")
    op.execute("DROP STATISTICS messages_sessions, turns_sessions")
    for table, column in _UNEVEN[:-1]:
        op.execute(f"ALTER TABLE {table} ALTER {column} RESET (n_distinct)")
    op.drop_column("attempts", "stream")
    op.drop_column("attempts", "template")
    op.drop_index("turns_history", table_name="turns")
    _create_history_index(_WAS_HISTORY)
    op.drop_column("turns", "superseded_by")
    op.drop_column("turns", "deadline")


def _create_history_index(predicate: str) -> None:
    op.create_index(
        "turns_history",
        "turns",
        ["owner_id", "session_id", "number"],
        unique=False,
        postgresql_where=sa.text(predicate),
    )


def _expect_large_owners() -> None:
    # Why: see adapters/postgres/tables.py.
    for table, column in _UNEVEN:
        op.execute(f"ALTER TABLE {table} ALTER {column} SET (n_distinct = -0.1)")
    for table in ("turns", "messages"):
        create = f"CREATE STATISTICS {table}_sessions (dependencies)"
        op.execute(f"{create} ON owner_id, session_id FROM {table}")
    # Never for empty tables: of those the server knows better than to plan as if they stayed so.
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM turns)")):
        op.execute("ANALYZE chat_sessions, turns, messages, attempts")
