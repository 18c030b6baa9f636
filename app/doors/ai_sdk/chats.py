"""Room 4, the door: which session a chat is, and what its messages are called.

May import: standard library, app, chatcore.

Chat ids are made up by clients. So a session's id is made of its owner's and the chat's: strangers
who make up the same one never meet. A chat may also be a session that was begun at another door,
under the id it has there.
"""

from __future__ import annotations

import json
from hashlib import sha256
from uuid import UUID

from app.http import wire
from app.http.auth import PUBLIC_OWNER
from app.http.idempotency import PUBLIC_MIN_CHARS
from app.http.problems import Refused
from app.http.schemas import FieldError
from chatcore import (
    ChatService,
    Message,
    OwnerId,
    Question,
    Role,
    SessionId,
    SessionNotFound,
    TurnId,
)

CHAT_ID_MAX_CHARS = 255


def require_chat_id(chat_id: str, owner_id: OwnerId) -> None:
    """Refuse what cannot be the id of a new chat.

    Raises:
        Refused: It is no path segment, or one too easy to guess for an owner that everybody shares.
    """
    if not 1 <= len(chat_id) <= CHAT_ID_MAX_CHARS:
        raise _wrong(f"is not 1 to {CHAT_ID_MAX_CHARS} characters long")
    if chat_id in {".", ".."} or "/" in chat_id:
        raise _wrong("has a slash, or is nothing but dots: it could not be a part of an address")
    if not _is_secret_enough(chat_id, owner_id):
        raise _wrong(
            f"is shorter than {PUBLIC_MIN_CHARS} characters, and without a credential whoever "
            "guesses it reads the chat: send a longer one, or a visitor token"
        )


async def session_of(service: ChatService, owner_id: OwnerId, chat_id: str) -> SessionId:
    """Return the session that a chat is, or would be.

    Raises:
        StorageUnavailable: The store did not answer.
    """
    try:
        return (await service.session(owner_id, wire.read_session_id(chat_id))).id
    except SessionNotFound:
        return _derived(owner_id, chat_id)


async def latest_message(
    service: ChatService, owner_id: OwnerId, session_id: SessionId
) -> Message | None:
    """Return the last message of a session: of the latest turn, which always counts.

    Raises:
        StorageUnavailable: The store did not answer.
    """
    try:
        page = await service.messages(owner_id, session_id, limit=1)
    except SessionNotFound:
        return None
    return page.items[-1] if page.items else None


def name_of_reply(turn_id: TurnId) -> str:
    """Return what the assistant's message of a turn is called, from before it exists."""
    return str(turn_id)


def name_of_question(question: Question) -> str:
    """Return what a question is called."""
    return question.client_id or str(question.message_id)


def name_of(message: Message) -> str:
    """Return what a message is called."""
    if message.role is Role.ASSISTANT:
        return name_of_reply(message.turn_id)
    return message.client_id or str(message.id)


def key_of(session_id: SessionId, *parts: str) -> str:
    """Return the idempotency key of what a client does in a chat."""
    return "ai-sdk:" + sha256(json.dumps([str(session_id), *parts]).encode()).hexdigest()


def _derived(owner_id: OwnerId, chat_id: str) -> SessionId:
    """Return a UUID of version 8 (RFC 9562, section 5.8) made of both."""
    number = int.from_bytes(sha256(json.dumps([owner_id, chat_id]).encode()).digest()[:16])
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return SessionId(UUID(int=number))


def _is_secret_enough(chat_id: str, owner_id: OwnerId) -> bool:
    return owner_id != PUBLIC_OWNER or len(chat_id) >= PUBLIC_MIN_CHARS


def _wrong(reason: str) -> Refused:
    return Refused("invalid_request", errors=[FieldError(field="id", reason=reason)])
