"""Beside room 3: defaults for the version before, and a word on which versions may serve.

May import: standard library, alembic, sqlalchemy.

From here on a migration only adds what the code of the version before can ignore; what nobody uses
any more goes one version later. Each migration says whose code may work on its tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW_COLUMNS = (
    ("turns", "deadline", sa.text("now() + interval '300 seconds'")),
    ("attempts", "template", ""),
    ("attempts", "stream", sa.false()),
)


def upgrade() -> None:
    for table, column, default in _NEW_COLUMNS:
        op.alter_column(table, column, server_default=default)
    compatibility = op.create_table(
        "schema_compatibility",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("schema_compatibility_pkey")),
        comment="Revisions whose code may work on these tables, besides the tables' own.",
    )
    op.bulk_insert(compatibility, [{"revision": "0002"}])


def downgrade() -> None:
    op.drop_table("schema_compatibility")
    for table, column, _ in _NEW_COLUMNS:
        op.alter_column(table, column, server_default=None)
