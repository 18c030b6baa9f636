"""Several statements as one transaction: all or nothing, repeated where it may, never left open.

May import: standard library, adapters, asyncpg, chatcore, pytest, sqlalchemy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from adapters.postgres import Database, PostgresChatRepository
from adapters.postgres.replace_statements import LOCK_SESSION
from adapters.postgres.session_statements import RENAME
from adapters.postgres.tables import turns
from adapters.postgres.transaction import Transaction
from chatcore import SessionBusy, StorageUnavailable, Turn
from chatcore.testing.builders import NOW, an_owner, have_turn, new_turn
from chatcore.testing.steps import look, start, write

pytestmark = pytest.mark.postgres

_TURNS = sa.select(sa.func.count().label("count")).where(
    turns.c.owner_id == sa.bindparam("owner_id", type_=sa.Text)
)


@asynccontextmanager
async def _a_database(url: str, schema: str, name: str, **options: Any) -> AsyncIterator[Database]:
    """Give a pool of one connection, which the server knows by this name."""
    database = Database(f"{url}&application_name={name}", schema=schema, pool_size=1, **options)
    await database.open()
    yield database
    await database.close()


def _of(turn: Turn, title: str = "") -> dict[str, object]:
    return {"owner_id": turn.owner_id, "session_id": turn.session_id, "title": title, "now": NOW}


async def _title(repository: PostgresChatRepository, turn: Turn) -> str:
    return (await repository.session(turn.owner_id, turn.session_id)).title


async def _states(connection: asyncpg.Connection, name: str) -> list[str]:
    query = "SELECT state FROM pg_stat_activity WHERE application_name = $1"
    return [row["state"] for row in await connection.fetch(query, name)]


@pytest.fixture
async def complaints() -> list[object]:
    """Give what the event loop is told of: a connection that comes back with work to undo."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


async def test_what_raises_is_undone(
    repository: PostgresChatRepository,
    connection: asyncpg.Connection,
    database: Database,
    complaints: list[object],
) -> None:
    """An error in the middle reaches the caller, undoes all, and leaves the connection usable."""
    turn = await have_turn(repository, an_owner())
    before = await _title(repository, turn)

    async def work(held: Transaction) -> None:
        await held.fetch(RENAME, _of(turn, "half done"))
        raise SessionBusy(turn.id)

    for _ in range(6):  # more often than there are connections
        with pytest.raises(SessionBusy):
            await database.transact(work)
    assert (await _title(repository, turn), complaints) == (before, [])
    assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0
    assert await repository.rename(
        turn.owner_id, turn.session_id, title="done", now=NOW
    ) == await repository.session(turn.owner_id, turn.session_id)


async def test_rules_that_are_broken_are_told(
    repository: PostgresChatRepository, postgres_url: str, schema: str
) -> None:
    """A constraint that refuses is raised as such, after everything before it was undone."""
    turn = await have_turn(repository, an_owner())
    before = await _title(repository, turn)
    reopen = turns.update().where(turns.c.owner_id == turn.owner_id).values(attempt=99)

    async def work(held: Transaction) -> None:
        await held.fetch(RENAME, _of(turn, "half done"))
        await held.fetch(reopen, {})

    async with _a_database(postgres_url, schema, "rules") as database:
        with pytest.raises(asyncpg.CheckViolationError):
            await database.transact(work)
        assert await _title(PostgresChatRepository(database), turn) == before


async def test_who_leaves_leaves_nothing_open(
    repository: PostgresChatRepository,
    connection: asyncpg.Connection,
    postgres_url: str,
    schema: str,
    complaints: list[object],
) -> None:
    """G10: a caller that is cancelled, wherever it is, leaves no transaction and no lock behind."""
    turn = await have_turn(repository, an_owner())
    before = await _title(repository, turn)
    async with _a_database(postgres_url, schema, "leaving") as database:

        async def work(held: Transaction) -> None:
            await held.fetch(RENAME, _of(turn, "half done"))
            await held.fetch(sa.select(sa.func.pg_sleep(0.01)), {})
            # Whole or not at all: who leaves during the commit cannot know which.
            await held.fetch(RENAME, _of(turn, before))

        for number in range(40):
            working = asyncio.create_task(database.transact(work))
            await asyncio.wait({working}, timeout=number / 2000)
            working.cancel()
            await asyncio.wait({working}, timeout=2)
            assert working.done()
            row = await database.fetch_one(LOCK_SESSION, _of(turn))
            assert row is not None
            assert await _title(repository, turn) == before
        assert (await _states(connection, "leaving"), complaints) == (["idle"], [])


async def test_a_connection_that_dies_is_replaced(
    repository: PostgresChatRepository,
    connection: asyncpg.Connection,
    postgres_url: str,
    schema: str,
) -> None:
    """G1: a transaction whose connection dies in the middle is run again, whole."""
    turn = await have_turn(repository, an_owner())
    tries = 0

    async def work(held: Transaction) -> str:
        nonlocal tries
        tries += 1
        await held.fetch(RENAME, _of(turn, f"try {tries}"))
        if tries == 1:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'dying'"
            )
        (row,) = await held.fetch(LOCK_SESSION, _of(turn))
        return str(row["id"])

    async with _a_database(postgres_url, schema, "dying") as database:
        assert await database.transact(work) == str(turn.session_id)
    assert (tries, await _title(repository, turn)) == (2, "try 2")


async def test_a_process_that_stands_still_holds_up_nobody(
    repository: PostgresChatRepository, postgres_url: str, schema: str
) -> None:
    """G7: who freezes in the middle of a stop lets go of the turn in two seconds, then undoes."""
    ref = await start(repository, an_owner(), written="text")
    other = await start(repository, an_owner())
    tries = 0

    async def work(held: Transaction) -> None:
        nonlocal tries
        tries += 1
        values = {"owner_id": ref.owner_id, "session_id": ref.session_id, "turn_id": ref.turn_id}
        await held.fetch(_LOCK_TURN, values)
        if tries == 1:
            holding.set()
            await asyncio.sleep(4)
        await held.fetch(_LOCK_TURN, values)

    holding = asyncio.Event()
    async with _a_database(postgres_url, schema, "frozen") as database:
        freezing = asyncio.create_task(database.transact(work))
        await holding.wait()
        started = time.monotonic()
        assert await write(repository, other, "a")
        assert time.monotonic() - started < 1.8  # before the frozen one has let go
        assert await write(repository, ref, " and more", at=4)
        assert 1 < time.monotonic() - started < 3.8
        await freezing
    assert tries == 2
    assert (await look(repository, ref)).text == "text and more"


_LOCK_TURN = (
    sa.select(turns.c.id)
    .where(
        turns.c.owner_id == sa.bindparam("owner_id", type_=sa.Text),
        turns.c.id == sa.bindparam("turn_id", type_=sa.Uuid),
    )
    .with_for_update()
)


@asynccontextmanager
async def _a_role(url: str, setting: str) -> AsyncIterator[tuple[str, asyncpg.Connection, str]]:
    """Give the URL of a role with a setting of its own, and a connection that may change it."""
    admin = await asyncpg.connect(url)
    name = f"role_{time.monotonic_ns()}"
    await admin.execute(f"CREATE ROLE {name} LOGIN SUPERUSER")
    await admin.execute(f"ALTER ROLE {name} SET {setting}")
    try:
        yield url.replace("//postgres", f"//{name}"), admin, name
    finally:
        await admin.execute(f"DROP ROLE {name}")
        await admin.close()


async def test_each_statement_looks_anew(
    repository: PostgresChatRepository, postgres_url: str, schema: str
) -> None:
    """G5: a statement sees what was committed after the first one, whatever the role's default."""
    owner = an_owner()

    async def work(held: Transaction) -> list[int]:
        seen = []
        for _ in range(2):
            row = await held.fetch_one(_TURNS, {"owner_id": owner})
            assert row is not None
            seen.append(row["count"])
            await repository.admit(new_turn(owner))
        return seen

    serializable = "default_transaction_isolation = serializable"
    async with (
        _a_role(postgres_url, serializable) as (url, *_),
        _a_database(url, schema, "anew") as database,
    ):
        assert await database.transact(work) == [0, 1]


async def test_a_fail_over_is_followed(postgres_url: str, schema: str) -> None:
    """G1: once the server refuses to write, new connections are made, to who is primary now."""
    read_only = "default_transaction_read_only = on"
    async with (
        _a_role(postgres_url, read_only) as (url, admin, role),
        _a_database(url, schema, "standby") as database,
    ):
        repository = PostgresChatRepository(database)
        with pytest.raises(StorageUnavailable, match="25006"):
            await repository.admit(new_turn(an_owner()))
        await admin.execute(f"ALTER ROLE {role} RESET default_transaction_read_only")
        turn = await have_turn(repository, an_owner())
        # The same in an explicit transaction, on a connection that was a standby's once more.
        await admin.execute(f"ALTER ROLE {role} SET {read_only}")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'standby'"
        )
        await _title(repository, turn)
        await admin.execute(f"ALTER ROLE {role} RESET default_transaction_read_only")
        tries = 0

        async def work(held: Transaction) -> None:
            nonlocal tries
            tries += 1
            await held.fetch(RENAME, _of(turn, "renamed"))

        await database.transact(work)
        assert (tries, await _title(repository, turn)) == (2, "renamed")


async def test_failures_never_quote_content(database: Database) -> None:
    """G14: what is told of a failed transaction holds none of the values it was about."""
    cast = sa.select(sa.cast(sa.bindparam("value", type_=sa.Text), sa.Integer))

    async def work(held: Transaction) -> None:
        await held.fetch(cast, {"value": "a very private text"})

    with pytest.raises(StorageUnavailable) as refused:
        await database.transact(work)
    assert refused.value.__suppress_context__
    assert "private" not in f"{refused.value} {refused.value.__cause__}"
