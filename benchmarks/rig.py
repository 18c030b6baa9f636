"""Beside the rooms: PostgreSQL, the provider and the systems, started, driven and measured.

May import: standard library, benchmarks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import machine
from benchmarks.errors import BenchmarkError
from benchmarks.postgres import Postgres
from benchmarks.profiles import STREAM, TURN, Profile
from benchmarks.programs import Program, compile_programs, free_port
from benchmarks.samples import Sample, Used, make_sample
from benchmarks.systems import System, environment

_WARM_UP_SECONDS = 1.0
# Beyond the time that was asked for: the load generator waits ten seconds for the last answers.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One running process of a system."""

    system: System
    database: str
    port: int
    program: Program

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


class Rig:
    """Everything that runs during a benchmark; leaving it ends all of it.

    Attributes:
        folder: For files of the run; removed at the end.
        runs: Every single run so far.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chatcore-bench-"))
        self.folder.chmod(0o755)  # The server may run as another user.
        self.runs: list[Sample] = []
        self._apps: list[App] = []

    def __enter__(self) -> Self:
        try:
            compile_programs(self.folder)
            self.postgres = Postgres(self.folder / "data")
            port = free_port()
            self._provider = Program(
                [str(self.folder / "provider"), str(port)],
                log=self.folder / "provider.log",
                environment={},
                folder=self.folder,
            )
            self._provider_url = f"http://127.0.0.1:{port}"
            self._provider.await_answer(f"{self._provider_url}/config")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def start(self, system: System, *, database: str | None = None) -> App:
        """Start one process of a system, on a database of its own unless one is named.

        Raises:
            BenchmarkError: It does not start; with the end of its log.
        """
        port = free_port()
        is_first = database is None
        database = database or f"{system.name}_{port}"
        if is_first:
            self.postgres.create(database)
        variables = environment(
            port=port,
            database_url=self.postgres.url(database),
            provider_url=f"{self._provider_url}/v1",
            home=str(self.folder),
        )
        if system.needs_migration and is_first:
            self._migrate(variables)
        log = self.folder / f"{system.name}-{port}.log"
        program = Program(system.command(port), log=log, environment=variables, folder=self.folder)
        app = App(system=system, database=database, port=port, program=program)
        self._apps.append(app)
        program.await_answer(f"{app.url}/nothing")
        return app

    def stop(self, app: App) -> None:
        """End one process."""
        self._apps.remove(app)
        app.program.stop()

    def configure_provider(self, query: str) -> dict[str, Any]:
        """Tell the provider how to answer, and return its counters."""
        with urllib.request.urlopen(f"{self._provider_url}/config?{query}", timeout=5) as answer:
            counters: dict[str, Any] = json.load(answer)
            return counters

    def warm_up(self, app: App) -> None:
        """Let a process fill its pools and caches, and import what it imports late."""
        for profile in (TURN, STREAM):
            self.measure([app], profile, round_=0, seconds=_WARM_UP_SECONDS, keep=False)

    def measure(
        self,
        apps: Sequence[App],
        profile: Profile,
        *,
        round_: int,
        seconds: float | None = None,
        options: Sequence[str] = (),
        may_fail: bool = False,
        keep: bool = True,
        name: str | None = None,
    ) -> Sample:
        """Put one profile's load on each of these processes, all at once.

        Args:
            apps: At least one, of one system.
            profile: What is asked.
            round_: Number of the round.
            seconds: How long, after the warm-up; the profile's own time unless said.
            options: More options of the load generator.
            may_fail: Whether errors are for the caller to judge.
            keep: Whether the run counts.
            name: What the run is called, if not like the profile.

        Raises:
            BenchmarkError: A request failed.
        """
        self.configure_provider(profile.provider)
        lasts = seconds or profile.seconds
        before = self._used(apps)
        loads = [self.load(app, profile, seconds=lasts, options=options) for app in apps]
        printed = [_finish(load, lasts) for load in loads]
        sample = make_sample(
            printed,
            self._used(apps).since(before),
            system=apps[0].system.name,
            profile=name or profile.name,
            round_=round_,
            rss_mib=sum(machine.rss_mib(app.program.pid) for app in apps),
        )
        if keep:
            self.runs.append(sample)
        return sample if may_fail else sample.checked()

    def load(
        self, app: App, profile: Profile, *, seconds: float, options: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Start the load generator."""
        door = app.system.streamed if profile.is_stream else app.system.whole
        command = [str(self.folder / "load"), "-p", str(app.port), "-d", str(seconds)]
        command += [*profile.load, *door.load_options, *options]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={}
        )

    def _used(self, apps: Sequence[App]) -> Used:
        return Used(
            app=sum(machine.cpu_ms(app.program.pid) for app in apps),
            postgres=machine.cpu_ms(self.postgres.pid),
            provider=self.configure_provider("")["cpu_ms"],
            machine=machine.busy_ms(),
        )

    def _migrate(self, variables: dict[str, str]) -> None:
        command = [sys.executable, "-m", "app", "migrate"]
        done = subprocess.run(
            command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkError(f"chatcore does not migrate:\n{done.stdout}{done.stderr}")

    def _stop(self) -> None:
        for app in self._apps:
            app.program.stop()
        if hasattr(self, "_provider"):
            self._provider.stop()
        if hasattr(self, "postgres"):
            self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _finish(load: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    try:
        printed, complaint = load.communicate(timeout=seconds + _PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        load.kill()
        load.communicate()
        raise BenchmarkError("the load generator does not end") from None
    if load.returncode:
        raise BenchmarkError(f"the load generator fails: {complaint}")
    result: dict[str, Any] = json.loads(printed)
    return result


def await_load(load: subprocess.Popen[str], seconds: float) -> None:
    """Wait for a load generator that was started with `Rig.load`.

    Raises:
        BenchmarkError: It failed, or a request did.
    """
    printed = _finish(load, seconds)
    if printed["errors"]:
        raise BenchmarkError(f"{printed['errors']} errors; the first: {printed['first_error']}")


def pause(seconds: float) -> None:
    """Let what was begun settle."""
    time.sleep(seconds)
