"""PgBouncer in front of the run's PostgreSQL, as an operator would put it there.

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
from contextlib import contextmanager
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
postgres = host={servers} port={port} dbname=postgres user=postgres
[pgbouncer]
listen_addr =
listen_port = {own_port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
logfile = {folder}/log
pidfile = {folder}/pid
"""


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """Start a pooler in front of a server, give the URL through it, and stop it afterwards."""
    assert PROGRAM is not None
    options = parse_qs(urlsplit(url).query)
    servers = Path(options["host"][0])
    owner = servers.stat()
    with tempfile.TemporaryDirectory(prefix="pooler-", dir="/tmp") as name:
        folder = Path(name)
        file = folder / "pgbouncer.ini"
        text = _CONFIGURATION.format(
            servers=servers,
            port=options["port"][0],
            own_port=_PORT,
            folder=folder,
            pool_size=SERVERS,
        )
        file.write_text(text, encoding="utf-8")
        # It does not run as root; only the server's account may enter the folder of its socket.
        is_root = os.geteuid() == 0
        for path in (folder, file):
            if is_root:
                os.chown(path, owner.st_uid, owner.st_gid)
        process = subprocess.Popen(
            [PROGRAM, str(file)],
            user=owner.st_uid if is_root else None,
            group=owner.st_gid if is_root else None,
            extra_groups=[] if is_root else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(folder / f".s.PGSQL.{_PORT}", process)
            host = quote(str(folder), safe="/")
            yield f"postgresql://postgres@/postgres?host={host}&port={_PORT}"
        finally:
            process.terminate()
            process.wait(timeout=10)


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


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up_at:
        assert process.poll() is None, (path.parent / "log").read_text(encoding="utf-8")
        with socket.socket(socket.AF_UNIX) as client:
            if path.exists() and client.connect_ex(str(path)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the pooler does not answer")
