"""Room 4, the door: threads and items as ChatKit's frontends read them.

May import: standard library, app, chatcore, msgspec.

Source: openai-chatkit 1.6.5, `chatkit.types` (read 2026-11). What there is none of is left out,
never null, as its own server does. What a caller noted down with a session never goes out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from app.doors.chatkit import ids
from chatcore import ChatSession, Message, Role


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    """What was asked."""

    text: str


class OutputText(Struct, frozen=True, tag_field="type", tag="output_text"):
    """What was answered."""

    text: str
    annotations: tuple[()] = ()


class UserMessage(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="user_message"
):
    """A question."""

    id: str
    thread_id: str
    created_at: datetime
    content: list[InputText]
    attachments: list[str]
    inference_options: dict[str, str]
    quoted_text: str | None = None


class AssistantMessage(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="assistant_message"
):
    """An answer."""

    id: str
    thread_id: str
    created_at: datetime
    content: list[OutputText]


Item: TypeAlias = UserMessage | AssistantMessage


class Page(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a list; `after` is where the next one begins."""

    data: list[Any]
    has_more: bool
    after: str | None = None


class Status(Struct, frozen=True):
    """Whether questions may be asked: always."""

    type: Literal["active"] = "active"


class Thread(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation."""

    id: str
    created_at: datetime
    status: Status
    metadata: dict[str, str]
    items: Page
    title: str | None = None


def view_thread(session: ChatSession, items: Page | None = None) -> Thread:
    """Show a thread, with a page of its items where they are wanted."""
    return Thread(
        id=ids.thread_id_of(session.id),
        created_at=session.created_at,
        status=Status(),
        metadata={},
        items=items or Page(data=[], has_more=False),
        title=session.title or None,
    )


def view_question(
    *, item_id: str, thread_id: str, text: str, quoted: str | None, created_at: datetime
) -> UserMessage:
    """Show a question: as the one text it was stored as."""
    return UserMessage(
        id=item_id,
        thread_id=thread_id,
        created_at=created_at,
        content=[InputText(text)],
        attachments=[],
        inference_options={},
        quoted_text=quoted,
    )


def view_answer(
    *, item_id: str, thread_id: str, text: str | None, created_at: datetime
) -> AssistantMessage:
    """Show an answer; None: nothing of it has come."""
    return AssistantMessage(
        id=item_id,
        thread_id=thread_id,
        created_at=created_at,
        content=[] if text is None else [OutputText(text)],
    )


def view_items(messages: Iterable[Message]) -> list[Item]:
    """Show messages."""
    return [_view_message(message) for message in messages]


def _view_message(message: Message) -> Item:
    item_id, thread_id = ids.item_id_of(message), ids.thread_id_of(message.session_id)
    if message.role is Role.ASSISTANT:
        return view_answer(
            item_id=item_id,
            thread_id=thread_id,
            text=message.content,
            created_at=message.created_at,
        )
    return view_question(
        item_id=item_id,
        thread_id=thread_id,
        text=message.content,
        quoted=None if message.quote is None else message.quote.text,
        created_at=message.created_at,
    )
