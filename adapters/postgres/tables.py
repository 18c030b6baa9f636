"""Room 3, the world: the tables, and the rules that the database itself keeps.

May import: standard library, sqlalchemy.

Every key holds `owner_id`, so that the tables can be partitioned or distributed by owner, and
begins with what tells most (docs/adr/0016); what belongs to nobody has its own table. The lease has
no index on purpose: renewing it must stay a cheap (HOT) update. Compiling adds the schema's name.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from .columns import IN_FIVE_MINUTES, STAMP, owner, tokens
from .planning import expect_uneven

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(referred_table_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

IS_RUNNING = "status = 'running'"
IS_HISTORY = "status IN ('completed', 'stopped') AND reply_id IS NOT NULL AND superseded_by IS NULL"
"""Which turns go to the model with later questions (guarantee G8)."""

chat_sessions = sa.Table(
    "chat_sessions",
    metadata,
    owner(),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created_at", STAMP, nullable=False),
    sa.Column("updated_at", STAMP, nullable=False),
    # The latest turn's number, and the latest position used or kept free for a running reply.
    sa.Column("last_turn", sa.Integer, nullable=False),
    sa.Column("last_position", sa.Integer, nullable=False),
    sa.Column("metadata", postgresql.JSONB),
    sa.PrimaryKeyConstraint("id", "owner_id"),
    sa.CheckConstraint("char_length(owner_id) BETWEEN 1 AND 128", name="owner"),
    sa.Index("chat_sessions_activity", "owner_id", "updated_at", "id"),
    postgresql_with={"fillfactor": "70"},
)

turns = sa.Table(
    "turns",
    metadata,
    owner(),
    sa.Column("session_id", sa.Uuid, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("lease_expires_at", STAMP),
    # Defaults are for processes of the version before, which do not know such columns.
    sa.Column("deadline", STAMP, nullable=False, server_default=IN_FIVE_MINUTES),
    sa.Column("question_id", sa.Uuid, nullable=False),
    sa.Column("question_position", sa.Integer, nullable=False),
    sa.Column("reply_id", sa.Uuid),
    # The id of the turn that took its place; of this session, but later than this one.
    sa.Column("superseded_by", sa.Uuid),
    sa.Column("model", sa.Text),
    sa.Column("finish_reason", sa.Text),
    sa.Column("error_code", sa.Text),
    tokens("prompt_tokens"),
    tokens("completion_tokens"),
    sa.Column("created_at", STAMP, nullable=False),
    sa.Column("ended_at", STAMP),
    sa.Column("metadata", postgresql.JSONB),
    sa.PrimaryKeyConstraint("session_id", "owner_id", "number"),
    sa.UniqueConstraint("id", "owner_id"),
    sa.ForeignKeyConstraint(
        ["owner_id", "session_id"],
        ["chat_sessions.owner_id", "chat_sessions.id"],
        ondelete="CASCADE",
    ),
    sa.CheckConstraint("number >= 1", name="number"),
    sa.CheckConstraint("status IN ('running', 'completed', 'stopped', 'failed')", name="status"),
    sa.CheckConstraint("attempt BETWEEN 1 AND max_attempts", name="attempt"),
    sa.CheckConstraint("(status = 'running') = (lease_expires_at IS NOT NULL)", name="lease"),
    sa.CheckConstraint("(status = 'running') = (ended_at IS NULL)", name="ended"),
    sa.CheckConstraint("(status = 'failed') = (error_code IS NOT NULL)", name="error"),
    sa.CheckConstraint("status <> 'running' OR reply_id IS NULL", name="early_reply"),
    sa.CheckConstraint("status <> 'completed' OR reply_id IS NOT NULL", name="reply"),
    # G2 and G3: one turn a key, one running turn a session, whatever races.
    sa.Index(
        "turns_idempotency_key",
        "idempotency_key",
        "owner_id",
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    ),
    sa.Index(
        "turns_one_running",
        "session_id",
        "owner_id",
        unique=True,
        postgresql_where=sa.text(IS_RUNNING),
    ),
    sa.Index(
        "turns_history", "session_id", "owner_id", "number", postgresql_where=sa.text(IS_HISTORY)
    ),
    postgresql_with={"fillfactor": "70"},
)

messages = sa.Table(
    "messages",
    metadata,
    owner(),
    sa.Column("session_id", sa.Uuid, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("turn_number", sa.Integer, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("quote", postgresql.JSONB),
    sa.Column("created_at", STAMP, nullable=False),
    # What the caller calls a question; one that takes another's place may have its name.
    sa.Column("client_id", sa.Text),
    sa.PrimaryKeyConstraint("session_id", "owner_id", "position"),
    sa.UniqueConstraint("id", "owner_id"),
    sa.UniqueConstraint("session_id", "owner_id", "turn_number", "role"),
    sa.ForeignKeyConstraint(
        ["owner_id", "session_id", "turn_number"],
        ["turns.owner_id", "turns.session_id", "turns.number"],
        ondelete="CASCADE",
    ),
    sa.CheckConstraint("position >= 1", name="position"),
    sa.CheckConstraint("role IN ('user', 'assistant')", name="role"),
    sa.CheckConstraint("role = 'user' OR quote IS NULL", name="quote"),
    sa.CheckConstraint("content <> ''", name="content"),
    sa.Index(
        "messages_client_id",
        "session_id",
        "owner_id",
        "client_id",
        "position",
        postgresql_where=sa.text("client_id IS NOT NULL"),
    ),
)

attempts = sa.Table(
    "attempts",
    metadata,
    owner(),
    sa.Column("turn_id", sa.Uuid, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    # Numbers of the earlier turns offered for the request: with the messages, the template and
    # whether it streams, enough to rebuild it (G9).
    sa.Column("window_turns", postgresql.ARRAY(sa.Integer), nullable=False),
    # No foreign key: each admission would lock the one row that all name.
    sa.Column("template", sa.Text, nullable=False, server_default=""),
    sa.Column("stream", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("model", sa.Text),
    sa.Column("request_digest", sa.Text),
    sa.Column("error_code", sa.Text),
    tokens("prompt_tokens"),
    tokens("completion_tokens"),
    sa.Column("started_at", STAMP, nullable=False),
    sa.Column("ended_at", STAMP),
    sa.PrimaryKeyConstraint("turn_id", "owner_id", "number"),
    sa.ForeignKeyConstraint(
        ["owner_id", "turn_id"], ["turns.owner_id", "turns.id"], ondelete="CASCADE"
    ),
    sa.CheckConstraint(
        "outcome IN ('pending', 'completed', 'stopped', 'failed', 'abandoned')", name="outcome"
    ),
    sa.CheckConstraint("(outcome = 'pending') = (ended_at IS NULL)", name="ended"),
    postgresql_with={"fillfactor": "70"},
)

reply_journal = sa.Table(
    "reply_journal",
    metadata,
    owner(),
    sa.Column("turn_id", sa.Uuid, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    # In code points of the attempt's reply.
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.PrimaryKeyConstraint("turn_id", "owner_id", "attempt", "start"),
    sa.ForeignKeyConstraint(
        ["owner_id", "turn_id"], ["turns.owner_id", "turns.id"], ondelete="CASCADE"
    ),
    sa.CheckConstraint("start >= 0", name="start"),
    sa.CheckConstraint("text <> ''", name="text"),
    comment="Replies of running turns, as far as they have come; dropped when their turn ends.",
)

request_templates = sa.Table(
    "request_templates",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    comment="What requests to the model are made with besides the conversation. No owner: the "
    "operator's words, few rows, the same for all; where tables are distributed, a reference "
    "table.",
)

erased_sessions = sa.Table(
    "erased_sessions",
    metadata,
    owner(),
    sa.Column("session_id", sa.Uuid, nullable=False),
    sa.Column("erased_at", STAMP, nullable=False),
    sa.Column("turns", sa.Integer, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("session_id", "owner_id"),
    comment="What is left of an erased session: counts and cost, no content.",
)

schema_compatibility = sa.Table(
    "schema_compatibility",
    metadata,
    sa.Column("revision", sa.Text, primary_key=True),
    comment="Revisions whose code may work on these tables, besides the tables' own.",
)

message_feedback = sa.Table(
    "message_feedback",
    metadata,
    owner(),
    sa.Column("message_id", sa.Uuid, nullable=False),
    sa.Column("rating", sa.Text, nullable=False),
    sa.Column("comment", sa.Text),
    sa.Column("updated_at", STAMP, nullable=False),
    sa.PrimaryKeyConstraint("message_id", "owner_id"),
    sa.ForeignKeyConstraint(
        ["owner_id", "message_id"], ["messages.owner_id", "messages.id"], ondelete="CASCADE"
    ),
    sa.CheckConstraint("rating IN ('up', 'down')", name="rating"),
)

for _table in (chat_sessions, attempts, reply_journal, message_feedback):
    expect_uneven(_table, "owner_id")
for _table in (turns, messages):
    expect_uneven(_table, "owner_id", "session_id")
