"""The JavaScript that docs/how-to/ai-sdk.md shows, run as it stands with both versions.

May import: standard library, pytest, tests.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.docs import markdown, running
from tests.doors.node.harness import projects
from tests.http.door import Door
from tests.http.sockets import Place

pytestmark = pytest.mark.node

DOCUMENT = ROOT / "docs" / "how-to" / "ai-sdk.md"
BROWSER = """
globalThis.localStorage = {
  kept: new Map(),
  getItem: (name) => localStorage.kept.get(name) ?? null,
  setItem: (name, value) => localStorage.kept.set(name, value),
};
"""
PAGE = """
import { Chat } from "@ai-sdk/react";

const id = "chat";
const page = new Chat({ id, transport, messages: await messagesOf(id) });
await page.sendMessage({ text: "one" });
const again = new Chat({ id, transport, messages: await messagesOf(id) });
const sending = again.sendMessage({ text: "two" });
while (!again.lastMessage.parts.some((part) => part.text === "half")) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
await stop(id, again.lastMessage);
await sending;
console.log(JSON.stringify({ texts: again.messages.map(textOf), status: again.status }));
"""


@pytest.mark.parametrize("project", ["ai6", "ai7"])
async def test_the_page_in_the_document(
    door: Door, served: Place, project: str, tmp_path: Path
) -> None:
    """It has chats of its own, loads and stops them, and shows what counts of an answer."""
    blocks = markdown.read(DOCUMENT.read_text("utf-8")).blocks
    (block,) = [block for block in blocks if block.language == "javascript"]
    shown = running.at(f"http://{served[0]}:{served[1]}", block).text
    script = tmp_path / "page.mjs"
    script.write_text(BROWSER + shown + PAGE, "utf-8")
    dictation = door.llm.dictate()
    dictation.say("first")
    dictation.end()
    door.llm.dictate().say("half")
    process = await asyncio.create_subprocess_exec(
        projects.node(),
        str(projects.placed(project, script)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), timeout=30)
    assert errors == b""
    assert json.loads(output) == {"texts": ["one", "first", "two", "half"], "status": "ready"}
