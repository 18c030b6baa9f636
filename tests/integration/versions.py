"""Versions of this project, earlier and later, served side by side.

May import: standard library, adapters, aiohttp, pytest, tests.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import socket
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from adapters.postgres.schema_version import head
from tests.archives import unpack
from tests.integration.served import ROOT, Done, Service, environment, until_ready

HASTE = {"lease_seconds": 3.0, "pulse_seconds": 0.1, "sweep_seconds": 0.3}
"""A policy under which what a dead process left is found soon; versions take what they know."""

# Runs in the version's own folder and with its own modules, so it uses only what all have.
_SERVE = """
import dataclasses, json, sys
from dependency_injector import providers
from app import cli, main
from app.container import AppContainer
from app.settings import Settings
container = AppContainer(settings=Settings.load())
policy = container.policy()
wanted = json.loads(sys.argv[1])
known = {field.name for field in dataclasses.fields(policy)}
policy = dataclasses.replace(policy, **{name: wanted[name] for name in known & wanted.keys()})
container.policy.override(providers.Object(policy))
main.AppContainer = lambda **_: container
sys.exit(cli.serve(drain_seconds=float(sys.argv[2])))
"""


_PROGRAM = ("adapters", "app", "chatcore", "migrations")
_FURTHER_MIGRATION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "{after}", "{before}", None, None


def upgrade() -> None:
    op.execute("ALTER TABLE turns ADD COLUMN mood text")
    op.execute("ALTER TABLE attempts ADD COLUMN effort integer NOT NULL DEFAULT 0")
    op.execute("INSERT INTO schema_compatibility VALUES ('{before}')")
"""


@dataclass(frozen=True)
class Version:
    """One version of this project: this one, an earlier one, or one like the next may be.

    Attributes:
        name: For the folder it is unpacked into.
        commit: Of an earlier one: where it is in the history.
        is_next: This one with one more migration, of the kind that is allowed.
        streams: Whether it streams and takes turns over.
        stays_ready: Whether it says it is ready on the tables of the version after it.
    """

    name: str
    commit: str = ""
    is_next: bool = False
    streams: bool = True
    stays_ready: bool = True

    def unpack(self, folder: Path) -> Path:
        """Return a folder with this version's files, made if need be.

        Skips the test where the history is not at hand: a tarball, or a shallow clone.
        """
        where = folder / f"version-{self.name}"
        if where.exists():
            return where
        if self.commit:
            with tarfile.open(fileobj=io.BytesIO(_archive(self.commit))) as packed:
                unpack(packed, where, packed.getmembers())
        elif self.is_next:
            for name in _PROGRAM:
                shutil.copytree(ROOT / name, where / name)
            after = f"{int(head()) + 1:04d}"
            migration = _FURTHER_MIGRATION.format(before=head(), after=after)
            (where / "migrations" / "versions" / f"{after}_more.py").write_text(migration, "utf-8")
        else:
            return ROOT
        return where


def _archive(commit: str) -> bytes:
    """Return all files of a commit; skips the test where it cannot be there."""
    if shutil.which("git") is None:
        pytest.skip("earlier versions are in the project's history, and git is not installed")
    if not (ROOT / ".git").exists():
        pytest.skip("earlier versions are in the project's history, and this is no clone of it")
    try:
        return _git("archive", "--format=tar", commit)
    except subprocess.CalledProcessError:
        if _git("rev-parse", "--is-shallow-repository").strip() == b"true":
            pytest.skip("earlier versions are in the project's history; this clone is shallow")
        raise


def _git(*arguments: str) -> bytes:
    # Where tests run as another user than the clone's, git would otherwise refuse to look at it.
    command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    return done.stdout


@asynccontextmanager
async def serving_version(
    folder: Path, *, drain_seconds: float, settings: dict[str, str]
) -> AsyncIterator[Service]:
    """Run the version in a folder, in haste, until it answers; end it at the end if it is there.

    Args:
        folder: Of the version, as unpacked.
        drain_seconds: How long its turns may go on after SIGTERM.
        settings: By the names of the environment variables.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SERVE, json.dumps(HASTE), str(drain_seconds)),
        cwd=folder,
        env=environment(**settings, PORT=str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        service = Service(process, f"http://127.0.0.1:{port}", client)
        try:
            await until_ready(service)
            yield service
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def run_in(folder: Path, *arguments: str, settings: dict[str, str]) -> Done:
    """Run Python with these arguments in the folder of a version."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=folder,
        env=environment(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), timeout=60)
    return Done(process.returncode, output, errors.decode())
