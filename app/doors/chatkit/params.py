"""Room 4, the door: the parameters of what ChatKit's frontends send.

May import: standard library, msgspec.

Fields nobody needs here are let through: the protocol grows, and integrators add their own.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

DEFAULT_LIMIT = 20
_MAX_ITEM_IDS = 100
_MAX_LIMIT = 100


class TextPart(Struct, frozen=True, tag_field="type", tag="input_text"):
    """What somebody wrote."""

    text: str


class TagPart(Struct, frozen=True, tag_field="type", tag="input_tag"):
    """Something somebody picked from a list; only its text goes to the model."""

    text: str


class UserInput(Struct, frozen=True):
    """A question. `inference_options` are not looked at: there is one model and no tool."""

    content: list[TextPart | TagPart]
    attachments: list[str] = []
    quoted_text: str | None = None

    @property
    def text(self) -> str:
        """The question as plain text; tags stand where they were put."""
        text, last = "", None
        for part in self.content:
            is_new_line = isinstance(part, TextPart) and isinstance(last, TextPart)
            text += f"\n{part.text}" if is_new_line else part.text
            last = part
        return text


class CreateParams(Struct, frozen=True):
    """A first question."""

    input: UserInput


class AddParams(Struct, frozen=True):
    """The next question."""

    thread_id: str
    input: UserInput


class ItemParams(Struct, frozen=True):
    """Which item."""

    thread_id: str
    item_id: str


class ThreadParams(Struct, frozen=True):
    """Which thread."""

    thread_id: str


class TitleParams(Struct, frozen=True):
    """A thread and its new title."""

    thread_id: str
    title: str


class FeedbackParams(Struct, frozen=True):
    """What somebody thinks of which items, at most 100."""

    thread_id: str
    item_ids: list[str]
    kind: Literal["positive", "negative"]

    def __post_init__(self) -> None:
        if len(self.item_ids) > _MAX_ITEM_IDS:
            raise ValueError(f"more than {_MAX_ITEM_IDS} item_ids")


class Paging(Struct, frozen=True, kw_only=True):
    """Which page of a list: at most 100 at a time, whatever is asked for."""

    limit: int | None = None
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None

    @property
    def size(self) -> int:
        """Most entries to return."""
        return min(self.limit or DEFAULT_LIMIT, _MAX_LIMIT)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise ValueError("limit is negative")


class ItemPaging(Paging, frozen=True, kw_only=True):
    """Which page of a thread's items."""

    thread_id: str
