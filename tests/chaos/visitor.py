"""A client of the service: everything it does and sees goes into the history.

May import: standard library, aiohttp, tests.chaos.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import aiohttp

from tests.chaos.history import History
from tests.chaos.provider import tag
from tests.chaos.reading import Reading

TROUBLE = (aiohttp.ClientError, OSError, TimeoutError)
_JSON_SECONDS = 12.0
_ENDED = ("llm_", "turn_interrupted", "internal_error")


@dataclass
class Talk:
    """One session, as its visitor knows it.

    Attributes:
        session: Its id; None before the first question was accepted.
        stopped: The turn that was stopped last, if nothing was sent since.
        is_certain: Whether every question sent so far had an answer that came.
        turns: The turns known to be in it, oldest first.
    """

    session: str | None = None
    stopped: str | None = None
    is_certain: bool = True
    turns: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """What became of a question.

    Attributes:
        kind: `answer`, `failed`, `refused`, `unknown`, or `cut` (accepted, the end not seen).
        turn: Its turn, or the one that was in its way.
    """

    kind: str
    status: int = 0
    code: str = ""
    turn: str | None = None
    text: str = ""
    message: str | None = None
    reading: Reading | None = None


class Visitor:
    """One owner. It may do several things at once.

    Args:
        name: `v` and a number: it is in every word of every answer.
        http: Sends.
        history: Where everything goes.
        route: Picks the replica for a request.
        rng: Decides.

    Attributes:
        authorization: What says who it is: the header of that name.
    """

    def __init__(
        self,
        name: str,
        *,
        http: aiohttp.ClientSession,
        history: History,
        route: Callable[[], str],
        rng: random.Random,
    ) -> None:
        self.name = name
        self.history = history
        self.rng = rng
        self.route = route
        self._http = http
        token = f"visitor-{name}-{rng.getrandbits(160):040x}"
        self.authorization = f"Bearer {token}"
        self._headers = {"Authorization": self.authorization}
        self._questions = itertools.count(1)

    def question(self, **options: object) -> str:
        """Return a question of its own; the options tell the model what to do."""
        return tag(f"{self.name}.{next(self._questions)}", **options)

    def key(self) -> str:
        """Return an idempotency key of its own."""
        return str(UUID(int=self.rng.getrandbits(128)))

    async def ask(
        self,
        talk: Talk,
        text: str,
        *,
        key: str | None = None,
        stream: bool = True,
        on_busy: str | None = None,
        leave_at: int | None = None,
        at: str | None = None,
        path: str = "/chat",
    ) -> Outcome:
        """Send a question once, and wait for its answer, or leave in the middle of it."""
        body: dict[str, Any] = {"stream": stream}
        if path == "/chat":
            body["session_id"] = talk.session
        if not path.endswith("/regenerate"):
            body["message"] = text
        if on_busy:
            body["on_busy"] = on_busy
        if on_busy == "supersede":
            self.history.add("superseding", t0=time.monotonic(), session=talk.session)
        headers = {"Idempotency-Key": key} if key else {}
        stopped, talk.stopped = talk.stopped, None
        began = time.monotonic()
        asked = _Asked(talk, text, key, began, stopped, talk.is_certain, path)
        reading = Reading(on_opened=partial(self._accept, asked))
        try:
            async with self._send("POST", path, at=at, body=body, headers=headers) as response:
                if response.content_type == "text/event-stream":
                    outcome = await self._read_stream(asked, response, reading, leave_at)
                else:
                    document = await response.json(content_type=None)
                    outcome = self._read_document(asked, response.status, document)
        except TROUBLE as error:
            if reading.turn is not None:
                outcome = self._note_reading(asked, reading)
            else:
                outcome = self._unknown(asked, "ask", error)
        return outcome

    async def ask_until_known(
        self, talk: Talk, text: str, *, patience_seconds: float = 20.0, **options: Any
    ) -> Outcome:
        """Send a question, the same again while its fate is unknown, and see it through."""
        options["key"] = options.get("key") or self.key()
        give_up = time.monotonic() + patience_seconds
        pause = 0.02
        while True:
            certain = talk.is_certain
            outcome = await self.ask(talk, text, **options)
            if outcome.kind == "cut" and options.get("leave_at") is None:
                outcome = await self.see_through(talk, outcome, give_up=give_up)
            is_open = outcome.kind == "unknown" or (
                outcome.kind == "refused" and outcome.status == 503
            )
            if not is_open:
                if certain and outcome.kind != "refused":
                    talk.is_certain = True
                return outcome
            if time.monotonic() > give_up:
                return outcome
            await asyncio.sleep(pause * self.rng.uniform(0.5, 1.5))
            pause = min(0.5, 2 * pause)

    async def see_through(
        self, talk: Talk, outcome: Outcome, *, give_up: float, at: str | None = None
    ) -> Outcome:
        """Come back to a turn whose stream broke off, until its end is seen."""
        reading = outcome.reading
        assert outcome.turn is not None
        pause = 0.02
        while time.monotonic() < give_up:
            after = reading.position if reading is not None else None
            found = await self.follow(talk, outcome.turn, after=after, at=at)
            if found is not None:
                reading = found
                if not found.is_cut:
                    return self._as_outcome(found)
            await asyncio.sleep(pause)
            pause = min(0.3, 2 * pause)
        return Outcome("cut", turn=outcome.turn, reading=reading)

    async def follow(
        self,
        talk: Talk,
        turn: str,
        *,
        after: str | None = None,
        leave_at: int | None = None,
        at: str | None = None,
        until_attempt: int | None = None,
    ) -> Reading | None:
        """Read a turn from a place on; None if the stream did not begin."""
        if after is not None and after.endswith(".end"):
            after = after.removesuffix(".end")
        place = None if after is None else tuple(int(part) for part in after.split("."))
        reading = Reading(start=place)  # type: ignore[arg-type]  # two numbers
        reading.session, reading.turn = talk.session, turn
        asked = _Asked(talk, "", None, time.monotonic(), None, True, "events", turn, after)
        path = f"/sessions/{talk.session}/turns/{turn}/events"
        headers = {"Last-Event-ID": after} if after else {}
        seconds = _JSON_SECONDS if until_attempt is None else None
        try:
            async with self._send("GET", path, at=at, headers=headers, seconds=seconds) as response:
                if response.status == 204:
                    return reading
                if response.content_type != "text/event-stream":
                    document = await response.json(content_type=None)
                    self._read_document(asked, response.status, document)
                    return None
                await reading.consume(response, leave_at=leave_at, until_attempt=until_attempt)
        except TROUBLE as error:
            if not reading.runs:
                self._unknown(asked, "follow", error)
                return None
        self._note_reading(asked, reading)
        return reading

    async def stop(self, talk: Talk, turn: str, *, at: str | None = None) -> bool:
        """Stop a turn; returns whether that was confirmed."""
        self.history.add("stopping", t0=time.monotonic(), session=talk.session, turn=turn)
        path = f"/sessions/{talk.session}/turns/{turn}/stop"
        found = await self._call("stop", talk, "POST", path, at=at)
        if found is None:
            return False
        talk.stopped = turn
        self._note_turn("stopped", talk, found)
        return True

    async def look(self, talk: Talk, turn: str, *, at: str | None = None) -> dict[str, Any] | None:
        """Look a turn up."""
        path = f"/sessions/{talk.session}/turns/{turn}"
        found = await self._call("look", talk, "GET", path, at=at)
        if found is not None:
            self._note_turn("seen", talk, found)
        return found

    async def pry(self, session: str, turn: str) -> None:
        """Try to look at what belongs to somebody else."""
        ways = {
            "turn": ("GET", f"/sessions/{session}/turns/{turn}"),
            "events": ("GET", f"/sessions/{session}/turns/{turn}/events"),
            "messages": ("GET", f"/sessions/{session}/messages"),
            "stop": ("POST", f"/sessions/{session}/turns/{turn}/stop"),
        }
        for op, (method, path) in ways.items():
            try:
                async with self._send(method, path) as response:
                    if response.status < 300:
                        self.history.add("leak", visitor=self.name, session=session, op=op)
            except TROUBLE:
                continue

    async def messages(self, talk: Talk) -> list[dict[str, Any]]:
        """Read the newest messages."""
        path = f"/sessions/{talk.session}/messages"
        found = await self._call("messages", talk, "GET", path)
        if found is None:
            return []
        items: list[dict[str, Any]] = found["items"]
        rows = [[i["position"], i["role"], i["turn_id"], i["content"]] for i in items]
        self.history.add("page", **found["_times"], session=talk.session, items=rows)
        return items

    async def erase(self, talk: Talk) -> bool:
        """Erase the session; returns whether that was confirmed."""
        found = await self._call("erase", talk, "DELETE", f"/sessions/{talk.session}")
        if found is None:
            return False
        self.history.add("erased", **found["_times"], session=talk.session)
        return True

    async def _call(
        self, op: str, talk: Talk, method: str, path: str, *, at: str | None = None
    ) -> dict[str, Any] | None:
        began = time.monotonic()
        asked = _Asked(talk, "", None, began, None, True, op)
        try:
            async with self._send(method, path, at=at) as response:
                known = response.status == 204
                document = {} if known else await response.json(content_type=None)
                if response.status in {200, 204}:
                    document["_times"] = {"t0": began, "t1": time.monotonic()}
                    return dict(document)
                self._read_document(asked, response.status, document)
        except TROUBLE as error:
            self._unknown(asked, op, error)
        return None

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        *,
        at: str | None = None,
        body: object = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = _JSON_SECONDS,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        sent = self._http.request(
            method,
            (at or self.route()) + path,
            json=body,
            headers=self._headers | (headers or {}),
            timeout=aiohttp.ClientTimeout(total=seconds, connect=3),
        )
        async with sent as response:
            yield response

    async def _read_stream(
        self,
        asked: _Asked,
        response: aiohttp.ClientResponse,
        reading: Reading,
        leave_at: int | None,
    ) -> Outcome:
        await reading.consume(response, leave_at=leave_at)
        if reading.turn is None:
            return self._unknown(asked, "ask", ConnectionError("no event"))
        return self._note_reading(asked, reading)

    def _read_document(self, asked: _Asked, status: int, document: dict[str, Any]) -> Outcome:
        now = time.monotonic()
        if status == 200:
            self._accept(asked, document["session_id"], document["turn_id"])
            outcome = Outcome(
                "answer",
                status,
                turn=document["turn_id"],
                text=document["response"],
                message=document["message_id"],
            )
            self.history.add(
                "answer",
                t0=asked.began,
                t1=now,
                session=document["session_id"],
                turn=outcome.turn,
                text=outcome.text,
                status=document.get("status", "completed"),
                message=outcome.message,
            )
            return outcome
        code, turn = document.get("code", ""), document.get("turn_id")
        if turn and code.startswith(_ENDED):
            self._accept(asked, document["session_id"], turn)
            self.history.add(
                "failed",
                t0=asked.began,
                t1=now,
                session=document["session_id"],
                turn=turn,
                code=code,
            )
            return Outcome("failed", status, code, turn)
        if turn and status == 503 and document.get("session_id") and asked.path != "events":
            self._accept(asked, document["session_id"], turn)
            return Outcome("cut", status, code, turn)
        is_known = status in {404, 409, 422, 503} and code
        self.history.add(
            "refused" if is_known else "broken",
            t0=asked.began,
            t1=now,
            session=asked.talk.session,
            op=asked.path,
            status=status,
            code=code,
            turn=turn or asked.turn,
            after=asked.after,
            key=asked.key,
            after_stop=asked.stopped,
            is_certain=asked.is_certain,
        )
        return Outcome("refused", status, code, turn)

    def _accept(self, asked: _Asked, session: str, turn: str) -> None:
        talk = asked.talk
        if talk.session is None:
            talk.session = session
        if turn not in talk.turns:
            talk.turns.append(turn)
        self.history.add(
            "accepted",
            t0=asked.began,
            t1=time.monotonic(),
            visitor=self.name,
            session=session,
            turn=turn,
            key=asked.key,
            question=asked.text or None,
        )

    def _note_reading(self, asked: _Asked, reading: Reading) -> Outcome:
        self.history.add(
            "read",
            t0=asked.began,
            t1=time.monotonic(),
            session=reading.session,
            turn=reading.turn,
            start=reading.start,
            runs=reading.runs,
            position=reading.position,
            terminal=reading.terminal,
            text=reading.data.get("response"),
            code=reading.data.get("code"),
            fault=reading.fault,
        )
        return self._as_outcome(reading)

    def _as_outcome(self, reading: Reading) -> Outcome:
        if reading.terminal is None:
            return Outcome("cut", turn=reading.turn, reading=reading)
        data = reading.data
        if reading.terminal == "error":
            code = data.get("code", "")
            return Outcome("failed", code=code, turn=reading.turn, reading=reading)
        return Outcome(
            "answer",
            200,
            turn=reading.turn,
            text=data["response"],
            message=data["message_id"],
            reading=reading,
        )

    def _note_turn(self, kind: str, talk: Talk, found: dict[str, Any]) -> None:
        self.history.add(
            kind,
            **found["_times"],
            session=talk.session,
            turn=found["turn_id"],
            status=found["status"],
            text=found["response"],
        )

    def _unknown(self, asked: _Asked, op: str, error: BaseException) -> Outcome:
        if op == "ask":
            asked.talk.is_certain = False
        self.history.add(
            "unknown",
            t0=asked.began,
            t1=time.monotonic(),
            op=op,
            session=asked.talk.session,
            key=asked.key,
            why=type(error).__name__,
        )
        return Outcome("unknown")


@dataclass
class _Asked:
    """What a request was about, for what is written down of its answer."""

    talk: Talk
    text: str
    key: str | None
    began: float
    stopped: str | None
    is_certain: bool
    path: str
    turn: str | None = None
    after: str | None = None
