"""Beside the rooms: the programs in C, and how programs are started, awaited and ended.

May import: standard library, benchmarks.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError

ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("provider", "load")
_COMPILERS = ("cc", "gcc", "clang")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


def compile_programs(folder: Path) -> None:
    """Put the provider and the load generator into a folder.

    Raises:
        BenchmarkError: There is no C compiler, or it fails.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise BenchmarkError(
            "the provider and the load generator are written in C, and no C compiler was found; "
            "on Debian and Ubuntu: apt install gcc libc6-dev"
        )
    for name in _SOURCES:
        source = Path(__file__).with_name(f"{name}.c")
        done = subprocess.run(
            [compiler, "-O2", "-o", folder / name, source],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchmarkError(f"{compiler} does not compile {source.name}:\n{done.stderr}")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A server that was started here, and is ended here.

    Args:
        command: What to run.
        log: Where its output goes.
        environment: All of its environment.
        folder: Where it runs.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command), cwd=folder, env=dict(environment), stdout=output, stderr=output
            )

    @property
    def pid(self) -> int:
        """The process id of the one that was started."""
        return self._process.pid

    def await_answer(self, url: str) -> None:
        """Wait until it answers HTTP requests, whatever it answers.

        Raises:
            BenchmarkError: It ended, or took too long.
        """
        give_up_at = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up_at and self._process.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=5).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        said = self._log.read_text("utf-8", errors="replace")[-2000:]
        raise BenchmarkError(f"a server does not start: {self._process.args!r}\n{said}")

    def stop(self) -> None:
        """End it, and kill it where that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
