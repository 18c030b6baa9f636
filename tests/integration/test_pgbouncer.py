"""Behind a pooler that hands each transaction to any of its connections, nothing is lost or left.

May import: standard library, adapters, pytest, tests.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.postgres import Database, migrate, require_head
from adapters.postgres.schema_version import head
from tests.integration.pooler import PROGRAM, SERVERS, left_prepared, pooled
from tests.integration.talker import TALKS

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(
        PROGRAM is None, reason="needs PgBouncer: Debian's package pgbouncer, see .ci/run"
    ),
]

PROCESSES = 3
TURNS = 12
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """Give the run's PostgreSQL through a pooler of the test's own."""
    with pooled(postgres_url) as url:
        yield url


async def _in_processes(*arguments: str) -> list[str]:
    """Run the same in several processes at once, and return what they print."""
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        for _ in range(PROCESSES)
    ]
    outputs = [await process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, outputs
    assert {told for _, told in outputs} == {b""}
    return [printed.decode().strip() for printed, _ in outputs]


async def test_processes_that_share_few_servers(pooled_url: str, schema: str) -> None:
    """G1: processes that talk through one pooler at once meet no error and leave nothing prepared.

    Statements prepared under a name fail here: another process's name may be another statement.
    """
    talker = ("-m", "tests.integration.talker", pooled_url, schema, str(TURNS))
    assert await _in_processes(*talker) == [f"{TALKS * TURNS} 0"] * PROCESSES
    assert await left_prepared(pooled_url) == [0] * SERVERS


async def test_migrating_through_a_pooler(pooled_url: str, empty_schema: str) -> None:
    """Processes that migrate at once through a pooler meet no error and leave nothing prepared."""
    code = (
        "import asyncio; from adapters.postgres import migrate; "
        f"print(asyncio.run(migrate({pooled_url!r}, schema={empty_schema!r})))"
    )
    assert await _in_processes("-c", code) == [head()] * PROCESSES
    database = Database(pooled_url, schema=empty_schema, pooler=True)
    await database.open()
    await require_head(database)
    await database.close()
    assert await left_prepared(pooled_url) == [0] * SERVERS
    assert await migrate(pooled_url, schema=empty_schema, revision="base") == ""
