"""The readers that the documents show, on connections that break.

May import: standard library, chatcore, pytest, tests, uvicorn.

Both are run as they stand in the document, by their own interpreters, against a service in this
process whose connections are cut at bad moments.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from chatcore import LLMUnavailable
from tests.architecture.source_tree import ROOT
from tests.docs import markdown, running
from tests.http.door import VISITOR_A, Door, open_door
from tests.http.sockets import serving

DOCUMENT = ROOT / "docs" / "how-to" / "stream-replies.md"
PATIENCE_SECONDS = 20

# What is added to each reader: print every text, then the reply.
IN_JAVASCRIPT = f"""
const show = (value) => console.log(JSON.stringify(value));
ask("{VISITOR_A}", {{ message: "x" }}, {{ onText: show }}).then(
  (reply) => show({{ reply }}),
  (problem) => show({{ code: problem.code }}),
);
"""
IN_PYTHON = f"""
TOKEN = "{VISITOR_A}"
text = ""
for name, data in ask({{"message": "x"}}):
    if name in ("delta", "restart"):
        text = text + data["text"] if name == "delta" else ""
        print(json.dumps(text), flush=True)
print(json.dumps({{"code": data["code"]}} if name == "error" else {{"reply": data}}))
"""


def block_of(language: str, address: str) -> str:
    """Return the one block in this language, for the service at an address."""
    found = markdown.read(DOCUMENT.read_text("utf-8")).blocks
    (block,) = [block for block in found if block.language == language]
    return running.at(address, block).text


def command_for(language: str, address: str, folder: Path) -> list[str]:
    """Write a reader to a file and return how to run it."""
    text = block_of(language, address)
    if language == "python":
        definitions, _, _ = text.partition('\ntext = ""\n')
        file = folder / "reader.py"
        file.write_text(definitions + IN_PYTHON, "utf-8")
        return [sys.executable, "-I", "-W", "error", str(file)]
    node = shutil.which("node")
    if node is None:
        pytest.skip("a reader in JavaScript runs on Node.js, which is not installed here")
    file = folder / "reader.mjs"
    file.write_text(text + IN_JAVASCRIPT, "utf-8")
    return [node, str(file)]


class Reader:
    """A reader at work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self) -> Any:
        """Wait for what it shows next."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self._process.stdout.readline()
        return json.loads(line)

    async def until(self, shown: str) -> None:
        """Wait until it shows this text, and see that it only ever grows towards it."""
        text = ""
        while text != shown:
            text = await self.next()
            assert shown.startswith(text)


@asynccontextmanager
async def reading(
    language: str, folder: Path
) -> AsyncIterator[tuple[Door, uvicorn.Server, Reader]]:
    """Start a service, and a reader of it."""
    async with (
        open_door(LLM_MAX_ATTEMPTS="2") as door,
        serving(door.app) as (place, server),
    ):
        command = command_for(language, f"http://{place[0]}:{place[1]}", folder)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            yield door, server, Reader(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def cut(server: uvicorn.Server) -> int:
    """Break every connection; return how many there were."""
    connections = list(server.server_state.connections)
    for connection in connections:
        connection.transport.abort()
    return len(connections)


async def connected(server: uvicorn.Server) -> None:
    """Wait until the old request has ended and the reader is back."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while server.server_state.tasks:
            await asyncio.sleep(0.01)
        while not server.server_state.tasks:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("language", ["javascript", "python"])
async def test_a_reader_whose_connection_breaks(language: str, tmp_path: Path) -> None:
    """G6: cut in the middle, cut again before anything new, and over a restart: text adds up."""
    async with reading(language, tmp_path) as (door, server, reader):
        first, second = door.llm.dictate(), door.llm.dictate()
        await door.llm.asked.wait()
        first.say("one é😀 ")
        await reader.until("one é😀 ")
        assert cut(server) == 1
        for _ in range(2):
            await connected(server)
            assert cut(server) == 1
        first.say("two")
        await reader.until("one é😀 two")
        cut(server)
        first.fail(LLMUnavailable("reset"))
        second.say("whole")
        assert await reader.next() == ""
        await reader.until("whole")
        second.end()
        reply = (await reader.next())["reply"]
    assert (reply["response"], reply["status"]) == ("whole", "completed")
    assert len(door.llm.requests) == 2


@pytest.mark.parametrize("language", ["javascript", "python"])
async def test_a_reader_whose_question_got_no_answer(language: str, tmp_path: Path) -> None:
    """G2: a question whose connection breaks before its turn is known is asked only once."""
    async with reading(language, tmp_path) as (door, server, reader):
        door.repository.may_answer.clear()
        await door.repository.asked.wait()
        assert cut(server) == 1
        door.repository.may_answer.set()
        shown = [await reader.next()]
        while not isinstance(shown[-1], dict):
            shown.append(await reader.next())
    assert shown[-1]["reply"]["response"] == shown[-2] == "You asked: x"
    assert len(door.llm.requests) == 1


@pytest.mark.parametrize("language", ["javascript", "python"])
async def test_a_reader_of_a_failure(language: str, tmp_path: Path) -> None:
    """A turn that fails is told by its code, and not asked again."""
    async with reading(language, tmp_path) as (door, _, reader):
        first, second = door.llm.dictate(), door.llm.dictate()
        first.fail(LLMUnavailable("reset"))
        second.fail(LLMUnavailable("reset"))
        shown = await reader.next()
        while shown == "":
            shown = await reader.next()
    assert shown == {"code": "llm_unavailable"}
    assert len(door.llm.requests) == 2
