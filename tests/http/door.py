"""The service on memory adapters, with switches for what can go wrong around it.

May import: standard library, adapters, app, chatcore, dependency_injector, httpx, litestar.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from dependency_injector import providers
from litestar import Litestar

from adapters.memory import InMemoryChatRepository, ScriptedLLM, SequentialIds, TickingClock
from app.container import AppContainer
from app.lifecycle import Model, Store
from app.logs import Logs, configure_logs
from app.main import create_app
from app.settings import Settings
from chatcore import (
    Admission,
    LLMDelta,
    LLMEnded,
    LLMError,
    LLMEvent,
    LLMStarted,
    NewTurn,
    PreparedRequest,
)

VISITOR_A = "visitor-" + "a" * 32
VISITOR_B = "visitor-" + "b" * 32
# A busy machine is no reason to refuse what a test asks.
_USUAL = {"LLM_MAX_ATTEMPTS": "1", "OVERLOAD_LAG_SECONDS": "0"}
DRAIN_SECONDS = 2.0  # of tests that fail, and leave turns behind
UNKNOWN_ID = "0199f3a2-7c1e-7d3b-9a55-2f1c5be0a1d4"


class SwitchableStore(Store):
    """A database connection that fails when told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.calls: list[str] = []

    async def open(self) -> None:
        """Note the call."""
        self.calls.append("open")
        if self.error is not None:
            raise self.error

    async def check(self) -> None:
        """Fail if told to."""
        self.calls.append("check")
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """Note the call."""
        self.calls.append("close")


class SwitchableRepository(InMemoryChatRepository):
    """A memory repository whose writes fail when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def admit(self, new: NewTurn) -> Admission:
        """Fail if told to, or answer when it may."""
        if self.error is not None:
            raise self.error
        self.asked.set()
        await self.may_answer.wait()
        return await super().admit(new)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is stored."""
        return not self._kept and not self._keys


class Dictation:
    """An answer of the model that comes as a test says it, piece by piece."""

    def __init__(self) -> None:
        self._steps: asyncio.Queue[str | LLMError | None] = asyncio.Queue()

    def say(self, *pieces: str) -> None:
        """Let the next pieces come."""
        for piece in pieces:
            self._steps.put_nowait(piece)

    def fail(self, error: LLMError) -> None:
        """End with an error."""
        self._steps.put_nowait(error)

    def end(self) -> None:
        """End well."""
        self._steps.put_nowait(None)

    async def events(self, model: str) -> AsyncGenerator[LLMEvent, None]:
        """Yield what was said, as it is said."""
        yield LLMStarted(model)
        while (step := await self._steps.get()) is not None:
            if isinstance(step, LLMError):
                raise step
            yield LLMDelta(step)
        yield LLMEnded("stop", model, None)


class ServedLLM(ScriptedLLM, Model):
    """The scripted model with what the life cycle needs, and taking dictation."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.is_closed = False
        self._dictations: deque[Dictation] = deque()

    def dictate(self) -> Dictation:
        """Return what one of the next calls answers, before anything scripted."""
        self._dictations.append(Dictation())
        return self._dictations[-1]

    async def stream(self, request: PreparedRequest) -> AsyncGenerator[LLMEvent, None]:
        """Note the call, and answer; `complete` comes this way too."""
        self.asked.set()
        if not self._dictations:
            answer = super().stream(request)
        else:
            self.requests.append(request)
            answer = self._dictations.popleft().events(self.model)
        async with aclosing(answer) as events:
            async for event in events:
                yield event

    async def check(self) -> None:
        """Be there."""

    async def aclose(self) -> None:
        """Note the call."""
        self.is_closed = True


@dataclass
class Door:
    """One running application and what is behind it."""

    app: Litestar
    client: httpx.AsyncClient
    repository: SwitchableRepository
    llm: ServedLLM
    store: SwitchableStore
    logs: Logs
    stream: io.StringIO = field(repr=False)

    async def ask(self, message: str = "hello", **fields: Any) -> dict[str, Any]:
        """Send a question as the shared owner and return the answer."""
        answer = await self.client.post("/chat", json={"message": message, **fields})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def post_raw(self, body: bytes, **headers: str) -> httpx.Response:
        """Send bytes to /chat as JSON."""
        given = {"content-type": "application/json", **headers}
        return await self.client.post("/chat", content=body, headers=given)

    def log_lines(self) -> list[dict[str, Any]]:
        """Return every event logged so far."""
        self.logs.flush()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def bearer(token: str) -> dict[str, str]:
    """Return the header for a token."""
    return {"authorization": f"Bearer {token}"}


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem document, having checked its form."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "code", "detail", "retryable", "request_id"} <= body.keys()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:chatcore:problem:{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


@asynccontextmanager
async def open_door(**environment: str) -> AsyncIterator[Door]:
    """Run the application without a socket, on memory adapters, with these settings."""
    settings = Settings.from_env(_USUAL | environment)
    repository, llm, store = SwitchableRepository(), ServedLLM(), SwitchableStore()
    stream = io.StringIO()
    logs = configure_logs(
        level=settings.log_level,
        log_format="json",
        secrets=settings.secrets(),
        stream=stream,
    )
    container = AppContainer(settings=settings)
    container.repository.override(providers.Object(repository))
    container.llm.override(providers.Object(llm))
    container.store.override(providers.Object(store))
    container.clock.override(providers.Object(TickingClock()))
    container.ids.override(providers.Object(SequentialIds()))
    app = create_app(container, drain_seconds=DRAIN_SECONDS)
    transport = httpx.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
    try:
        async with _running(app), httpx.AsyncClient(transport=transport, base_url="http://t") as c:
            yield Door(app, c, repository, llm, store, logs, stream)
    finally:
        logs.close()


@asynccontextmanager
async def _running(app: Litestar) -> AsyncIterator[None]:
    """Start and stop the application in one task, as a server does."""
    started, stopping = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stopping.wait()

    task = asyncio.create_task(live())
    beginning = asyncio.create_task(started.wait())
    await asyncio.wait([task, beginning], return_when=asyncio.FIRST_COMPLETED)
    beginning.cancel()
    try:
        if started.is_set():
            yield
    finally:
        stopping.set()
        await task
