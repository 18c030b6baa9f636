"""`python -m app` as a process of its own, and a model for it that does as it is told.

May import: standard library, tests.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.ports import kept_port

ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-canary-key"
SLOW = "think slowly"
ENDLESS = "think for ever"


def environment(**settings: str) -> dict[str, str]:
    """Return a scrubbed environment with these settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}  # noqa: TID251
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | settings


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the error lines, having checked that there is no traceback and no secret."""
    assert "Traceback" not in done.stdout + done.stderr
    assert "canary" not in done.stdout + done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("error: ")]


class FakeModel(BaseHTTPRequestHandler):
    """Just enough of the API for a probe and an answer; 401 for any key but ours."""

    rival: socket.socket | None = None
    is_asked = Event()
    may_end = Event()

    def do_GET(self) -> None:
        """List no models; a rival takes this moment to listen."""
        if self.rival is not None:
            self.rival.listen()
        self._answer({"object": "list", "data": []})

    def do_POST(self) -> None:
        """Answer."""
        asked = self.rfile.read(int(self.headers["content-length"]))
        self.is_asked.set()
        if SLOW.encode() in asked:
            time.sleep(2)
        if ENDLESS.encode() in asked:
            self.may_end.wait(60)
            return
        message = {"role": "assistant", "content": "fine"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._answer({"id": "1", "model": "fake", "choices": [choice]})

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, body: dict[str, Any]) -> None:
        allowed = self.headers["authorization"] == f"Bearer {KEY}"
        raw = json.dumps(body if allowed else {"error": {"message": "wrong"}}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def fake_model() -> Iterator[str]:
    """Run a fake model and give its address."""
    FakeModel.may_end.clear()  # An earlier module's model has set it.
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeModel)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    FakeModel.may_end.set()
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def serving(
    folder: Path, *command: str, **settings: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run serve until it answers; kill at the end what has not ended by then, workers too."""
    with kept_port() as port:
        process = subprocess.Popen(
            [sys.executable, *(command or ("-m", "app", "serve"))],
            cwd=folder,
            env=environment(PORT=str(port), **settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                if process.poll() is not None or answers(address):
                    break
                time.sleep(0.1)
            yield process, address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def answers(address: str) -> bool:
    """Tell whether the service answers."""
    try:
        urllib.request.urlopen(f"{address}/health", timeout=2).close()
    except OSError:
        return False
    return True


def refuses(address: str) -> bool:
    """Tell whether nobody listens there any more, having waited for it."""
    host, port = address.removeprefix("http://").split(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.1)
    return False


def ask(address: str, message: str) -> dict[str, Any]:
    """Ask a question."""
    request = urllib.request.Request(
        f"{address}/chat",
        data=json.dumps({"message": message}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found
