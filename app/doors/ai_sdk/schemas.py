"""Room 4, the door: what `useChat` sends and is shown.

May import: standard library, app, msgspec.

Source: packages `ai` 6 and 7 (read 2026-11). Applications add fields of their own to every one of
these, and so do later versions: what is not known here is let through and left alone.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from app.http.schemas import SelectedText


class Part(Struct, frozen=True):
    """A part of a message. Only parts of the type `text` count; others may hold anything."""

    type: str
    text: Any = None


class SentMessage(Struct, frozen=True):
    """A message as the client has it.

    Attributes:
        id: The client's own name for it, or ours, if it comes from here.
    """

    role: Literal["user", "assistant", "system"]
    parts: list[Part]
    id: str | None = None


class ChatRequest(Struct, frozen=True, rename={"message_id": "messageId"}):
    """A body of `POST /api/chat`: either all messages the client has, or the last one alone.

    Attributes:
        id: The client's own name for the chat.
        message_id: The message that is edited, or to be answered again, if the caller named one.
    """

    id: str
    messages: list[SentMessage] | None = None
    message: SentMessage | None = None
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: str | None = None
    selected_text: str | SelectedText | UnsetType | None = UNSET


class StopRequest(Struct, frozen=True, rename="camel"):
    """A body of `POST /api/chat/{id}/stop`. The client's copy of the answer is not looked at.

    Attributes:
        active_stream_id: The turn that is meant, if it is known: a later one goes on.
    """

    active_stream_id: str | None = None


class ShownPart(Struct, frozen=True):
    """Text of a message."""

    text: str
    type: Literal["text"] = "text"


class ShownMessage(Struct, frozen=True):
    """A `UIMessage`, as `useChat` takes it in its option `messages`."""

    id: str
    role: str
    parts: list[ShownPart]
    metadata: dict[str, Any]


class Stopped(Struct, frozen=True):
    """The answer to a stop."""

    success: bool = True
