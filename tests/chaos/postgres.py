"""A PostgreSQL that can be killed: its postmaster is our own child.

May import: standard library, adapters, asyncpg.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from adapters.embedded.cluster import Cluster
from adapters.embedded.places import Place, prepare
from adapters.postgres import migrate

PORT = 5432
SCHEMA = "chatcore"
TEMPLATE = "chaos_template"
_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0777",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "fatal",
    "max_wal_size": "2GB",
    # What a process had written survives its SIGKILL in the kernel's memory, synced or not. The
    # kernel itself is not crashed here, and recovery need not wait for a disk each time.
    "fsync": "off",
}
_START_SECONDS = 30.0


class Postgres:
    """One cluster on disk and its server.

    Attributes:
        crashes: How often it was killed.
        is_up: Whether it answered last.
    """

    def __init__(self, place: Place, folder: Path, *, settings: dict[str, str]) -> None:
        self._place = place
        self._socket_dir = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._busy = asyncio.Lock()
        self.crashes = 0
        self.is_up = False

    @classmethod
    async def start(cls, folder: Path, **settings: str) -> Postgres:
        """Create a cluster in a folder that everybody may pass, start it, make the template."""
        place = await asyncio.to_thread(prepare, folder / "pg")
        await asyncio.to_thread(Cluster(place)._create)
        sockets = await asyncio.to_thread(_socket_dir)
        postgres = cls(place, sockets, settings=_SETTINGS | settings)
        await postgres.up()
        await postgres.execute("postgres", [f"CREATE DATABASE {TEMPLATE}"])
        await migrate(postgres.url(TEMPLATE), schema=SCHEMA)
        return postgres

    @property
    def socket_path(self) -> str:
        """Where it listens."""
        return str(self._socket_dir / f".s.PGSQL.{PORT}")

    def url(self, database: str) -> str:
        """Return the way in without a proxy."""
        host = quote(str(self._socket_dir), safe="/")
        return f"postgresql://postgres@/{database}?host={host}&port={PORT}"

    async def make_database(self, name: str) -> None:
        """Make a migrated database."""
        await self.execute("postgres", [f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"])

    async def drop_database(self, name: str) -> None:
        """Drop a database with whoever is connected."""
        await self.execute("postgres", [f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"])

    async def execute(self, database: str, statements: Iterable[str]) -> list[Any]:
        """Run statements, each by itself, and return the last one's rows."""
        connection = await self.connect(database)
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    async def connect(self, database: str) -> Any:
        """Open a connection of the harness's own, waiting while the server is down."""
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                return await asyncpg.connect(self.url(database), timeout=5)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.05)

    async def up(self) -> None:
        """Start the server and wait until it answers."""
        give_up = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up:
            if self._process is None or self._process.poll() is not None:
                self._launch()
            if await self._answers():
                self.is_up = True
                return
            await asyncio.sleep(0.03)
        raise RuntimeError(f"PostgreSQL did not start; see {self._place.home / 'server.log'}")

    async def crash(self, *, down_seconds: float = 0.0) -> float:
        """SIGKILL the postmaster, wait, start it again; returns the seconds it was away."""
        async with self._busy:
            began = time.monotonic()
            assert self._process is not None
            self.is_up = False
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self.crashes += 1
            await asyncio.sleep(down_seconds)
            await self.up()
            return time.monotonic() - began

    async def stop(self) -> None:
        """End it for good."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                await asyncio.to_thread(self._process.wait, 15)
            except subprocess.TimeoutExpired:
                self._process.kill()
        await asyncio.to_thread(shutil.rmtree, self._socket_dir, ignore_errors=True)

    def _launch(self) -> None:
        account = self._place.account
        (self._place.data / "postmaster.pid").unlink(missing_ok=True)
        for left in self._socket_dir.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)
        options = [part for pair in self._settings.items() for part in ("-c", "=".join(pair))]
        options += ["-c", f"unix_socket_directories={self._socket_dir}"]
        with (self._place.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._place.binaries / "postgres", "-D", "data", *options],
                cwd=self._place.home,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                preexec_fn=os.setpgrp,
            )

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True


def _socket_dir() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chaos-pg-"))
    folder.chmod(0o777)  # The server may run as another user.
    return folder
