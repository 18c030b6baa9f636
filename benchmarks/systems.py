"""Beside the rooms: the systems that are compared, and how each is started and asked.

May import: standard library, benchmarks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.programs import ROOT

POOL_SIZE = 20
HISTORY_MESSAGES = 10
QUESTION = "How do I start a ROS 2 node from Python, and where do its logs go?"
SYSTEM_PROMPT = (
    "You are the teaching assistant of an online robotics textbook. Answer from the book where you "
    "can, name the chapter, and say so when the book does not cover a question. Be brief, use "
    "plain words, and show short code samples only when they help. Never invent commands or "
    "package names. If the reader has selected a passage, answer about that passage first."
)

_UVICORN = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How one kind of question is asked.

    Attributes:
        path: Where it is posted.
        fields: What the body has beside the message and the session.
        token: What begins each token of a stream, and `end` what a whole one holds; empty for none.
    """

    path: str
    fields: Mapping[str, object]
    token: str = ""
    end: str = ""

    def body(self, session_id: str | None = None) -> str:
        """Return a question as JSON."""
        named = {} if session_id is None else {"session_id": session_id}
        return json.dumps({"message": QUESTION, **named, **self.fields}, separators=(",", ":"))

    @property
    def load_options(self) -> list[str]:
        """What the load generator is told."""
        options = ["-u", self.path, "-b", self.body(), "-B", self.body("%S")]
        return [*options, "-m", self.token, "-e", self.end] if self.token else options


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One of those that are compared.

    Attributes:
        module: What `python -m` starts, with its arguments.
        messages: The table that has them.
    """

    name: str
    module: tuple[str, ...]
    needs_migration: bool
    whole: Door
    streamed: Door
    messages: str

    def command(self, port: int) -> list[str]:
        """Return what starts it."""
        is_uvicorn = self.module[0] == "uvicorn"
        server = ["--port", str(port), *_UVICORN] if is_uvicorn else []
        return [sys.executable, "-m", *self.module, *server]


def environment(*, port: int, database_url: str, provider_url: str, home: str) -> dict[str, str]:
    """Return the whole environment of a system; it is the same for all."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "DATABASE_URL": database_url,
        "DATABASE_POOL_SIZE": str(POOL_SIZE),
        "OPENAI_API_KEY": "bench",
        "OPENAI_BASE_URL": provider_url,
        "OPENAI_MODEL": "fake-1",
        "SYSTEM_PROMPT": SYSTEM_PROMPT,
        "HISTORY_MESSAGES": str(HISTORY_MESSAGES),
    }


def _bare(name: str) -> System:
    return System(
        name=name,
        module=("uvicorn", f"benchmarks.apps.{name}:app"),
        needs_migration=False,
        whole=Door(path="/chat", fields={}),
        streamed=Door(path="/chat/stream", fields={}, token='"delta":', end='"done"'),
        messages="messages",
    )


CHATCORE = System(
    name="chatcore",
    module=("app", "serve"),
    needs_migration=True,
    whole=Door(path="/chat", fields={}),
    streamed=Door(path="/chat", fields={"stream": True}, token="event: delta", end="event: done"),
    messages="chatcore.messages",
)
PEER = _bare("peer")
LIMIT = _bare("limit")
ALL = (PEER, CHATCORE, LIMIT)
