"""Room 4, the door: what was said in a chat, for `useChat` to begin with.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from typing import Any

from app.doors.ai_sdk.chats import name_of
from app.doors.ai_sdk.schemas import ShownMessage, ShownPart
from app.http.schemas import SelectedText
from chatcore import ChatService, Message, OwnerId, Quote, Role, SessionId, SessionNotFound

HISTORY_MESSAGES = 200
_PAGE = 100


async def history_of(
    service: ChatService, owner_id: OwnerId, session_id: SessionId
) -> list[ShownMessage]:
    """Return the latest messages that count, oldest first, beginning with a question.

    A chat in which nothing was said has none; nor has an unknown one.

    Raises:
        StorageUnavailable: The store did not answer.
    """
    said: list[Message] = []
    before = None
    while len(said) < HISTORY_MESSAGES:
        try:
            page = await service.messages(
                owner_id, session_id, limit=_PAGE, before=before, counting=True
            )
        except SessionNotFound:
            return []
        said[:0] = page.items
        if not page.has_older:
            break
        before = page.items[0].position
    if said and said[0].role is Role.ASSISTANT:
        del said[0]
    return [_show(message) for message in said]


def _show(message: Message) -> ShownMessage:
    metadata: dict[str, Any] = {
        "session_id": message.session_id,
        "turn_id": message.turn_id,
        "created_at": message.created_at,
        "status": message.turn_status,
    }
    if message.quote is not None:
        metadata["selected_text"] = _show_quote(message.quote)
    return ShownMessage(
        id=name_of(message),
        role=message.role.value,
        parts=[ShownPart(text=message.content)],
        metadata=metadata,
    )


def _show_quote(quote: Quote) -> SelectedText:
    return SelectedText(text=quote.text, title=quote.title, url=quote.url, anchor=quote.anchor)
