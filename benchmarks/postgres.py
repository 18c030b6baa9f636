"""Beside the rooms: a PostgreSQL of the benchmarks' own, from the wheel.

May import: standard library, adapters, asyncpg, benchmarks.
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from adapters.embedded import EmbeddedPostgres
from adapters.embedded.places import prepare
from benchmarks.errors import BenchmarkError
from benchmarks.machine import parent_of

# Room for everybody's connections, and checkpoints that do not fall into one system's run and not
# into another's. fsync and synchronous_commit stay on, as they are by default.
SETTINGS = {
    "max_connections": "400",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
}


class Postgres:
    """One server on a Unix socket.

    Attributes:
        pid: Of the postmaster.
        version: Such as `18.1`.
    """

    def __init__(self, folder: Path) -> None:
        server = EmbeddedPostgres.start(folder)
        self._url = server.url
        self.execute(
            "postgres", *(f"ALTER SYSTEM SET {name} = '{to}'" for name, to in SETTINGS.items())
        )
        server.stop()
        self._server = EmbeddedPostgres.start(folder)
        self._url = self._server.url
        self._binaries = prepare(folder).binaries
        self.pid = parent_of(self._postmasters_child())
        self.version = str(self.execute("postgres", "SHOW server_version")[0][0]).split(" ")[0]

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()

    def url(self, database: str) -> str:
        """Return the connection string of a database."""
        parts = urlsplit(self._url)
        return f"postgresql://{parts.netloc}/{database}?{parts.query}"

    def create(self, database: str) -> None:
        """Make an empty database."""
        self.execute("postgres", f"CREATE DATABASE {database}")

    def execute(self, database: str, *statements: str) -> list[Any]:
        """Run statements, each in a transaction of its own, and return the last one's rows."""
        return asyncio.run(_execute(self.url(database), statements))

    def pgbench(self, database: str, script: Path, *, clients: int, seconds: float) -> str:
        """Run pgbench with a script and prepared statements, and return what it prints.

        Raises:
            BenchmarkError: It failed; with its words.
        """
        place = parse_qs(urlsplit(self._url).query)
        command = [str(self._binaries / "pgbench"), "-h", place["host"][0], "-p", place["port"][0]]
        command += ["-U", "postgres", "-n", "-M", "prepared", "-c", str(clients), "-j", "1"]
        command += ["-T", str(max(1, round(seconds))), "-f", str(script), database]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or "failed transactions: 0 " not in done.stdout:
            raise BenchmarkError(f"pgbench fails: {done.stderr[:1000] or done.stdout}")
        return done.stdout

    def _postmasters_child(self) -> int:
        """Return the process id of a server process that lives at least as long as the server."""
        found = self.execute(
            "postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        )
        return int(found[0][0])


async def _execute(url: str, statements: tuple[str, ...]) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = []
        for statement in statements:
            rows = await connection.fetch(statement, timeout=600)
        return rows
    finally:
        await connection.close()
