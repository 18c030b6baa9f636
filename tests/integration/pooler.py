"""PgBouncer in front of a PostgreSQL of ours, as an operator would put it there, and its faults.

May import: standard library, asyncpg.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg

PROGRAM = shutil.which("pgbouncer", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
SERVERS = 3
"""How many connections to PostgreSQL the pooler shares among all its clients."""

_PORT = 6432
_START_SECONDS = 10
# A setting that is not named here has its default.
_CONFIGURATION = """\
[databases]
* = host={servers} port={port} user=postgres
[pgbouncer]
listen_addr =
listen_port = {own_port}
unix_socket_dir = {folder}
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
logfile = {folder}/log
pidfile = {folder}/pid
"""


class Pooler:
    """One PgBouncer, which can be killed, started again and told to wait.

    Args:
        folder: Of its own: configuration, log and socket.
        servers: The folder of the socket of the PostgreSQL behind it.
        port: That PostgreSQL's port.
        pool_size: How many connections it shares among all clients of a database.
    """

    def __init__(self, folder: Path, servers: Path, port: str, pool_size: int) -> None:
        self._folder = folder
        self._owner = (servers / f".s.PGSQL.{port}").stat()
        self._process: subprocess.Popen[bytes] | None = None
        self._file = folder / "pgbouncer.ini"
        text = _CONFIGURATION.format(
            servers=servers, port=port, own_port=_PORT, folder=folder, pool_size=pool_size
        )
        self._file.write_text(text, encoding="utf-8")
        # It does not run as root, but as the server does, who may enter the folder of its socket.
        self._is_root = os.geteuid() == 0
        for path in (folder, self._file):
            if self._is_root:
                os.chown(path, self._owner.st_uid, self._owner.st_gid)

    @property
    def socket_path(self) -> str:
        """Where it listens."""
        return str(self._folder / f".s.PGSQL.{_PORT}")

    def url(self, database: str = "postgres") -> str:
        """Return the way to a database through it; `pgbouncer` is its own console."""
        host = quote(str(self._folder), safe="/")
        return f"postgresql://postgres@/{database}?host={host}&port={_PORT}"

    def start(self) -> None:
        """Start it and wait until it lets somebody in."""
        assert PROGRAM is not None
        # Left behind by one that was killed.
        for name in (self.socket_path, str(self._folder / "pid")):
            Path(name).unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [PROGRAM, str(self._file)],
            user=self._owner.st_uid if self._is_root else None,
            group=self._owner.st_gid if self._is_root else None,
            extra_groups=[] if self._is_root else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def kill(self) -> None:
        """End it at once, with all its connections on both sides."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=10)

    def stop(self) -> None:
        """End it for good, if it still is there."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.kill()

    async def pause(self) -> None:
        """Have it wait until running transactions are over, and begin none until `resume`."""
        await self._tell("PAUSE")

    async def resume(self) -> None:
        """Have it go on."""
        await self._tell("RESUME")

    async def _tell(self, command: str) -> None:
        console = await asyncpg.connect(self.url("pgbouncer"), statement_cache_size=0, timeout=5)
        try:
            await console.execute(command)
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await console.close(timeout=2)

    def _wait(self) -> None:
        assert self._process is not None
        give_up_at = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up_at:
            log = self._folder / "log"
            assert self._process.poll() is None, log.read_text(encoding="utf-8")
            with socket.socket(socket.AF_UNIX) as client:
                path = Path(self.socket_path)
                if path.exists() and client.connect_ex(str(path)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the pooler does not answer")


@contextmanager
def pooling(url: str, *, pool_size: int = SERVERS) -> Iterator[Pooler]:
    """Start a pooler in front of the server that a URL leads to, and stop it afterwards."""
    options = parse_qs(urlsplit(url).query)
    with tempfile.TemporaryDirectory(prefix="pooler-", dir="/tmp") as name:
        pooler = Pooler(Path(name), Path(options["host"][0]), options["port"][0], pool_size)
        try:
            pooler.start()
            yield pooler
        finally:
            pooler.stop()


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """Start a pooler in front of a server, give the URL through it, and stop it afterwards."""
    with pooling(url) as pooler:
        yield pooler.url()


async def left_prepared(url: str) -> list[int]:
    """Return how many prepared statements each of the pooler's servers holds."""
    clients = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(SERVERS)]
    counts: dict[int, int] = {}
    try:
        # Each transaction is held open, so that the next one gets another server.
        for client in clients:
            await client.execute("BEGIN")
            query = "SELECT pg_backend_pid() AS pid, count(*) AS n FROM pg_prepared_statements"
            row = await client.fetchrow(f"{query} WHERE name <> ''")
            counts[row["pid"]] = row["n"]
    finally:
        for client in clients:
            await client.close()
    assert len(counts) == SERVERS
    return list(counts.values())
