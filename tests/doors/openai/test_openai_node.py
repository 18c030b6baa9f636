"""OpenAI's own client for JavaScript, on Node.js, over real HTTP.

May import: standard library, adapters, chatcore, pytest, tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.memory.llm import HANG, ScriptedAnswer
from chatcore import LLMUnavailable
from tests.doors.node.harness import process, projects
from tests.doors.openai.client import WHOLE
from tests.http.door import VISITOR_A, VISITOR_B, Door
from tests.http.sockets import Place

pytestmark = pytest.mark.node

SCRIPT = projects.PROJECTS / "openai6" / "client.mjs"
TEXT = "Balance is kept by moving the center of mass."
HELLO = [{"role": "user", "content": "hello"}]


class Client:
    """The client in its process."""

    def __init__(self, program: process.NodeProcess, place: Place) -> None:
        self._program = program
        self._base_url = "http://{}:{}/v1".format(*place)

    async def connect(self, key: str, *, max_retries: int = 0) -> None:
        """Make a client with this key."""
        await self._program.do(
            "connect", baseURL=self._base_url, apiKey=key, maxRetries=max_retries
        )

    async def call(self, path: str, *args: Any) -> Any:
        """Call a method and return what it returns."""
        return value(await self._program.do("call", path=path.split("."), args=args))

    async def refused(self, path: str, *args: Any) -> tuple[str, int, str | None]:
        """Call a method and return the error it raises: class, status, code."""
        found = (await self._program.do("call", path=path.split("."), args=args))["raised"]
        assert found["requestId"]
        return found["kind"], found["status"], found["code"]

    async def list(self, path: str, *args: Any) -> Any:
        """Walk a list, page by page."""
        return value(await self._program.do("list", path=path.split("."), args=args))

    async def open(self, name: str, path: str, *args: Any) -> None:
        """Open a stream."""
        value(await self._program.do("open", name=name, path=path.split("."), args=args))

    async def next(self, name: str, count: int = 1000) -> Any:
        """Read so many events of a stream, or all."""
        return value(await self._program.do("next", name=name, count=count))

    async def raised(self, name: str) -> Any:
        """Read a stream to the error it ends with."""
        return (await self._program.do("next", name=name, count=1000))["raised"]

    async def leave(self, name: str) -> None:
        """Go away from a stream."""
        await self._program.do("leave", name=name)

    async def helper(self, **given: Any) -> Any:
        """Let the helper `responses.stream` read it all."""
        return value(await self._program.do("helper", given=given))


def value(found: dict[str, Any]) -> Any:
    """Return what a call returned."""
    assert "raised" not in found, found
    return found["value"]


def text_of(events: list[dict[str, Any]]) -> str:
    """Return what the deltas add up to."""
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


@pytest.fixture
async def client(served: Place) -> AsyncIterator[Client]:
    """Give the client of one visitor."""
    script = projects.placed("openai6", SCRIPT)
    async with process.running(projects.node(), script) as program:
        made = Client(program, served)
        await made.connect(VISITOR_A)
        yield made


async def test_completions(client: Client, door: Door) -> None:
    """Whole and in parts, an error before and in the middle, and leaving."""
    whole = await client.call("chat.completions.create", {"model": "scripted", "messages": HELLO})
    assert whole["choices"][0]["message"]["content"] == "You asked: hello"
    asked = {"model": "scripted", "messages": HELLO, "stream": True}
    with_usage = {**asked, "stream_options": {"include_usage": True}}
    await client.open("a", "chat.completions.create", with_usage)
    chunks = await client.next("a")
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == (
        "You asked: hello"
    )
    assert chunks[-1]["usage"]["total_tokens"] > 0
    door.llm.script(LLMUnavailable("secret"))
    error = await client.refused("chat.completions.create", asked)
    assert error == ("InternalServerError", 502, "llm_unavailable")
    door.llm.script(ScriptedAnswer(("half ", LLMUnavailable("secret"))))
    await client.open("b", "chat.completions.create", asked)
    broken = await client.raised("b")
    assert (broken["kind"], broken["code"]) == ("APIError", "llm_unavailable")
    assert "secret" not in broken["message"]
    door.llm.script(ScriptedAnswer(("half ", HANG)))
    await client.open("c", "chat.completions.create", asked)
    await client.next("c", 1)
    await client.leave("c")
    async with asyncio.timeout(5):
        while door.llm.running:
            await asyncio.sleep(0.01)
    assert door.repository.is_empty


async def test_responses(client: Client, door: Door) -> None:
    """Asked, found again, gone on from, replaced, deleted."""
    first = await client.call("responses.create", {"input": "one", "metadata": {"a": "b"}})
    assert first["output_text"] == "You asked: one"
    found = await client.call("responses.retrieve", first["id"])
    assert found["output_text"] == first["output_text"]
    items = await client.list("responses.inputItems.list", first["id"])
    assert [item["content"][0]["text"] for item in items] == ["one"]
    after = {"input": "two", "previous_response_id": first["id"]}
    second = await client.call("responses.create", after)
    await client.call("responses.create", {**after, "input": "other"})
    told = [message.content for message in door.llm.requests[-1].prompt.messages]
    assert told == ["one", "You asked: one", "other"]
    gone = {"input": "x", "previous_response_id": second["id"]}
    error = await client.refused("responses.create", gone)
    assert error == ("BadRequestError", 400, "previous_response_not_found")
    alone = await client.call("responses.create", {"input": "x"})
    await client.call("responses.delete", alone["id"])
    error = await client.refused("responses.retrieve", alone["id"])
    assert error == ("NotFoundError", 404, "response_not_found")


async def test_streams(client: Client, door: Door) -> None:
    """Read, left, come back to while it is written and after its end."""
    door.llm.script(TEXT)
    done = await client.helper(input="x")
    kinds = [event["type"].removeprefix("response.") for event in done["events"]]
    assert list(dict.fromkeys(kinds)) == WHOLE
    assert [event["sequence_number"] for event in done["events"]] == list(range(len(kinds)))
    assert text_of(done["events"]) == done["final"]["output_text"] == TEXT
    again = await client.helper(response_id=done["final"]["id"], starting_after=5)
    assert [event["sequence_number"] for event in again["events"]] == list(range(6, len(kinds)))
    assert again["final"]["output_text"] == TEXT
    dictation = door.llm.dictate()
    await client.open("a", "responses.create", {"input": "x", "stream": True, "background": True})
    dictation.say("12345678ab")
    seen = await client.next("a", 5)
    assert text_of(seen) == "12345678"
    await client.leave("a")
    known, last = seen[0]["response"]["id"], seen[-1]["sequence_number"]
    query = {"stream": True, "starting_after": last}
    await client.open("b", "responses.retrieve", known, query)
    dictation.say("cdefghXY")
    dictation.end()
    rest = await client.next("b")
    assert text_of(rest) == "abcdefghXY"
    assert rest[0]["sequence_number"] == last + 1
    assert rest[-1]["response"]["status"] == "completed"


async def test_stopping_and_failing(client: Client, door: Door) -> None:
    """Both end the stream with an event, and the response says the same afterwards."""
    dictation = door.llm.dictate()
    await client.open("a", "responses.create", {"input": "x", "stream": True})
    dictation.say("12345678ab")
    seen = await client.next("a", 5)
    cancelled = await client.call("responses.cancel", seen[0]["response"]["id"])
    assert cancelled["status"] == "cancelled"
    assert cancelled["output"][0]["content"][0]["text"] == "12345678ab"
    assert (await client.next("a"))[-1]["type"] == "response.incomplete"
    door.llm.script(ScriptedAnswer(("half of it", LLMUnavailable("secret"))))
    await client.open("b", "responses.create", {"input": "x", "stream": True})
    failed = (await client.next("b"))[-1]
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["code"] == "server_error"
    await client.connect(VISITOR_A, max_retries=2)
    calls = len(door.llm.requests)
    door.llm.script(LLMUnavailable("secret"))
    error = await client.refused("responses.create", {"input": "x"})
    assert error == ("InternalServerError", 502, "llm_unavailable")
    assert len(door.llm.requests) == calls + 1


async def test_conversations(client: Client) -> None:
    """Made, gone on in, walked page by page, closed to others, erased."""
    items = [
        {"type": "message", "role": "user", "content": "one"},
        {"type": "message", "role": "assistant", "content": "two"},
    ]
    made = await client.call("conversations.create", {"items": items, "metadata": {"a": "b"}})
    await client.call("responses.create", {"input": "three", "conversation": made["id"]})
    for limit in (1, 3):
        query = {"order": "asc", "limit": limit}
        found = await client.list("conversations.items.list", made["id"], query)
        texts = [item["content"][0]["text"] for item in found]
        assert texts == ["one", "two", "three", "You asked: three"]
    await client.call("conversations.update", made["id"], {"metadata": {"c": "d"}})
    await client.connect(VISITOR_B)
    error = await client.refused("conversations.retrieve", made["id"])
    assert error == ("NotFoundError", 404, "conversation_not_found")
    await client.connect(VISITOR_A)
    assert (await client.call("conversations.retrieve", made["id"]))["metadata"] == {"c": "d"}
    assert (await client.call("conversations.delete", made["id"]))["deleted"] is True
    error = await client.refused("conversations.delete", made["id"])
    assert error == ("NotFoundError", 404, "conversation_not_found")


async def test_models_and_credentials(client: Client) -> None:
    """The one model, and a key that is none."""
    assert [model["id"] for model in await client.list("models.list")] == ["scripted"]
    await client.connect("sk-something")
    error = await client.refused("models.list")
    assert error == ("AuthenticationError", 401, "invalid_api_key")
