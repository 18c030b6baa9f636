"""The tables can be partitioned by owner, and no statement then touches a second part.

May import: standard library, adapters, asyncpg, chatcore, pytest, sqlalchemy, tests.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa

from adapters.postgres import Database, PostgresChatRepository
from adapters.postgres.migrate import engine_for
from adapters.postgres.tables import metadata
from chatcore import MessageId, OnBusy, TurnRef
from chatcore.testing.builders import EXPIRED, NOW, an_owner, completed, new_turn, ref_of
from chatcore.testing.steps import start, take_over, write
from tests.integration.crowd import fill
from tests.integration.plans import (
    GROWS,
    MOST_ROWS,
    STATEMENTS,
    WITHOUT_OWNER,
    nodes_run,
    plan_run,
    rows_looked_at,
)
from tests.integration.server_side import drop_schema

pytestmark = pytest.mark.postgres

SCHEMA = "parted"
PARTS = 4
# Nothing is read, and where a new row goes is not told.
ONLY_WRITES = {"OPEN_SESSION", "OPEN"}


@pytest.fixture(scope="module", autouse=True)
def parted(postgres_url: str) -> Iterator[TurnRef]:
    """Give a turn in a schema whose tables are partitioned by owner."""
    asyncio.run(_create_parts(postgres_url))
    yield asyncio.run(fill(postgres_url, SCHEMA))
    asyncio.run(drop_schema(postgres_url, SCHEMA))


@pytest.fixture
async def repository(postgres_url: str) -> AsyncIterator[PostgresChatRepository]:
    """Give the repository on those tables."""
    database = Database(postgres_url, schema=SCHEMA)
    await database.open()
    yield PostgresChatRepository(database)
    await database.close()


async def _create_parts(url: str) -> None:
    """Make the tables just as the code describes them, but in parts."""
    described = sa.MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        copy = table.to_metadata(described)
        if "owner_id" in copy.c:
            options = copy.dialect_options["postgresql"]
            options["partition_by"], options["with"] = "HASH (owner_id)", None
    engine = engine_for(url)
    async with engine.begin() as opened:
        await opened.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
        await opened.execute(sa.text(f"SET LOCAL search_path TO {SCHEMA}"))
        await opened.run_sync(described.create_all, checkfirst=False)
        for table in described.sorted_tables:
            for part in range(PARTS if "owner_id" in table.c else 0):
                values = f"WITH (MODULUS {PARTS}, REMAINDER {part})"
                create = f"CREATE TABLE {table.name}_{part} PARTITION OF {table.name}"
                await opened.execute(sa.text(f"{create} FOR VALUES {values}"))
                if table.name == "messages":
                    depend = f"CREATE STATISTICS s_{part} (dependencies) ON owner_id, session_id"
                    await opened.execute(sa.text(f"{depend} FROM {table.name}_{part}"))
    await engine.dispose()


async def test_everything_works_in_parts(repository: PostgresChatRepository) -> None:
    """Every way a turn can take works where each owner's rows are in one part of each table."""
    for owner in (an_owner() for _ in range(2 * PARTS)):
        ref = await start(repository, owner, written="lost", lease_seconds=EXPIRED)
        abandoned = await repository.abandoned(limit=9, session=(owner, ref.session_id))
        assert [found.ref for found in abandoned] == [ref]
        taken = (await take_over(repository, ref)).ref
        assert await write(repository, taken, "text")
        await repository.finish(taken, completed("text, whole"))
        edited = await repository.admit(new_turn(owner, ref.session_id, replaces=1))
        assert (edited.window, await write(repository, ref_of(edited), "kept")) == ((), True)
        new = new_turn(owner, ref.session_id, on_busy=OnBusy.SUPERSEDE)
        last = ref_of(await repository.admit(new))
        await repository.stop(
            owner, last.session_id, last.turn_id, reply_id=MessageId(uuid4()), now=NOW
        )
        page = await repository.messages(owner, ref.session_id, limit=10)
        assert [said.content for said in page.items[1::2]] == ["text, whole", "kept"]
        await repository.erase(owner, ref.session_id, now=NOW)


@pytest.mark.parametrize("planned_for", ["custom", "generic"])
@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - WITHOUT_OWNER))
async def test_one_part_is_touched(
    parted: TurnRef, connection: asyncpg.Connection, name: str, planned_for: str
) -> None:
    """A statement reads and writes a few rows in the part of the owner it names, in no other."""
    plan = await plan_run(connection, name, parted, SCHEMA, planned_for=planned_for)
    nodes = nodes_run(plan)
    assert name in GROWS or sum(map(rows_looked_at, nodes)) <= MOST_ROWS, nodes
    tables = [node["Relation Name"] for node in nodes if "Relation Name" in node]
    parts = {match[1] for table in tables if (match := re.search(r"_(\d)$", table))}
    assert len(parts) == (0 if name in ONLY_WRITES else 1), tables
