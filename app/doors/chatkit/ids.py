"""Room 4, the door: ids of threads and items, and what they name.

May import: standard library, chatcore.

A question asked at this door is given its item's id as its client id, so that the item keeps its id
when it is asked again. One asked elsewhere has an id made of its message's; an answer's is made of
its turn's, since it is needed before there is a message.
"""

from __future__ import annotations

import re
from uuid import UUID, uuid4

from chatcore import Message, MessageNotFound, Question, Role, SessionId, SessionNotFound, TurnId

_NOWHERE = UUID(int=0)
_THREAD = re.compile("thr_([0-9a-f]{32})")
_ITEM = re.compile("msg_([0-9a-f]{32})")


def thread_id_of(session_id: SessionId) -> str:
    """Return the id of a session's thread."""
    return f"thr_{session_id.hex}"


def new_item_id() -> str:
    """Return an id for a question that is asked now."""
    return f"msg_{uuid4().hex}"


def reply_item_id(turn_id: TurnId) -> str:
    """Return the id of a turn's answer."""
    return f"msg_{turn_id.hex}"


def question_item_id(question: Question) -> str:
    """Return the id of a question."""
    return _question_item_id(question.client_id, question.message_id)


def item_id_of(message: Message) -> str:
    """Return the id of a message."""
    if message.role is Role.ASSISTANT:
        return reply_item_id(message.turn_id)
    return _question_item_id(message.client_id, message.id)


def _question_item_id(client_id: str | None, message_id: UUID) -> str:
    if client_id is not None and _ITEM.fullmatch(client_id):
        return client_id
    return f"msg_{message_id.hex}"


def read_thread_id(text: str) -> SessionId:
    """Return the session of a thread.

    Raises:
        SessionNotFound: It is no thread's id.
    """
    found = _THREAD.fullmatch(text)
    if found is None:
        raise SessionNotFound(_NOWHERE)
    return SessionId(UUID(found[1]))


def read_item_place(thread_id: str, item_id: str) -> tuple[SessionId, UUID]:
    """Return a session and what an item's id is made of; the answer never tells which is wrong.

    Raises:
        MessageNotFound: One of them is no id.
    """
    thread, item = _THREAD.fullmatch(thread_id), _ITEM.fullmatch(item_id)
    if thread is None or item is None:
        raise MessageNotFound
    return SessionId(UUID(thread[1])), UUID(item[1])
