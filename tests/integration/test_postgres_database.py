"""Connection strings, the pool, and what is told when the database does not answer.

May import: standard library, adapters, asyncpg, chatcore, pytest, sqlalchemy.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from adapters.embedded import EmbeddedPostgres
from adapters.postgres import Database, PostgresChatRepository, migrate
from adapters.postgres.connection import clean_dsn, describe_dsn
from chatcore import StorageUnavailable
from chatcore.testing.builders import an_owner, have_turn

NEON = (
    "postgresql://me:s3cret@ep-calm-sea-123.eu-central-1.aws.neon.tech/neondb"
    "?sslmode=require&channel_binding=require"
)
_ONE: sa.Select[int] = sa.select(sa.literal_column("1").label("one"))


@pytest.mark.parametrize(
    ("pasted", "cleaned"),
    [
        (NEON, NEON.replace("&channel_binding=require", "")),
        (f" {NEON}\n", NEON.replace("&channel_binding=require", "")),
        ("postgres://h/db", "postgresql://h/db"),
        ("postgresql+asyncpg://u:p%40ss@h:6543/db", "postgresql://u:p%40ss@h:6543/db"),
        ("postgresql://h/db?connect_timeout=10&keepalives=1", "postgresql://h/db"),
        ("postgresql://h/db?application_name=x", "postgresql://h/db?application_name=x"),
        ("postgresql://u@/db?host=/run/pg", "postgresql://u@/db?host=%2Frun%2Fpg"),
    ],
)
def test_pasted_connection_strings_work(pasted: str, cleaned: str) -> None:
    """A connection string works as a provider prints it."""
    assert clean_dsn(pasted) == cleaned


@pytest.mark.parametrize("wrong", ["", "mysql://h/db", "h/db", "postgresql://h:port/db"])
def test_wrong_connection_strings_are_refused(wrong: str) -> None:
    """What is no PostgreSQL URL is refused with the reason."""
    with pytest.raises(ValueError, match=r"is not a PostgreSQL URL|has a port"):
        clean_dsn(wrong)


def test_descriptions_hold_no_secret() -> None:
    """Where a string points is told without user and password, also in a repr."""
    assert describe_dsn(NEON) == "ep-calm-sea-123.eu-central-1.aws.neon.tech/neondb"
    assert describe_dsn("postgresql://u:p@/db?host=/run/pg") == "/run/pg/db"
    assert "s3cret" not in repr(Database(NEON))


@pytest.mark.postgres
async def test_libpq_only_options_connect(postgres_url: str) -> None:
    """The options that asyncpg does not know are taken out before they reach the server."""
    database = Database(f"{postgres_url}&sslmode=prefer&channel_binding=prefer")
    await database.open()
    assert (await database.fetch(_ONE, {}))[0]["one"] == 1
    await database.close()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda url: url.replace("/postgres?", "/no_such_database?"), "does not exist"),
        (lambda url: url.replace("//postgres", "//nobody_here"), "does not exist"),
        (lambda _: "postgresql://u:secret@127.0.0.1:1/db", "127.0.0.1:1/db"),
        (lambda _: "postgresql://u:secret@no-such-host.invalid/db", "no-such-host.invalid/db"),
        (lambda _: "postgresql://u:secret@127.0.0.1:1/db?sslmode=bogus", "sslmode"),
    ],
)
async def test_open_tells_what_is_wrong(postgres_url: str, change: object, told: str) -> None:
    """A database that cannot be used is told in one line, without the password."""
    assert callable(change)
    with pytest.raises(StorageUnavailable) as refused:
        await Database(change(postgres_url)).open()
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.postgres
async def test_closed_database_is_unavailable(postgres_url: str) -> None:
    """A statement after closing is told as storage that does not answer."""
    database = Database(postgres_url)
    with pytest.raises(StorageUnavailable):
        await database.fetch(_ONE, {})
    await database.open()
    await database.close()
    await database.close()
    with pytest.raises(StorageUnavailable):
        await database.fetch(_ONE, {})


@pytest.mark.postgres
async def test_pool_is_never_exceeded(postgres_url: str) -> None:
    """However many ask at once, no more connections than the pool's size are opened."""
    database = Database(f"{postgres_url}&application_name=pool_size_test", pool_size=2)
    await database.open()
    slow = sa.select(sa.func.pg_sleep(0.05))
    asking = asyncio.gather(*[database.fetch(slow, {}) for _ in range(40)])
    watcher = await asyncpg.connect(postgres_url)
    most = 0
    while not asking.done():
        most = max(
            most,
            await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pool_size_test'"
            ),
        )
        await asyncio.sleep(0.01)
    await asking
    await watcher.close()
    await database.close()
    assert 1 <= most <= 2


@pytest.mark.postgres
async def test_failures_never_quote_content(postgres_url: str, schema: str) -> None:
    """G14: what is told of a failed statement holds none of the values it was about."""
    database = Database(postgres_url, schema=schema)
    await database.open()
    cast = sa.select(sa.cast(sa.bindparam("value", type_=sa.Text), sa.Integer))
    try:
        for value in ("a very private text", "with a NUL \x00 in it", "\ud800 alone"):
            with pytest.raises(StorageUnavailable) as refused:
                await database.fetch(cast, {"value": value})
            chain = [refused.value, refused.value.__cause__]
            assert refused.value.__suppress_context__
            assert not any(value in str(error) for error in chain)
    finally:
        await database.close()


@pytest.mark.postgres
async def test_server_restart_is_survived(open_folder: Path) -> None:
    """G1: after the server was restarted the same pool goes on, and everything is there."""
    server = EmbeddedPostgres.start(open_folder / "restarted")
    await migrate(server.url)
    database = Database(server.url, pool_size=3)
    await database.open()
    repository = PostgresChatRepository(database)
    turn = await have_turn(repository, an_owner())
    server.stop()
    with pytest.raises(StorageUnavailable):
        await repository.session(turn.owner_id, turn.session_id)
    server = EmbeddedPostgres.start(open_folder / "restarted")
    try:
        page = await repository.messages(turn.owner_id, turn.session_id, limit=10)
        assert len(page.items) == 2
        assert (await have_turn(repository, turn.owner_id, turn.session_id)).number == 2
    finally:
        await database.close()
        server.stop()
