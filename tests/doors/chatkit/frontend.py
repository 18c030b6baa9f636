"""A ChatKit frontend: it sends what the official types make, and reads nothing else.

May import: standard library, chatkit, pydantic, tests.http.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from tests.http.door import bearer
from tests.http.sockets import Place
from tests.http.streams import Stream, request

with warnings.catch_warnings():
    # The package warns about its own classes while it makes them; nobody here uses widgets.
    warnings.filterwarnings("ignore", "Direct usage of named widget", DeprecationWarning)
    from chatkit import types as kit

_EVENT: TypeAdapter[Any] = TypeAdapter(kit.ThreadStreamEvent)
_REQUEST: TypeAdapter[Any] = TypeAdapter(kit.ChatKitReq)
THREADS: TypeAdapter[Any] = TypeAdapter(kit.Page[kit.Thread])
ITEMS: TypeAdapter[Any] = TypeAdapter(kit.Page[kit.ThreadItem])
THREAD: TypeAdapter[Any] = TypeAdapter(kit.Thread)
PATH = "/chatkit"


def user_input(*parts: str | dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a question; a text is a part of its own."""
    content = [{"type": "input_text", "text": p} if isinstance(p, str) else p for p in parts]
    return {"content": content, "attachments": [], "inference_options": {}, **fields}


def body_of(kind: str, /, **params: Any) -> dict[str, Any]:
    """Return a request as the official types write it."""
    made = _REQUEST.validate_python({"type": kind, "params": params})
    body: dict[str, Any] = made.model_dump(mode="json", exclude_none=True)
    return body


def read(adapter: TypeAdapter[Any], document: Any) -> Any:
    """Return a document as the official types read it; they would write it exactly so."""
    found = adapter.validate_python(document)
    assert adapter.dump_python(found, mode="json", exclude_none=True) == document
    return found


def read_event(raw: bytes) -> Any:
    """Return one event, having checked its bytes: one line of data, and nothing but that."""
    *comments, line, empty, rest = raw.split(b"\n")
    assert (empty, rest) == (b"", b"")
    assert all(comment == b": ka" for comment in comments)
    assert line.startswith(b"data: ")
    return read(_EVENT, json.loads(line.removeprefix(b"data: ")))


def read_events(raw: bytes) -> list[Any]:
    """Return the events in bytes."""
    assert raw == b"" or raw.endswith(b"\n\n")
    return [read_event(block + b"\n\n") for block in raw.split(b"\n\n")[:-1]]


@dataclass
class Shown:
    """What a frontend shows after some events.

    Attributes:
        items: By id, in the order in which they came.
        errors: Those that were told.
        thread: The latest that was told of it.
        can_stop: Whether there is a stop button.
    """

    items: dict[str, Any]
    errors: list[Any]
    thread: Any = None
    can_stop: bool = False

    @classmethod
    def after(cls, events: Iterable[Any]) -> Shown:
        """Return what is shown after these events, as strictly as one may be."""
        shown = cls({}, [])
        for event in events:
            shown.take(event)
        return shown

    def take(self, event: Any) -> None:
        """Show one event."""
        match event:
            case kit.ThreadCreatedEvent() | kit.ThreadUpdatedEvent():
                self.thread = event.thread
            case kit.StreamOptionsEvent():
                self.can_stop = event.stream_options.allow_cancel
            case kit.ThreadItemAddedEvent():
                assert event.item.id not in self.items
                self.items[event.item.id] = event.item.model_copy(deep=True)
            case kit.ThreadItemDoneEvent():
                self.items[event.item.id] = event.item
            case kit.ThreadItemRemovedEvent():
                del self.items[event.item_id]
            case kit.ThreadItemUpdatedEvent():
                self._update(self.items[event.item_id].content, event.update)
            case kit.ErrorEvent():
                self.errors.append(event)
            case _:
                raise AssertionError(event)

    def _update(self, content: list[Any], update: Any) -> None:
        if isinstance(update, kit.AssistantMessageContentPartAdded):
            assert update.content_index == len(content)
            content.append(update.content.model_copy())
        elif isinstance(update, kit.AssistantMessageContentPartTextDelta):
            content[update.content_index].text += update.delta
        else:
            assert isinstance(update, kit.AssistantMessageContentPartDone)
            content[update.content_index] = update.content

    @property
    def texts(self) -> list[str]:
        """What is said, in order."""
        return [text_of(item) for item in self.items.values()]


def uuid_in(name: str) -> UUID:
    """Return what an id of this door is made of."""
    return UUID(name.partition("_")[2])


def text_of(item: Any) -> str:
    """Return the text of an item."""
    return "".join(part.text for part in item.content)


class Frontend:
    """One user's page.

    Args:
        place: Where the server is.
        token: Who it is; None: nobody in particular.
    """

    def __init__(self, place: Place, token: str | None = None) -> None:
        self._place = place
        given = {} if token is None else bearer(token)
        self._headers = [f"{name}: {value}" for name, value in given.items()]

    @asynccontextmanager
    async def open(self, kind: str, /, **params: Any) -> AsyncIterator[Stream]:
        """Send a request and read the head of its answer."""
        body = body_of(kind, **params)
        async with request(self._place, "POST", PATH, body, *self._headers) as stream:
            yield stream

    async def call(self, kind: str, /, **params: Any) -> tuple[int, Any]:
        """Send a request, and return the status and the document of its answer."""
        async with self.open(kind, **params) as stream:
            return stream.status, json.loads(await stream.body())

    async def get(self, adapter: TypeAdapter[Any], kind: str, /, **params: Any) -> Any:
        """Send a request, and return what it is answered with."""
        status, document = await self.call(kind, **params)
        assert status == 200, document
        return read(adapter, document)

    async def stream(self, kind: str, /, **params: Any) -> list[Any]:
        """Send a request, and return all events that it is answered with."""
        async with self.open(kind, **params) as stream:
            return await events_of(stream)

    async def create(self, *parts: str, **fields: Any) -> Shown:
        """Begin a thread."""
        return Shown.after(await self.stream("threads.create", input=user_input(*parts, **fields)))

    async def add(self, thread_id: str, *parts: str, **fields: Any) -> Shown:
        """Ask the next question."""
        asked = user_input(*parts, **fields)
        added = await self.stream("threads.add_user_message", thread_id=thread_id, input=asked)
        return Shown.after(added)

    async def retry(self, thread_id: str, item_id: str) -> Shown:
        """Have a question answered again."""
        params = {"thread_id": thread_id, "item_id": item_id}
        return Shown.after(await self.stream("threads.retry_after_item", **params))

    async def items(self, thread_id: str, *, order: str = "asc", limit: int = 100) -> list[Any]:
        """Return the items of a thread, page by page."""
        found: list[Any] = []
        after = None
        while True:
            params = {"thread_id": thread_id, "order": order, "limit": limit, "after": after}
            page = await self.get(ITEMS, "items.list", **params)
            found += page.data
            assert page.has_more == (page.after is not None)
            if not page.has_more:
                return found
            after = page.after

    async def texts(self, thread_id: str) -> list[str]:
        """Return what is stored, in order."""
        return [text_of(item) for item in await self.items(thread_id)]


async def events_of(stream: Stream) -> list[Any]:
    """Return the events of a stream up to its proper end."""
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    return [read_event(block.raw) for block in await stream.rest()]


async def next_event(stream: Stream) -> Any:
    """Return the next event of a stream."""
    return read_event((await stream.event()).raw)


async def until_text(stream: Stream, text: str) -> Shown:
    """Read until so much of the answer has come."""
    shown = Shown({}, [])
    while not shown.texts or shown.texts[-1] != text:
        shown.take(await next_event(stream))
    return shown
