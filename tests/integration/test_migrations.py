"""The migrations make exactly the tables that the code describes, and can be undone.

May import: standard library, adapters, alembic, asyncpg, chatcore, pytest, sqlalchemy.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from adapters.postgres import (
    Database,
    PostgresChatRepository,
    SchemaOutdated,
    migrate,
    require_head,
)
from adapters.postgres.migrate import engine_for, require_schema_name
from adapters.postgres.schema_version import SCRIPTS, head
from adapters.postgres.tables import metadata
from chatcore import OwnerId, SessionId, StorageUnavailable, TurnId
from chatcore.testing.builders import completed, new_turn
from chatcore.testing.steps import take_over

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]
_DESCRIBE = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod) || ' '
       || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
       || coalesce(a.attoptions::text, '')
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped
UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes
 WHERE schemaname = $1::regnamespace::text
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = $1::regnamespace
UNION ALL SELECT 'statistics', stxrelid::regclass::text, stxname, pg_get_statisticsobjdef(oid)
  FROM pg_statistic_ext WHERE stxnamespace = $1::regnamespace
UNION ALL SELECT 'table', relname, relkind::text, coalesce(reloptions::text, '')
       || coalesce(obj_description(oid), '')
  FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'S', 'v')
"""


async def _describe(url: str, schema: str) -> set[tuple[str, ...]]:
    """Return everything the database knows of a schema, without the schema's name."""
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        rows = await connection.fetch(_DESCRIBE, schema)
    finally:
        await connection.close()
    facts = {tuple(str(value).replace(f"{schema}.", "") for value in row) for row in rows}
    return {fact for fact in facts if "alembic_version" not in fact[1] + fact[2]}


async def test_migrated_schema_equals_the_metadata(
    postgres_url: str, schema: str, empty_schema: str
) -> None:
    """Columns, constraints, indexes, options, statistics: all is as the tables' code says."""
    engine = engine_for(postgres_url)
    async with engine.begin() as connection:
        await connection.execute(sa.text(f"CREATE SCHEMA {empty_schema}"))
        await connection.execute(sa.text(f"SET LOCAL search_path TO {empty_schema}"))
        await connection.run_sync(metadata.create_all, checkfirst=False)
    await engine.dispose()
    described = await _describe(postgres_url, empty_schema)
    assert len(described) > 100
    assert {fact[0] for fact in described} == {
        "column",
        "index",
        "constraint",
        "statistics",
        "table",
    }
    assert await _describe(postgres_url, schema) == described


async def test_down_and_up_again(postgres_url: str, empty_schema: str) -> None:
    """Going to base leaves nothing; coming back gives the same tables as before."""
    assert await migrate(postgres_url, schema=empty_schema) == head()
    before = await _describe(postgres_url, empty_schema)
    assert await migrate(postgres_url, schema=empty_schema, revision="base") == ""
    assert await _describe(postgres_url, empty_schema) == set()
    await migrate(postgres_url, schema=empty_schema)
    assert await _describe(postgres_url, empty_schema) == before


async def test_migrating_twice_at_once(postgres_url: str, empty_schema: str) -> None:
    """Processes that start together migrate one after the other; nobody fails."""
    code = (
        "import asyncio; from adapters.postgres import migrate; "
        f"asyncio.run(migrate({postgres_url!r}, schema={empty_schema!r}))"
    )
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT) for _ in range(3)
    ]
    here = [migrate(postgres_url, schema=empty_schema) for _ in range(2)]
    assert set(await asyncio.gather(*here)) == {head()}
    assert [await process.wait() for process in processes] == [0, 0, 0]


async def test_head_is_required(postgres_url: str, empty_schema: str) -> None:
    """A missing or outdated schema is told as such, with both versions."""
    database = Database(postgres_url, schema=empty_schema)
    await database.open()
    try:
        with pytest.raises(SchemaOutdated) as missing:
            await require_head(database)
        assert (missing.value.found, missing.value.expected) == (None, head())
        await migrate(postgres_url, schema=empty_schema)
        await require_head(database)
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(f"UPDATE {empty_schema}.alembic_version SET version_num = '0'")
        await connection.close()
        with pytest.raises(SchemaOutdated, match="version 0, not"):
            await require_head(database)
    finally:
        await database.close()


async def test_newer_tables_say_whose_code_may_serve(postgres_url: str, empty_schema: str) -> None:
    """On tables of the next version this one goes on, if they say so, and only then."""
    await migrate(postgres_url, schema=empty_schema)
    connection = await asyncpg.connect(postgres_url, server_settings={"search_path": empty_schema})
    await connection.execute("UPDATE alembic_version SET version_num = 'next'")
    database = Database(postgres_url, schema=empty_schema)
    await database.open()
    try:
        for look in (require_head(database), migrate(postgres_url, schema=empty_schema)):
            with pytest.raises(SchemaOutdated, match="version next, made for a newer") as refused:
                await look
            assert refused.value.is_newer
        await connection.execute("INSERT INTO schema_compatibility VALUES ($1)", head())
        await require_head(database)
        assert await migrate(postgres_url, schema=empty_schema) == "next"
    finally:
        await database.close()
        await connection.close()


# A question and its answer as every version since 0003 stores them, table after table in the order
# in which all lock them.
_ASK = """
WITH session AS (
  INSERT INTO chat_sessions (owner_id, id, title, created_at, updated_at, last_turn, last_position)
  VALUES ('anna', $1, 'Servos', now(), now(), 1, 2)
), turn AS (
  INSERT INTO turns (owner_id, session_id, number, id, fingerprint, status, attempt, max_attempts,
                     lease_expires_at, question_id, question_position, created_at)
  VALUES ('anna', $1, 1, $1, '', 'running', 1, 2, now(), $1, 1, now())
), question AS (
  INSERT INTO messages (owner_id, session_id, position, id, turn_number, role, content, created_at)
  VALUES ('anna', $1, 1, $1, 1, 'user', 'What is a servo?', now())
), attempt AS (
  INSERT INTO attempts (owner_id, turn_id, number, outcome, window_turns, started_at)
  VALUES ('anna', $1, 1, 'pending', '{}', now())
) SELECT
"""
_WRITE = """
WITH turn AS (
  UPDATE turns SET lease_expires_at = now()
   WHERE owner_id = 'anna' AND session_id = $1 AND number = 1
), piece AS (
  INSERT INTO reply_journal VALUES ('anna', $1, 1, 0, 'A mo')
) SELECT
"""
_ANSWER = """
WITH turn AS (
  UPDATE turns SET status = 'completed', lease_expires_at = NULL, ended_at = now(), reply_id = $2
   WHERE owner_id = 'anna' AND session_id = $1 AND number = 1
), reply AS (
  INSERT INTO messages (owner_id, session_id, position, id, turn_number, role, content, created_at)
  VALUES ('anna', $1, 2, $2, 1, 'assistant', 'A motor.', now())
), journal AS (
  DELETE FROM reply_journal WHERE owner_id = 'anna' AND turn_id = $1
) SELECT
"""


async def test_migrating_among_traffic(postgres_url: str, empty_schema: str) -> None:
    """People chat on while columns come and go and keys are rebuilt: nobody fails or is stuck.

    The migration is what gives way where both wait for one another's locks.
    """
    await migrate(postgres_url, schema=empty_schema)
    is_over = asyncio.Event()
    chatted = 0

    async def chat() -> None:
        nonlocal chatted
        connection = await asyncpg.connect(
            postgres_url, server_settings={"search_path": empty_schema}
        )
        try:
            while not is_over.is_set():
                turn = uuid4()
                await connection.execute(_ASK, turn)
                await connection.execute(_WRITE, turn)
                await connection.execute(_ANSWER, turn, uuid4())
                chatted += 1
                await asyncio.sleep(0.02)  # Reading takes time, too.
        finally:
            connection.terminate()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(chat())
        for revision in ("-1", "-1", "head") * 3:
            await migrate(postgres_url, schema=empty_schema, revision=revision)
        is_over.set()
    connection = await asyncpg.connect(postgres_url)
    stored = await connection.fetchval(f"SELECT count(*) FROM {empty_schema}.messages")
    await connection.close()
    assert chatted > 8
    assert stored == 2 * chatted


async def test_migration_waits_for_no_lock_long(postgres_url: str, empty_schema: str) -> None:
    """While one transaction holds a table, the migration steps aside, and comes back."""
    await migrate(postgres_url, schema=empty_schema)
    holder = await asyncpg.connect(postgres_url)
    reader = await asyncpg.connect(postgres_url)
    lock = f"LOCK TABLE {empty_schema}.turns IN ROW EXCLUSIVE MODE"
    try:
        async with holder.transaction():
            await holder.execute(lock)
            migrating = asyncio.create_task(
                migrate(postgres_url, schema=empty_schema, revision="-1")
            )
            await asyncio.sleep(1)
            assert not migrating.done()
            # Who comes after is let through once the migration gives up its place in the queue.
            await reader.execute(f"SELECT FROM {empty_schema}.turns", timeout=1.5)
        assert await migrating == f"{int(head()) - 1:04d}"
    finally:
        await holder.close()
        await reader.close()


async def test_newest_migration_lets_the_one_before_serve(
    postgres_url: str, empty_schema: str
) -> None:
    """A migrated schema names the version before; a migration that cannot has to say so here."""
    await migrate(postgres_url, schema=empty_schema)
    connection = await asyncpg.connect(postgres_url)
    rows = await connection.fetch(f"SELECT revision FROM {empty_schema}.schema_compatibility")
    await connection.close()
    assert [row["revision"] for row in rows] == [f"{int(head()) - 1:04d}"]


async def test_unreachable_database_is_told() -> None:
    """Migrating where nobody listens says so, and never shows the password."""
    with pytest.raises(StorageUnavailable) as refused:
        await migrate("postgresql://me:secret@127.0.0.1:1/nowhere")
    assert "127.0.0.1:1/nowhere" in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_migrating_without_rights_tells_what_is_missing(
    postgres_url: str, empty_schema: str
) -> None:
    """A role that may not make the schema, or tables in it, is told the right and the object."""
    role = f"poor_{empty_schema}"
    url = postgres_url.replace("//postgres", f"//{role}")
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f"CREATE ROLE {role} LOGIN")
    try:
        with pytest.raises(StorageUnavailable) as refused:
            await migrate(url, schema=empty_schema)
        told = "the migration failed: permission denied for database postgres: "
        assert str(refused.value).startswith(told)
        assert "CREATE" in str(refused.value)
        assert "\n" not in str(refused.value)
        await admin.execute(f"GRANT CREATE ON DATABASE postgres TO {role}")
        await admin.execute(f"CREATE SCHEMA {empty_schema}")
        with pytest.raises(StorageUnavailable, match="needs USAGE and CREATE on it"):
            await migrate(url, schema=empty_schema)
        await admin.execute(f"GRANT USAGE ON SCHEMA {empty_schema} TO {role}")
        with pytest.raises(StorageUnavailable, match=f"denied for schema {empty_schema}: .*CREATE"):
            await migrate(url, schema=empty_schema)
    finally:
        await admin.execute(f"DROP OWNED BY {role}")
        await admin.execute(f"DROP ROLE {role}")
        await admin.close()


_WITH_ROWS = """
INSERT INTO chat_sessions VALUES ('anna', {s}, 'Servos', {t}, {t}, 2, 4);
INSERT INTO turns (owner_id, session_id, number, id, fingerprint, status, attempt, max_attempts,
                   lease_expires_at, question_id, question_position, reply_id, created_at, ended_at)
VALUES ('anna', {s}, 1, {e}, '', 'completed', 1, 2, NULL, {e}, 1, {e}, {t}, {t}),
       ('anna', {s}, 2, {r}, '', 'running', 1, 2, {t}, {r}, 3, NULL, {t}, NULL);
INSERT INTO messages (owner_id, session_id, position, id, turn_number, role, content, created_at)
VALUES ('anna', {s}, 1, {s}, 1, 'user', 'What is a servo?', {t}),
       ('anna', {s}, 2, {e}, 1, 'assistant', 'A motor.', {t}),
       ('anna', {s}, 3, {r}, 2, 'user', 'And a stepper?', {t});
INSERT INTO attempts (owner_id, turn_id, number, outcome, window_turns, started_at, ended_at)
VALUES ('anna', {e}, 1, 'completed', '{{}}', {t}, {t}),
       ('anna', {r}, 1, 'pending', '{{1}}', {t}, NULL);
"""


async def test_old_rows_go_on(postgres_url: str, empty_schema: str) -> None:
    """Turns of the first version, ended and running, are as good as new after migrating."""
    await migrate(postgres_url, schema=empty_schema, revision="0001")
    session, ended, running = (uuid4() for _ in range(3))
    asked = datetime.now(UTC) - timedelta(seconds=100)
    connection = await asyncpg.connect(postgres_url, server_settings={"search_path": empty_schema})
    values = {"s": session, "e": ended, "r": running, "t": asked}
    await connection.execute(_WITH_ROWS.format(**{k: f"'{v}'" for k, v in values.items()}))
    await migrate(postgres_url, schema=empty_schema)
    late = await connection.fetchval("SELECT deadline - created_at FROM turns WHERE number = 2")
    await connection.close()
    assert late == timedelta(minutes=5)
    database = Database(postgres_url, schema=empty_schema)
    await database.open()
    repository = PostgresChatRepository(database)
    owner, session_id = OwnerId("anna"), SessionId(session)
    try:
        turn = await repository.turn(owner, session_id, TurnId(ended))
        assert (turn.attempts[0].template, turn.attempts[0].stream) == ("", False)
        assert (turn.superseded_by, turn.reply and turn.reply.content) == (None, "A motor.")
        (found,) = await repository.abandoned(limit=10)
        assert (found.ref.turn_id, found.may_go_on) == (running, True)
        taken = await take_over(repository, found.ref)
        assert [said.content for said in taken.window] == ["What is a servo?", "A motor."]
        assert 150 < taken.seconds_left <= 200
        await repository.finish(taken.ref, completed("It steps."))
        new = new_turn(owner, session_id, replaces=2)
        assert len((await repository.admit(new)).window) == 2
    finally:
        await database.close()


@pytest.mark.parametrize("name", ["", "a-b", 'a"b', "Chat", "1st", "x" * 64, "a b"])
def test_schema_names_need_no_quoting(name: str) -> None:
    """A schema's name that would need quoting is refused."""
    with pytest.raises(ValueError, match="a schema's name"):
        require_schema_name(name)


def test_alembic_command_line(postgres_url: str, empty_schema: str) -> None:
    """`alembic upgrade head`, `check` and `downgrade base` work in the tree."""
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": postgres_url}  # noqa: TID251
    environment["DATABASE_SCHEMA"] = empty_schema
    for arguments in (["upgrade", "head"], ["check"], ["downgrade", "base"]):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert asyncio.run(_describe(postgres_url, empty_schema)) == set()


def test_migrations_are_named_in_order() -> None:
    """Migration files are numbered without a gap and named after what they do; the last is head."""
    assert head() == ScriptDirectory(str(SCRIPTS)).get_current_head()
    files = sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    for number, file in enumerate(files, start=1):
        assert re.fullmatch(rf"{number:04d}_[a-z0-9_]+\.py", file.name)


def test_who_does_not_migrate_does_not_pay_for_it() -> None:
    """What only migrations need is not loaded by a process that serves: 12 MB, a second's start."""
    code = "import sys, app.cli; print(sorted({'alembic', 'sqlalchemy.orm'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
