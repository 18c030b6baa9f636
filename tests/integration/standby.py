"""A synchronous standby of a PostgreSQL server, to fail over to.

May import: standard library, adapters, tests.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

from adapters.embedded.places import Place, prepare
from tests.chaos.postgres import _SETTINGS, PORT, Postgres, _socket_dir

_CATCH_UP_SECONDS = 15.0


async def follow(primary: Postgres, folder: Path) -> Postgres:
    """Copy a server and start the copy as its standby; commits wait for it from then on."""
    place = await asyncio.to_thread(prepare, folder / "pg")
    await asyncio.to_thread(_copy, primary, place)
    standby = Postgres(place, _socket_dir(), settings=dict(_SETTINGS))
    await standby.up()
    waits = ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"]
    await primary.execute("postgres", waits)
    give_up = time.monotonic() + _CATCH_UP_SECONDS
    while time.monotonic() < give_up:
        rows = await primary.execute("postgres", ["SELECT sync_state FROM pg_stat_replication"])
        if [row["sync_state"] for row in rows] == ["sync"]:
            return standby
        await asyncio.sleep(0.05)
    raise AssertionError("the standby does not follow")


def _copy(primary: Postgres, place: Place) -> None:
    account = place.account
    place.data.mkdir(mode=0o700)
    if account is not None:
        os.chown(place.data, account.uid, account.gid)
    where = ["-h", str(primary._socket_dir), "-p", str(PORT), "-U", "postgres", "-D", "data"]
    done = subprocess.run(
        [place.binaries / "pg_basebackup", *where, "-R", "-c", "fast"],
        cwd=place.home,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def kill(server: Postgres) -> None:
    """End a server without a word, for good."""
    assert server._process is not None
    server._process.kill()
    server._process.wait()


async def promote(standby: Postgres) -> None:
    """Make a standby the primary."""
    [row] = await standby.execute("postgres", ["SELECT pg_promote() AS done"])
    assert row["done"]


async def demote(primary: Postgres) -> None:
    """Let a server that goes on running write no more, as one does that has become a standby."""
    await primary.execute(
        "postgres",
        ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"],
    )
