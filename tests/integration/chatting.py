"""Clients that go on chatting while processes come, go and die, and miss nothing.

May import: standard library, aiohttp, tests.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

from tests import provider as say
from tests.integration.reading import Reading
from tests.integration.served import Service
from tests.provider import Provider, Reply, Request

TROUBLE = (aiohttp.ClientError, OSError)
"""What a client sees of a process that is gone, besides answers."""
WINDOW = 10
PATIENCE_SECONDS = 30.0
_PACE_SECONDS = 0.03


@dataclass(eq=False)
class Replica:
    """A process that clients are sent to, and whether its version streams."""

    service: Service
    streams: bool


def answers(provider: Provider) -> None:
    """Have every question answered in words of its own, which tell one call from another.

    A question says after its last `/` in how many words, one every few hundredths of a second.
    """
    calls = itertools.count(1)

    def answer(request: Request) -> Reply:
        if request.method == "GET":
            return say.json_reply({"object": "list", "data": []})
        question = request.json["messages"][-1]["content"]
        size = int(question.rpartition("/")[2])
        number = next(calls)
        words = [f"{question} call{number} ", *(f"word{n} " for n in range(size))]
        if request.json.get("stream"):
            return say.streamed(words, pause_seconds=_PACE_SECONDS)
        return say.whole("".join(words), delay_seconds=_PACE_SECONDS * size)

    provider.default(answer)


class Crowd:
    """All clients, and where they may send to.

    Attributes:
        replicas: Where the next request may go; it may be gone by then.
        refusals: What was answered in place of a reply: status and code, how often.
        breaks: How often a process was gone, or left in the middle of an answer.
    """

    def __init__(self, size: int) -> None:
        self.replicas: list[Replica] = []
        self.refusals: Counter[tuple[int, str]] = Counter()
        self.breaks = 0
        self.chatters = [Chatter(f"chatter{number}", self) for number in range(size)]
        self._is_over = False

    def pick(self, *, that_streams: bool = False) -> Replica:
        """Return any replica."""
        return random.choice([each for each in self.replicas if each.streams or not that_streams])

    async def chat(self) -> None:
        """Let everybody chat until `end` is called, each turn to its end."""
        async with asyncio.TaskGroup() as group:
            for chatter in self.chatters:
                group.create_task(self._chat(chatter))

    def end(self) -> None:
        """Ask nothing more."""
        self._is_over = True

    async def _chat(self, chatter: Chatter) -> None:
        while not self._is_over:
            await chatter.ask()
            for replica in list(self.replicas):
                await chatter.compare(replica)


@dataclass(eq=False)
class Chatter:
    """One client with one session: what it said and was told is what all replicas must show.

    Attributes:
        said: Every message, oldest first: role, text, turn.
        stopped: Turns that were stopped before there was any answer; the model never sees them.
        asked: For each question what the model is to be given: the window and the question.
    """

    name: str
    crowd: Crowd
    session_id: str | None = None
    said: list[tuple[str, str, str]] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    asked: dict[str, list[str]] = field(default_factory=dict)

    def question(self, size: int) -> str:
        """Return the next question, to be answered in so many words."""
        question = f"{self.name}, question {len(self.asked) + 1} /{size}"
        history = [text for _, text, turn_id in self.said if turn_id not in self.stopped]
        self.asked[question] = [*history[-WINDOW:], question]
        return question

    async def ask(self, *, size: int = 8, at: Replica | None = None) -> None:
        """Ask a question until it is answered: again by the same key, or by coming back to it."""
        question = self.question(size)
        body: dict[str, Any] = {"message": question}
        if self.session_id is not None:
            body["session_id"] = self.session_id
        headers = {"Idempotency-Key": str(uuid4())}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (done := await self._try(at or self.crowd.pick(), body, headers)) is None:
                await asyncio.sleep(0.05)
        self.take(question, done)

    def take(self, question: str, done: dict[str, Any]) -> None:
        """Remember a turn that has ended."""
        self.session_id = done["session_id"]
        turn_id = done["turn_id"]
        self.said += [("user", question, turn_id), ("assistant", done["response"], turn_id)]

    async def compare(self, replica: Replica) -> None:
        """See that a replica shows the session as it came to pass, if it answers at all."""
        try:
            status, page = await replica.service.call(
                "GET", f"/sessions/{self.session_id}/messages?limit=100"
            )
        except TROUBLE:
            self.crowd.breaks += 1
            return
        if status != 200:
            self._refused(status, page)
            return
        items = page["items"]
        shown = [(item["role"], item["content"], item["turn_id"]) for item in items]
        assert shown == self.said[-100:]
        assert {item["turn_status"] for item in items} <= {"completed", "stopped"}
        positions = range(1, len(self.said) + 1)[-100:]
        assert [item["position"] for item in items] == list(positions)

    async def _try(
        self, replica: Replica, body: dict[str, Any], headers: dict[str, str]
    ) -> dict[str, Any] | None:
        wants_stream = replica.streams and random.random() < 0.5
        fields = {**body, "stream": True} if wants_stream else body
        service = replica.service
        try:
            sent = service.client.post(f"{service.address}/chat", json=fields, headers=headers)
            async with sent as answer:
                if answer.content_type == "text/event-stream":
                    return await self._read_to_the_end(answer)
                found: dict[str, Any] = await answer.json(content_type=None)
                if answer.status == 200:
                    return found
                self._refused(answer.status, found)
        except TROUBLE:
            self.crowd.breaks += 1
        return None

    async def _read_to_the_end(self, answer: aiohttp.ClientResponse) -> dict[str, Any] | None:
        """Read a stream, go on with it elsewhere if it breaks off, and check what it adds up to."""
        reading = Reading(answer.status)
        await reading.read(answer)
        while "done" not in reading.names:
            if not reading.events:
                self.crowd.breaks += 1
                return None
            assert set(reading.names) <= {"turn", "delta", "restart"}, reading.events[-1]
            await self._read_on(reading)
        done: dict[str, Any] = reading.events[-1].data
        assert reading.text == done["response"]
        return done

    async def _read_on(self, reading: Reading) -> None:
        await asyncio.sleep(0.05)
        self.crowd.breaks += 1
        place = reading.events[0].data
        service = self.crowd.pick(that_streams=True).service
        path = f"/sessions/{place['session_id']}/turns/{place['turn_id']}/events"
        after = {"Last-Event-ID": reading.last_id} if reading.last_id else {}
        try:
            async with service.client.get(service.address + path, headers=after) as answer:
                if answer.status == 200:
                    await reading.read(answer)
                else:
                    self._refused(answer.status, await answer.json(content_type=None))
        except TROUBLE:
            pass

    def _refused(self, status: int, problem: dict[str, Any]) -> None:
        assert problem["retryable"], problem
        assert problem["code"] != "turn_interrupted", "lost: its key will never find an answer"
        self.crowd.refusals[status, problem["code"]] += 1


def check_calls(provider: Provider, chatters: Iterable[Chatter]) -> Counter[str]:
    """Return how often each question was sent to the model, having checked what went along."""
    expected = {question: asked for each in chatters for question, asked in each.asked.items()}
    sent: Counter[str] = Counter()
    for request in provider.requests:
        if request.method == "POST":
            contents = [said["content"] for said in request.json["messages"][1:]]
            assert contents == expected[contents[-1]]
            sent[contents[-1]] += 1
    assert sent.keys() == expected.keys()
    return sent
