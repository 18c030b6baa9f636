"""Beside room 3: what Alembic runs for every command.

May import: standard library, alembic, sqlalchemy, adapters, app.

Called by `migrate()` with an open connection (also where this folder is part of the installed
package), or by Alembic's own command line in the project's tree.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alembic import context
from sqlalchemy import Connection, inspect, text

if TYPE_CHECKING:
    from sqlalchemy import MetaData

# Any number will do, as long as it is always the same: two processes do not migrate at once.
_LOCK = 7_202_611_230


def run(connection: Connection, schema: str, metadata: MetaData) -> None:
    """Run the command in one transaction: all of it or nothing."""
    # Unqualified names, in the migrations and in the tables' metadata, mean our own schema.
    connection.dialect.default_schema_name = schema
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        # Looked up first: IF NOT EXISTS would ask for the right to create even if it exists.
        if not inspect(connection).has_schema(schema):
            connection.execute(text(f'CREATE SCHEMA "{schema}"'))
        connection.execute(text(f'SET LOCAL search_path TO "{schema}"'))
        # Whoever waits for a lock holds up all who come after: well below what a request waits for
        # a connection. `migrate` tries again.
        connection.execute(text("SET LOCAL lock_timeout = '500ms'"))
        context.run_migrations()


async def run_from_command_line() -> None:
    """Connect as the arguments or the settings say, then run."""
    from adapters.postgres.migrate import engine_for, require_schema_name
    from adapters.postgres.tables import metadata
    from app.settings import Settings

    given = context.get_x_argument(as_dictionary=True)
    settings = Settings.load()
    url = given.get("url") or (settings.database_url and settings.database_url.reveal())
    if not url:
        raise SystemExit(
            "alembic: set DATABASE_URL or pass -x url=postgresql://…; "
            "for the embedded database use: python -m app migrate"
        )
    schema = require_schema_name(given.get("schema") or settings.database_schema)
    engine = engine_for(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run, schema, metadata)
            await connection.commit()
    finally:
        await engine.dispose()


_given = context.config.attributes
if context.is_offline_mode():
    raise SystemExit("alembic: offline mode (--sql) is not supported")
if "connection" in _given:
    run(_given["connection"], _given["schema"], _given["metadata"])
else:
    asyncio.run(run_from_command_line())
