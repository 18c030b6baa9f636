"""Beside room 3: what callers call their questions and note down, and what people think of replies.

May import: standard library, alembic, sqlalchemy.

Reads all messages once to build an index that is empty: a second a gigabyte or so, and the tables
stay locked meanwhile. Tables are locked in the order in which a question locks them, or traffic and
migration would wait for one another.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chat_sessions", sa.Column("metadata", postgresql.JSONB()))
    op.add_column("turns", sa.Column("metadata", postgresql.JSONB()))
    op.add_column("messages", sa.Column("client_id", sa.Text()))
    op.create_index(
        "messages_client_id",
        "messages",
        ["session_id", "owner_id", "client_id", "position"],
        postgresql_where=sa.text("client_id IS NOT NULL"),
    )
    op.create_table(
        "message_feedback",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("rating", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "owner_id", name=op.f("message_feedback_pkey")),
        sa.ForeignKeyConstraint(
            ["owner_id", "message_id"],
            ["messages.owner_id", "messages.id"],
            name=op.f("message_feedback_messages_fkey"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("rating IN ('up', 'down')", name=op.f("message_feedback_rating_check")),
    )
    op.execute("ALTER TABLE message_feedback ALTER owner_id SET (n_distinct = -0.1)")
    _let_serve("0004")


def downgrade() -> None:
    op.drop_column("chat_sessions", "metadata")
    op.drop_column("turns", "metadata")
    op.drop_index("messages_client_id", table_name="messages")
    op.drop_column("messages", "client_id")
    op.drop_table("message_feedback")
    _let_serve("0003")


def _let_serve(revision: str) -> None:
    served = sa.table("schema_compatibility", sa.column("revision", sa.Text))
    op.execute(served.update().values(revision=revision))
