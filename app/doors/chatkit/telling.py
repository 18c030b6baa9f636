"""Room 4, the door: the events of a stream as ChatKit's frontends read them.

May import: standard library, app, msgspec.

Source: openai-chatkit 1.6.5, `chatkit.types` (read 2026-11).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from app.doors.chatkit.views import Item, OutputText, Thread
from app.http.problems import PROBLEMS

_FALLBACK_CODE = "internal_error"


class ThreadCreated(Struct, frozen=True, tag_field="type", tag="thread.created"):
    """A thread has begun."""

    thread: Thread


class ThreadUpdated(Struct, frozen=True, tag_field="type", tag="thread.updated"):
    """Something about a thread is different."""

    thread: Thread


class ItemAdded(Struct, frozen=True, tag_field="type", tag="thread.item.added"):
    """An item has begun."""

    item: Item


class ItemDone(Struct, frozen=True, tag_field="type", tag="thread.item.done"):
    """An item is as it is stored."""

    item: Item


class ItemRemoved(Struct, frozen=True, tag_field="type", tag="thread.item.removed"):
    """An item counts no more."""

    item_id: str


class PartAdded(Struct, frozen=True, tag_field="type", tag="assistant_message.content_part.added"):
    """A part of an answer begins."""

    content: OutputText
    content_index: int = 0


class PartDelta(
    Struct, frozen=True, tag_field="type", tag="assistant_message.content_part.text_delta"
):
    """A part of an answer goes on."""

    delta: str
    content_index: int = 0


class PartDone(Struct, frozen=True, tag_field="type", tag="assistant_message.content_part.done"):
    """A part of an answer is whole."""

    content: OutputText
    content_index: int = 0


class ItemUpdated(Struct, frozen=True, tag_field="type", tag="thread.item.updated"):
    """An item goes on."""

    item_id: str
    update: PartAdded | PartDelta | PartDone


class _StreamOptions(Struct, frozen=True):
    allow_cancel: bool = True


class StreamOptionsSet(Struct, frozen=True, tag_field="type", tag="stream_options"):
    """What a reader may do: stop."""

    stream_options: _StreamOptions = _StreamOptions()


class Error(Struct, frozen=True, tag_field="type", tag="error"):
    """What went wrong, in words that are shown as they are."""

    message: str
    allow_retry: bool
    code: Literal["custom"] = "custom"


Event: TypeAlias = (
    ThreadCreated
    | ThreadUpdated
    | ItemAdded
    | ItemDone
    | ItemRemoved
    | ItemUpdated
    | StreamOptionsSet
    | Error
)

_encode = msgspec.json.Encoder().encode


def encode_events(*events: Event) -> bytes:
    """Return events as they are sent, one block each."""
    return b"".join([b"data: %b\n\n" % _encode(event) for event in events])


def error_of(code: str, *, allow_retry: bool | None = None) -> Error:
    """Return the event about a code of the table of problems.

    Args:
        code: What is true. One that nobody knows is an internal error.
        allow_retry: Whether a button offers to ask again; None: as the table says.
    """
    row = PROBLEMS.get(code, PROBLEMS[_FALLBACK_CODE])
    return Error(row.detail, row.retryable if allow_retry is None else allow_retry)
