"""Room 4, the door: the ids of this protocol, which are those of the store in other clothes.

May import: standard library, chatcore.

A response is a turn, a conversation is a session, an item is a message. The id of a response holds
both the session's and the turn's, so that one look finds it. An assistant's item has the id of its
turn, which is known before the reply has one.
"""

from __future__ import annotations

import re
from uuid import UUID, uuid4

from chatcore import MessageId, MessageNotFound, SessionId, SessionNotFound, TurnId, TurnNotFound

_NOWHERE = UUID(int=0)
_RESPONSE = re.compile(r"resp_([0-9a-f]{32})([0-9a-f]{32})")
_CONVERSATION = re.compile(r"conv_([0-9a-f]{32})")
_ITEM = re.compile(r"msg_([0-9a-f]{32})")

Place = tuple[SessionId, TurnId]
"""Where a response is."""


def response_id(session_id: SessionId, turn_id: TurnId) -> str:
    """Return the id of a turn's response."""
    return f"resp_{session_id.hex}{turn_id.hex}"


def conversation_id(session_id: SessionId) -> str:
    """Return the id of a session's conversation."""
    return f"conv_{session_id.hex}"


def item_id(known: MessageId | TurnId) -> str:
    """Return the id of an item: of a question's message, or of the turn that an answer is of."""
    return f"msg_{known.hex}"


def passing_response_id() -> str:
    """Return an id for a response that is not kept, and cannot be found."""
    return f"resp_{uuid4().hex}{uuid4().hex}"


def passing_item_id() -> str:
    """Return an id for an item that is not kept."""
    return f"msg_{uuid4().hex}"


def read_response_id(text: str) -> Place:
    """Return where a response is.

    Raises:
        TurnNotFound: It is no id, so there is no such response.
    """
    found = _RESPONSE.fullmatch(text)
    if found is None:
        raise TurnNotFound(_NOWHERE)
    return SessionId(UUID(found[1])), TurnId(UUID(found[2]))


def read_conversation_id(text: str) -> SessionId:
    """Return the session of a conversation.

    Raises:
        SessionNotFound: It is no id.
    """
    found = _CONVERSATION.fullmatch(text)
    if found is None:
        raise SessionNotFound(_NOWHERE)
    return SessionId(UUID(found[1]))


def read_item_id(text: str) -> UUID:
    """Return the id of a message, or of a turn.

    Raises:
        MessageNotFound: It is no id.
    """
    found = _ITEM.fullmatch(text)
    if found is None:
        raise MessageNotFound
    return UUID(found[1])


def read_item_place(conversation: str, item: str) -> tuple[SessionId, UUID]:
    """Return both ids of an item's address; the answer tells nobody which of them is wrong.

    Raises:
        MessageNotFound: One of them is no id.
    """
    try:
        return read_conversation_id(conversation), read_item_id(item)
    except SessionNotFound:
        raise MessageNotFound from None
