"""Replicas by fork: one process imports everything once, and starts replicas in milliseconds.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1


class ForkServer:
    """The harness's end: asks for replicas, and is told when they end.

    Attributes:
        forks: How many replicas were started.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._on_exit: dict[int, Callable[[int], None]] = {}
        self._exits: dict[int, int] = {}
        self._reader = asyncio.create_task(self._read(), name="forkserver")
        self.forks = 0

    @classmethod
    async def start(cls) -> ForkServer:
        """Start it and return at once; the first fork waits for the imports."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.forkserver",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def fork(self, config: Mapping[str, Any], on_exit: Callable[[int], None]) -> int:
        """Start one replica and return its process id; `on_exit` gets its wait status."""
        self.forks += 1
        number = self.forks
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([number, config]).encode() + b"\n")
        pid = await answer
        if pid in self._exits:
            on_exit(self._exits.pop(pid))
        else:
            self._on_exit[pid] = on_exit
        return pid

    async def stop(self) -> None:
        """End it, and every replica with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), timeout=10)
        if self._process.returncode is None:
            self._process.kill()
        self._reader.cancel()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if said[0] == "forked":
                self._waiting.pop(said[1]).set_result(said[2])
            elif (told := self._on_exit.pop(said[1], None)) is not None:
                told(said[2])
            else:
                self._exits[said[1]] = said[2]
        for left in self._waiting.values():
            left.set_exception(RuntimeError("the fork server is gone"))


def _serve() -> None:
    """Fork for every line, and reap. Ends with its input, and takes every replica with it."""
    from tests.chaos import replica  # the heavy imports happen here, once

    replica.warm_up()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake_out, wake_in = os.pipe()
    os.set_blocking(wake_in, False)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    pending = b""
    while True:
        ready, _, _ = select.select([0, wake_out], [], [])
        if wake_out in ready:
            os.read(wake_out, 4096)
            _reap(children)
        if 0 in ready:
            chunk = os.read(0, 65536)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                number, config = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    _become_replica(replica.run, config, (wake_out, wake_in))
                children.add(pid)
                _tell("forked", number, pid)
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _reap(children: set[int]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        children.discard(pid)
        _tell("exit", pid, status)


def _tell(*said: object) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


def _become_replica(
    run: Callable[[dict[str, Any]], int], config: dict[str, Any], fds: tuple[int, ...]
) -> None:
    code = 70
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for fd in fds:
            os.close(fd)
        log = os.open(config["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        code = run(config)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001  # nothing may reach the fork server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
