"""Beside room 3: sessions, turns with their attempts, messages, tombstones.

May import: standard library, alembic, sqlalchemy.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chat_sessions",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_turn", sa.Integer(), nullable=False),
        sa.Column("last_position", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "char_length(owner_id) BETWEEN 1 AND 128", name=op.f("chat_sessions_owner_check")
        ),
        sa.PrimaryKeyConstraint("owner_id", "id", name=op.f("chat_sessions_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "chat_sessions_activity", "chat_sessions", ["owner_id", "updated_at", "id"], unique=False
    )
    op.create_table(
        "erased_sessions",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "session_id", name=op.f("erased_sessions_pkey")),
        comment="What is left of an erased session: counts and cost, no content.",
    )
    op.create_table(
        "turns",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("question_id", sa.Uuid(), nullable=False),
        sa.Column("question_position", sa.Integer(), nullable=False),
        sa.Column("reply_id", sa.Uuid(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'failed') = (error_code IS NOT NULL)", name=op.f("turns_error_check")
        ),
        sa.CheckConstraint(
            "(status = 'running') = (ended_at IS NULL)", name=op.f("turns_ended_check")
        ),
        sa.CheckConstraint(
            "(status = 'running') = (lease_expires_at IS NOT NULL)", name=op.f("turns_lease_check")
        ),
        sa.CheckConstraint(
            "status <> 'completed' OR reply_id IS NOT NULL", name=op.f("turns_reply_check")
        ),
        sa.CheckConstraint(
            "status <> 'running' OR reply_id IS NULL", name=op.f("turns_early_reply_check")
        ),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'stopped', 'failed')",
            name=op.f("turns_status_check"),
        ),
        sa.CheckConstraint("attempt BETWEEN 1 AND max_attempts", name=op.f("turns_attempt_check")),
        sa.CheckConstraint("number >= 1", name=op.f("turns_number_check")),
        sa.ForeignKeyConstraint(
            ["owner_id", "session_id"],
            ["chat_sessions.owner_id", "chat_sessions.id"],
            name=op.f("turns_chat_sessions_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("owner_id", "session_id", "number", name=op.f("turns_pkey")),
        sa.UniqueConstraint("owner_id", "id", name=op.f("turns_owner_id_id_key")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index(
        "turns_history",
        "turns",
        ["owner_id", "session_id", "number"],
        unique=False,
        postgresql_where=sa.text("status IN ('completed', 'stopped') AND reply_id IS NOT NULL"),
    )
    op.create_index(
        "turns_idempotency_key",
        "turns",
        ["owner_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index(
        "turns_one_running",
        "turns",
        ["owner_id", "session_id"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "attempts",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("turn_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("window_turns", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(outcome = 'pending') = (ended_at IS NULL)", name=op.f("attempts_ended_check")
        ),
        sa.CheckConstraint(
            "outcome IN ('pending', 'completed', 'stopped', 'failed', 'abandoned')",
            name=op.f("attempts_outcome_check"),
        ),
        sa.ForeignKeyConstraint(
            ["owner_id", "turn_id"],
            ["turns.owner_id", "turns.id"],
            name=op.f("attempts_turns_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("owner_id", "turn_id", "number", name=op.f("attempts_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "messages",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("turn_number", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("quote", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("content <> ''", name=op.f("messages_content_check")),
        sa.CheckConstraint("role = 'user' OR quote IS NULL", name=op.f("messages_quote_check")),
        sa.CheckConstraint("role IN ('user', 'assistant')", name=op.f("messages_role_check")),
        sa.CheckConstraint("position >= 1", name=op.f("messages_position_check")),
        sa.ForeignKeyConstraint(
            ["owner_id", "session_id", "turn_number"],
            ["turns.owner_id", "turns.session_id", "turns.number"],
            name=op.f("messages_turns_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("owner_id", "session_id", "position", name=op.f("messages_pkey")),
        sa.UniqueConstraint("owner_id", "id", name=op.f("messages_owner_id_id_key")),
        sa.UniqueConstraint(
            "owner_id",
            "session_id",
            "turn_number",
            "role",
            name=op.f("messages_owner_id_session_id_turn_number_role_key"),
        ),
    )


def downgrade() -> None:
    for table in ("messages", "attempts", "turns", "erased_sessions", "chat_sessions"):
        op.drop_table(table)
