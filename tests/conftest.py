"""Fixtures for all tests: a real PostgreSQL that the run starts itself, Hypothesis profiles.

May import: standard library, adapters, asyncpg, hypothesis, pytest, tests.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from adapters.embedded import EmbeddedPostgres
from adapters.postgres import Database, migrate
from tests.integration.served import settings_for
from tests.provider import Provider

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **_COMMON)  # type: ignore[arg-type]
settings.register_profile("ci", max_examples=100, derandomize=True, **_COMMON)  # type: ignore[arg-type]
settings.register_profile("nightly", max_examples=2000, **_COMMON)  # type: ignore[arg-type]
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))  # noqa: TID251

_numbers = itertools.count(1)
_DECLARED = (" cannot make ", " cannot see ")
"""Of skips: what a real model cannot do, as the contract declares; the same on every machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know a run in which everything has to be there."""
    text = "fail if a test is skipped because this machine lacks something"
    parser.addoption("--complete", action="store_true", help=text)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a complete run that was not complete."""
    if session.config.getoption("--complete") and _missing(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was missing."""
    if config.getoption("--complete"):
        for reason in _missing(config):
            terminalreporter.write_line(f"FAILED: the run is not complete: {reason}", red=True)


def _missing(config: pytest.Config) -> list[str]:
    """Return why tests were skipped, but for what was declared."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return []  # a worker; whoever collects its results judges
    reasons = {str(report.longrepr[2]) for report in reporter.stats.get("skipped", [])}
    return sorted(one for one in reasons if not any(known in one for known in _DECLARED))


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """Give a folder that others may pass through, so that a server started by root can use it."""
    folder = Path(tempfile.mkdtemp(prefix="chatcore-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(open_folder: Path) -> Iterator[str]:
    """Give a PostgreSQL of this run's own: started once, stopped at the end."""
    server = EmbeddedPostgres.start(open_folder / "data")
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def schema(postgres_url: str) -> str:
    """Give a migrated schema that the tests of this run share; each makes owners of its own."""
    asyncio.run(migrate(postgres_url, schema="chatcore"))
    return "chatcore"


@pytest.fixture(name="settings")
def settings_of_service(postgres_url: str, empty_schema: str, provider: Provider) -> dict[str, str]:
    """Give what all processes of a service share; nobody else's turns are in their tables.

    The provider is the test's own.
    """
    return settings_for(postgres_url, empty_schema, provider)


@pytest.fixture
async def database(postgres_url: str, schema: str) -> AsyncIterator[Database]:
    """Give an open pool on the shared schema, and check that nothing is left hanging."""
    opened = Database(postgres_url, schema=schema, pool_size=5)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def empty_schema(postgres_url: str) -> AsyncIterator[str]:
    """Give the name of a schema that does not exist yet, and drop it afterwards."""
    name = f"chatcore_{next(_numbers)}"
    yield name
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
    await connection.close()
