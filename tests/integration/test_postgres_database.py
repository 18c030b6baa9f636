"""Connection strings, the pool, and what is told when the database does not answer.

May import: standard library, adapters, asyncpg, chatcore, pytest, sqlalchemy.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from adapters.embedded import EmbeddedPostgres
from adapters.postgres import Database, PostgresChatRepository, migrate
from adapters.postgres.connection import clean_dsn, describe_dsn, safe_reason
from adapters.postgres.tables import turns
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


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "mysql://h/db",
        "h/db",
        "postgresql://h:port/db",
        "postgresql://u:s3[cret@h/db",
        "postgresql://u:s3cret\u2100@h/db",
    ],
)
def test_wrong_connection_strings_are_refused(wrong: str) -> None:
    """What is no PostgreSQL URL is refused with the reason."""
    with pytest.raises(ValueError, match=r"is not a PostgreSQL URL|has a port") as refused:
        clean_dsn(wrong)
    assert "cret" not in str(refused.value)


def test_descriptions_hold_no_secret() -> None:
    """Where a string points is told without user and password, also in a repr."""
    assert describe_dsn(NEON) == "ep-calm-sea-123.eu-central-1.aws.neon.tech/neondb"
    assert describe_dsn("postgresql://u:p@/db?host=/run/pg") == "/run/pg/db"
    assert "s3cret" not in repr(Database(NEON))


@pytest.mark.parametrize(
    "mark", ["/", "//", "?", "#", "@", ":", "@/", "?@", "[", "\u2100", "/?", "#@"]
)
@pytest.mark.parametrize("address", ["host/db", "host:5432/db?sslmode=require"])
def test_descriptions_survive_unescaped_passwords(mark: str, address: str) -> None:
    """S15: a password with characters that ought to be escaped is not shown either, nor a part."""
    told = describe_dsn(f"postgresql://me:12{mark}s3cret@{address}")
    assert not any(part in told for part in ("me:", "12", "s3cret", "cret"))
    assert told == address.partition("?")[0] or "unescaped" in told


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
    asking = asyncio.gather(*[database.fetch(slow, {}) for _ in range(12)])
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
async def test_a_database_that_falls_asleep_is_not_woken(postgres_url: str) -> None:
    """A connection that the server closes while nobody needs it is not opened again until then."""
    database = Database(f"{postgres_url}&application_name=asleep")
    await database.open()
    watcher = await asyncpg.connect(postgres_url)
    connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'asleep'"
    try:
        assert await watcher.fetchval(connections) == 1
        await watcher.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'asleep'"
        )
        for _ in range(15):
            await asyncio.sleep(0.1)
            assert await watcher.fetchval(connections) == 0
        assert (await database.fetch(_ONE, {}))[0]["one"] == 1
    finally:
        await watcher.close()
        await database.close()


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


@asynccontextmanager
async def _a_role(url: str, options: str = "") -> AsyncIterator[str]:
    """Give the URL of a new role that may log in, and nothing else."""
    admin = await asyncpg.connect(url)
    name = f"role_{time.monotonic_ns()}"
    await admin.execute(f"CREATE ROLE {name} LOGIN {options}")
    try:
        yield url.replace("//postgres", f"//{name}")
    finally:
        await admin.execute(f"DROP OWNED BY {name}")
        await admin.execute(f"DROP ROLE {name}")
        await admin.close()


@pytest.mark.postgres
async def test_a_missing_right_is_told(postgres_url: str, schema: str) -> None:
    """A role without a right is told which one and on what: of the schema, then of the table."""
    numbers = sa.select(turns.c.number)
    async with _a_role(postgres_url) as url:
        database = Database(url, schema=schema)
        await database.open()
        try:
            with pytest.raises(StorageUnavailable) as refused:
                await database.fetch(numbers, {})
            assert str(refused.value).startswith(f"permission denied for schema {schema}: ")
            assert "USAGE" in str(refused.value)
            admin = await asyncpg.connect(postgres_url)
            role = url.partition("//")[2].partition("@")[0]
            await admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
            await admin.close()
            with pytest.raises(StorageUnavailable, match=r"for table turns: .* SELECT, INSERT"):
                await database.fetch(numbers, {})
        finally:
            await database.close()


def test_a_right_refused_in_free_words_is_told_without_them() -> None:
    """G14: what is not PostgreSQL's own sentence about an object is not repeated."""
    for words in ("a very private text", "permission denied for table x: a very private text"):
        told = safe_reason(asyncpg.InsufficientPrivilegeError(words))
        assert told == "the database's user lacks a right (SQLSTATE 42501)"


@pytest.mark.postgres
async def test_no_connection_left_is_told(postgres_url: str) -> None:
    """A server that has no connection left for us is told as such, with what helps."""
    async with _a_role(postgres_url, "CONNECTION LIMIT 1") as url:
        database = Database(url, pool_size=2)
        await database.open()
        slow = sa.select(sa.func.pg_sleep(1.5))
        try:
            both = await asyncio.gather(
                database.fetch(slow, {}), database.fetch(slow, {}), return_exceptions=True
            )
            told = [str(each) for each in both if isinstance(each, StorageUnavailable)]
            assert [text for text in told if "DATABASE_POOL_SIZE" in text]
            with pytest.raises(StorageUnavailable, match="DATABASE_POOL_SIZE"):
                await Database(url).open()
        finally:
            await database.close()


@pytest.mark.postgres
async def test_a_database_that_is_gone_is_told(postgres_url: str) -> None:
    """A database that was dropped while the pool was open is told as missing."""
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("CREATE DATABASE gone")
    database = Database(postgres_url.replace("/postgres?", "/gone?"))
    await database.open()
    await admin.execute("DROP DATABASE gone WITH (FORCE)")
    await admin.close()
    try:
        with pytest.raises(StorageUnavailable, match="the database does not exist"):
            await database.fetch(_ONE, {})
    finally:
        await database.close()


def test_a_refused_password_is_told() -> None:
    """A password that the server refuses while the pool is open is told, without the user."""
    error = asyncpg.InvalidPasswordError('password authentication failed for user "canary"')
    assert safe_reason(error) == "the server refuses the user or the password (SQLSTATE 28P01)"


@contextmanager
def _stopped(folder: Path) -> Iterator[None]:
    """Stop all processes of a server, as a machine does that has run out of everything."""
    (pid_file,) = folder.rglob("postmaster.pid")
    postmaster = int(pid_file.read_text(encoding="utf-8").split()[0])
    pids = [postmaster]
    os.kill(postmaster, signal.SIGSTOP)
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(
            encoding="utf-8"
        )
        for pid in map(int, children.split()):
            pids.append(pid)
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.postgres
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
async def test_a_stalled_server_is_given_up_in_time(open_folder: Path) -> None:
    """G10: a server that stands still costs a caller six seconds, and nothing once it goes on."""
    server = EmbeddedPostgres.start(open_folder / "stalled")
    database = Database(server.url, pool_size=2)
    await database.open()
    try:
        await database.fetch(_ONE, {})
        with _stopped(open_folder / "stalled"):
            started = time.monotonic()
            # One has a connection, one must open one, one waits for either.
            asked = [asyncio.create_task(database.fetch(_ONE, {})) for _ in range(3)]
            early, _ = await asyncio.wait(asked, timeout=3)
            assert len(early) == 2
            failures = await asyncio.gather(*asked, return_exceptions=True)
            assert time.monotonic() - started < 6.5
            assert {str(failure) for failure in failures} == {"no answer in time"}
            assert {type(failure) for failure in failures} == {StorageUnavailable}
        numbers = range(20)
        echo = sa.select(sa.bindparam("value", type_=sa.Integer).label("value"))
        rows = await asyncio.gather(*[database.fetch(echo, {"value": n}) for n in numbers])
        assert [row[0]["value"] for row in rows] == list(numbers)
    finally:
        await database.close()
        server.stop()


@pytest.mark.postgres
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
async def test_who_leaves_a_stalled_server_has_left(open_folder: Path) -> None:
    """A caller that is cancelled while the server stands still ends as cancelled, and soon."""
    server = EmbeddedPostgres.start(open_folder / "stalled")
    database = Database(server.url, pool_size=1)
    await database.open()
    try:
        with _stopped(open_folder / "stalled"):
            asking = asyncio.create_task(database.fetch(_ONE, {}))
            await asyncio.wait({asking}, timeout=0.2)
            asking.cancel()
            await asyncio.wait({asking}, timeout=2)
            assert asking.cancelled()
        assert (await database.fetch(_ONE, {}))[0]["one"] == 1
    finally:
        await database.close()
        server.stop()


@pytest.mark.postgres
async def test_a_slow_statement_is_ended_at_the_server(postgres_url: str) -> None:
    """G10: a statement beyond its time is asked for once, cancelled, and the pool goes on."""
    database = Database(f"{postgres_url}&application_name=slow_statement", pool_size=1)
    await database.open()
    running = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slow_statement' "
        "AND state = 'active' AND pid <> pg_backend_pid()"
    )
    try:
        started = time.monotonic()
        with pytest.raises(StorageUnavailable, match="no answer in time"):
            await database.fetch(sa.select(sa.func.pg_sleep(60)), {})
        assert 4 < time.monotonic() - started < 6.5
        assert (await database.fetch(running, {}))[0]["count"] == 0
    finally:
        await database.close()


@pytest.mark.postgres
async def test_a_database_that_wakes_up_is_waited_for(postgres_url: str) -> None:
    """Opening waits some seconds for a server that drops connections while it wakes up."""
    socket_dir = postgres_url.partition("host=")[2].partition("&")[0]
    tries = 0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def doze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            writer.transport.abort()
            return
        inner, out = await asyncio.open_unix_connection(f"{socket_dir}/.s.PGSQL.5432")
        await asyncio.gather(pump(reader, out), pump(inner, writer), return_exceptions=True)

    async with await asyncio.start_server(doze, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        database = Database(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable")
        await database.open()
        assert (await database.fetch(_ONE, {}))[0]["one"] == 1
        await database.close()
    assert tries == 3


@pytest.mark.postgres
async def test_a_database_that_does_not_wake_up_is_told() -> None:
    """Opening gives up after some eight seconds of silence, not after one try, nor never."""
    tries: list[asyncio.StreamWriter] = []

    async def sleep_on(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(writer)

    server = await asyncio.start_server(sleep_on, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started = time.monotonic()
    with pytest.raises(StorageUnavailable, match="no answer in time"):
        await Database(f"postgresql://me@127.0.0.1:{port}/db?sslmode=disable").open()
    assert 7 < time.monotonic() - started < 9
    assert len(tries) == 2
    for writer in tries:
        writer.close()
    server.close()
    await server.wait_closed()
