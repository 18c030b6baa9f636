"""Statements cost the same however much there is: by index, a few rows each.

May import: standard library, adapters, asyncpg, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from adapters.postgres import Database, PostgresChatRepository, migrate
from chatcore import TurnRef
from chatcore.testing.builders import an_owner, completed, new_turn, ref_of
from tests.integration.crowd import OTHERS, TURNS, fill
from tests.integration.plans import (
    GROWS,
    MOST_ROWS,
    PAGE_ROWS,
    SORTS,
    STATEMENTS,
    nodes_run,
    plan_run,
    rows_looked_at,
    rows_sorted,
)
from tests.integration.server_side import drop_schema

pytestmark = pytest.mark.postgres

SCHEMA = "crowded"


@pytest.fixture(scope="module", params=OTHERS)
def crowded(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[TurnRef]:
    """Give a turn in a schema with many rows; nothing there is ever changed for good."""
    asyncio.run(migrate(postgres_url, schema=SCHEMA))
    yield asyncio.run(fill(postgres_url, SCHEMA, others=request.param))
    asyncio.run(drop_schema(postgres_url, SCHEMA))


@pytest.mark.parametrize("planned_for", ["custom", "generic"])
@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - GROWS))
async def test_costs_are_flat(
    crowded: TurnRef, connection: asyncpg.Connection, name: str, planned_for: str
) -> None:
    """G13: no statement looks at more than a few rows, in a session with ten thousand turns.

    By index, without a sequential scan, and without a sort but of the page that is returned.
    """
    plan = await plan_run(connection, name, crowded, SCHEMA, planned_for=planned_for)
    nodes = nodes_run(plan)
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    assert sum(map(rows_looked_at, nodes)) <= MOST_ROWS, nodes
    assert name in SORTS or max(map(rows_sorted, nodes)) <= PAGE_ROWS, nodes


_ROWS_READ = """
SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))
  FROM pg_stat_user_tables WHERE schemaname = $1
"""


async def test_costs_are_flat_from_the_first_turn_on(postgres_url: str, empty_schema: str) -> None:
    """G13: nobody has analysed the tables yet, and a connection keeps the plans it made for them.

    All by one owner, as where nobody logs in. Foreign keys have plans of their own, which count.
    """
    await migrate(postgres_url, schema=empty_schema)
    admin = await asyncpg.connect(postgres_url, server_settings={"search_path": empty_schema})
    for table in ("chat_sessions", "turns", "messages", "attempts"):
        await admin.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    database = Database(postgres_url, schema=empty_schema, pool_size=1)
    await database.open()
    repository, owner, rounds = PostgresChatRepository(database), an_owner(), 150
    for _ in range(rounds):
        admission = await repository.admit(new_turn(owner))
        await repository.finish(ref_of(admission), completed("one"))
        admission = await repository.admit(new_turn(owner, admission.turn.session_id))
        await repository.finish(ref_of(admission), completed("two"))
    await database.close()  # whereupon the server counts what was read
    read = 0
    while read < rounds:
        read = int(await admin.fetchval(_ROWS_READ, empty_schema))
        await asyncio.sleep(0.05)
    await admin.close()
    assert read / (2 * rounds) < 30


@pytest.mark.parametrize("planned_for", ["custom", "generic"])
async def test_erasing_takes_its_time_once(
    crowded: TurnRef, connection: asyncpg.Connection, planned_for: str
) -> None:
    """G13: erasing ten thousand turns looks at each once, not at all of them for each."""
    plan = await plan_run(connection, "ERASE", crowded, SCHEMA, planned_for=planned_for)
    assert {trigger["Calls"] for trigger in plan["Triggers"]} >= {1, TURNS}
    assert plan["Execution Time"] < 4000, plan["Triggers"]  # ms; else it is half a minute
