"""A program of Node.js that does what it is told, line by line.

May import: standard library.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 30.0


class NodeProcess:
    """Tells a program what to do, one JSON object a line, and reads its answers.

    It belongs to no event loop, so that tests with loops of their own can share it.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._answers: dict[int, Future[Any]] = {}
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    async def do(self, operation: str, **given: Any) -> Any:
        """Have something done and return its result.

        Raises:
            AssertionError: It failed there.
        """
        number = next(self._numbers)
        line = json.dumps({"number": number, "operation": operation, **given})
        answer = self._answers[number] = Future()
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            found = await asyncio.wrap_future(answer)
        assert "error" not in found, found["error"]
        return found["result"]

    def end(self) -> None:
        """Let the program end, and wait until it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._listening.join()
        self._process.stdout.close()

    def _listen(self) -> None:
        """Take answers until there are no more."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = json.loads(line)
            answer = self._answers.pop(found["number"])
            if answer.set_running_or_notify_cancel():
                answer.set_result(found)
        for answer in self._answers.values():
            if answer.set_running_or_notify_cancel():
                answer.set_result({"error": "the program has ended"})


@contextmanager
def kept(node: str, script: Path) -> Iterator[NodeProcess]:
    """Run a program for as long as it is needed, by any number of tests."""
    process = subprocess.Popen(
        [node, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    program = NodeProcess(process)
    try:
        yield program
    finally:
        program.end()


@asynccontextmanager
async def running(node: str, script: Path) -> AsyncIterator[NodeProcess]:
    """Run a program for one test."""
    with kept(node, script) as program:
        yield program
