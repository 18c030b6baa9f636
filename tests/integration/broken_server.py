"""A PostgreSQL of the tests' own that may be starved, locked and filled up, and a full disk.

May import: standard library, asyncpg, tests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.chaos.postgres import Postgres

CONNECTIONS = 30
"""How many the server has, those for superusers included."""
ROLE = "somebody"
"""A role with all rights on the tables, for whom none are reserved."""
_MEBIBYTE = 1 << 20


async def start(folder: Path) -> Postgres:
    """Start a server with few connections, and a role that is nobody special."""
    server = await Postgres.start(folder, max_connections=str(CONNECTIONS))
    await server.execute("postgres", [f"CREATE ROLE {ROLE} LOGIN IN ROLE postgres"])
    return server


async def drop_all(server: Postgres, database: str) -> int:
    """End all connections to a database; return how many there were."""
    rows = await server.execute(
        "postgres",
        [f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"],
    )
    return len(rows)


@asynccontextmanager
async def starved(server: Postgres, database: str) -> AsyncIterator[None]:
    """Take all connections away from whoever uses a database, and leave none."""
    url = server.url("postgres").replace("//postgres", f"//{ROLE}")
    taken = [await asyncpg.connect(server.url("postgres"))]  # the last reserved way in
    try:
        for _ in range(2 * CONNECTIONS):
            try:
                taken.append(await asyncpg.connect(url))
            except asyncpg.TooManyConnectionsError:
                query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
                if not await taken[0].fetchval(query):
                    break
                end = query.replace("count(*)", "pg_terminate_backend(pid)")
                await taken[0].execute(end)
        else:
            raise AssertionError("somebody always gets a connection")
        yield
    finally:
        for connection in taken:
            await connection.close()


@asynccontextmanager
async def locked(server: Postgres, database: str, table: str) -> AsyncIterator[None]:
    """Hold a table as a migration does that changes it."""
    connection = await server.connect(database)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own, in memory."""

    folder: Path

    def give_to(self, server: Postgres) -> None:
        """Let a server have it all."""
        owner = server._place.data.stat()
        os.chown(self.folder, owner.st_uid, owner.st_gid)

    def fill(self) -> None:
        """Leave no room for anything."""
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            for size in (_MEBIBYTE, 512):
                try:
                    while filler.write(bytes(size)) == size:
                        pass
                except OSError:
                    continue

    def empty(self) -> None:
        """Give the room back."""
        (self.folder / "filler").unlink()


@contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Iterator[SmallDisk | None]:
    """Mount a small file system that a server may use; None where that is not permitted."""
    folder.mkdir()
    options = f"size={mebibytes}m,mode=0777"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=True)


async def move_log(server: Postgres, disk: SmallDisk) -> None:
    """Put a server's write-ahead log on another disk."""
    process = server._process
    assert process is not None
    process.send_signal(signal.SIGINT)
    await asyncio.to_thread(process.wait, 20)
    log = server._place.data / "pg_wal"
    moved = disk.folder / "pg_wal"
    shutil.copytree(log, moved)
    owner = log.stat()
    for path in (moved, *moved.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    moved.chmod(0o700)
    shutil.rmtree(log)
    log.symlink_to(moved)
    await server.up()


async def write_log(server: Postgres, database: str) -> None:
    """Write so much of the log that it needs room, until the server gives up."""
    connection = await server.connect(database)
    emit = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))"
    try:
        for _ in range(200):
            await connection.execute(emit)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return
    finally:
        connection.terminate()
    raise AssertionError("the log had room")
