"""Statements cost the same however much there is: by index, a few rows each.

May import: standard library, adapters, asyncpg, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from adapters.postgres import migrate
from chatcore import TurnRef
from tests.integration.crowd import OTHERS, TURNS, fill
from tests.integration.plans import (
    GROWS,
    MOST_ROWS,
    STATEMENTS,
    nodes_run,
    plan_run,
    rows_looked_at,
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
    """G13: no statement looks at more than a few rows, in a session with ten thousand turns."""
    plan = await plan_run(connection, name, crowded, SCHEMA, planned_for=planned_for)
    nodes = nodes_run(plan)
    assert not [node for node in nodes if node["Node Type"] == "Seq Scan"]
    assert sum(map(rows_looked_at, nodes)) <= MOST_ROWS, nodes


@pytest.mark.parametrize("planned_for", ["custom", "generic"])
async def test_erasing_takes_its_time_once(
    crowded: TurnRef, connection: asyncpg.Connection, planned_for: str
) -> None:
    """G13: erasing ten thousand turns looks at each once, not at all of them for each."""
    plan = await plan_run(connection, "ERASE", crowded, SCHEMA, planned_for=planned_for)
    assert {trigger["Calls"] for trigger in plan["Triggers"]} >= {1, TURNS}
    assert plan["Execution Time"] < 4000, plan["Triggers"]  # ms; else it is half a minute
