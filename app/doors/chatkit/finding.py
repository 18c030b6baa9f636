"""Room 4, the door: finds the question of an item.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from app.doors.chatkit import ids
from chatcore import ChatService, MessageId, MessageNotFound, OwnerId, Question, SessionId


async def find_question(
    service: ChatService, owner_id: OwnerId, session_id: SessionId, item_id: str
) -> Question:
    """Return the question of an item, as it was asked last under this id.

    Raises:
        MessageNotFound: There is no such question in this session of this owner.
    """
    try:
        return await service.question_named(owner_id, session_id, item_id)
    except MessageNotFound:
        _, named = ids.read_item_place(ids.thread_id_of(session_id), item_id)
        question = await service.question(owner_id, session_id, MessageId(named))
    if question.message_id != named or ids.question_item_id(question) != item_id:
        raise MessageNotFound  # an answer's message, or one that has another id here
    return question
