"""Beside the rooms: the limit: the same turn with nothing around it.

May import: standard library, asyncpg, msgspec, benchmarks.

Raw ASGI, two prepared statements, a tiny provider client. It shows what Python on this machine
could do at best, and is nothing that anybody should run: no timeouts, no retries, no cancellation,
no idempotency, no owners.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import msgspec

from benchmarks.apps import limit_sql as sql
from benchmarks.apps.common import Settings, user_content
from benchmarks.apps.limit_parts import Database, Provider

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class ChatRequest(msgspec.Struct):
    """A question."""

    message: str
    session_id: uuid.UUID | None = None
    selected_text: str | None = None


class Text(msgspec.Struct):
    """What the model said."""

    content: str | None = None


class Choice(msgspec.Struct):
    """One of its answers."""

    message: Text | None = None
    delta: Text | None = None


class Completion(msgspec.Struct):
    """All of them, whole or in part."""

    choices: list[Choice]


decode_request = msgspec.json.Decoder(ChatRequest).decode
decode_completion = msgspec.json.Decoder(Completion).decode
encode = msgspec.json.Encoder().encode

SETTINGS = Settings.read()
SYSTEM = {"role": "system", "content": SETTINGS.system_prompt}
JSON_HEADERS = [(b"content-type", b"application/json")]
SSE_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
BEGIN_NEW, BEGIN_OLD, END = range(3)

database = Database()
provider = Provider(SETTINGS.provider_url, SETTINGS.api_key)


async def begin_turn(request: ChatRequest) -> tuple[uuid.UUID, dict[str, Any]]:
    """Store the question, and return the session with the request to the model."""
    text, passage = request.message, request.selected_text
    history: list[Any] = []
    if request.session_id is None:
        session_id = uuid.uuid4()
        await database.run(BEGIN_NEW, session_id, text, passage)
    else:
        session_id, most = request.session_id, SETTINGS.history_messages
        history = await database.run(BEGIN_OLD, session_id, text, passage, most)
    messages = [SYSTEM]
    messages += [{"role": role, "content": content} for role, content in reversed(history)]
    messages.append({"role": "user", "content": user_content(text, passage)})
    return session_id, {"model": SETTINGS.model, "messages": messages}


async def chat(request: ChatRequest, send: Send) -> None:
    """Answer a question."""
    session_id, asked = await begin_turn(request)
    got: list[bytes] = []
    await provider.ask(encode(asked), got.append)
    said = decode_completion(got[0]).choices[0].message
    reply = (said.content if said else None) or ""
    ((timestamp,),) = await database.run(END, session_id, reply)
    body = encode({"response": reply, "session_id": session_id, "timestamp": timestamp})
    await _send_json(send, 200, body)


class Relay:
    """The tokens of one reply, on their way from the provider to the client."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.ready = asyncio.Event()
        self._pending: list[bytes] = []
        self._tail = b""

    def on_data(self, data: bytes) -> None:
        """Take in what the provider sent at once."""
        *events, self._tail = (self._tail + data).split(b"\n\n")
        for event in events:
            if not event.startswith(b"data: {"):
                continue
            choices = decode_completion(event[6:]).choices
            if choices and choices[0].delta and (text := choices[0].delta.content):
                self.parts.append(text)
                self._pending.append(b'data: {"delta":%b}\n\n' % encode(text))
        if self._pending:
            self.ready.set()

    def take(self) -> bytes:
        """Return all that is to be sent now."""
        self.ready.clear()
        body = b"".join(self._pending)
        self._pending.clear()
        return body


async def chat_stream(request: ChatRequest, send: Send) -> None:
    """Answer a question, token by token."""
    session_id, asked = await begin_turn(request)
    relay = Relay()
    call = asyncio.ensure_future(provider.ask(encode(asked | {"stream": True}), relay.on_data))
    call.add_done_callback(lambda _: relay.ready.set())
    await send({"type": "http.response.start", "status": 200, "headers": SSE_HEADERS})
    await _send_part(send, b'data: {"session_id":"%b"}\n\n' % str(session_id).encode())
    while not call.done() or relay.ready.is_set():
        await relay.ready.wait()
        if body := relay.take():
            await _send_part(send, body)
    call.result()
    ((timestamp,),) = await database.run(END, session_id, "".join(relay.parts))
    last = b'data: {"done":true,"timestamp":%b}\n\n' % encode(timestamp)
    await send({"type": "http.response.body", "body": last})


ROUTES = {"/chat": chat, "/chat/stream": chat_stream}


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer a request, or start and stop."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    handler = ROUTES.get(scope["path"])
    if handler is None or scope["method"] != "POST":
        await _send_json(send, 404, b'{"error":"not found"}')
        return
    event = await receive()
    body = event["body"]
    while event.get("more_body"):
        event = await receive()
        body += event["body"]
    try:
        request = decode_request(body)
    except msgspec.DecodeError as error:
        await _send_json(send, 422, encode({"error": str(error)}))
        return
    if not 0 < len(request.message) <= 8000 or len(request.selected_text or "") > 8000:
        await _send_json(send, 422, b'{"error":"too short or too long"}')
        return
    await handler(request, send)


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    first = await asyncpg.connect(SETTINGS.database_url)
    await first.execute(sql.SCHEMA)
    await first.close()
    queries = (sql.BEGIN_NEW, sql.BEGIN_OLD, sql.END)
    await database.open(SETTINGS.database_url, SETTINGS.pool_size, *queries)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await database.close()
    await send({"type": "lifespan.shutdown.complete"})


async def _send_json(send: Send, status: int, body: bytes) -> None:
    headers = [*JSON_HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_part(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
