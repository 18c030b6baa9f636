"""Room 4, the door: what a stream says before the answer begins.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from app.doors.chatkit import ids
from app.doors.chatkit.rendering import ChatKitRendering
from app.doors.chatkit.requests import Asking, Create, Retry
from app.doors.chatkit.telling import (
    Event,
    ItemDone,
    StreamOptionsSet,
    ThreadCreated,
    ThreadUpdated,
)
from app.doors.chatkit.views import view_question, view_thread
from chatcore import ChatService, OwnerId, TurnReader

_FIRST_TURN = 1


async def open_rendering(
    service: ChatService, owner_id: OwnerId, reader: TurnReader, given: Asking
) -> ChatKitRendering:
    """Return how a turn is told to whoever asked for it.

    Raises:
        ChatError: The turn cannot be found, or not now. It goes on.
    """
    session_id = reader.session_id
    turn = await service.turn(owner_id, session_id, reader.turn_id)
    events: list[Event] = []
    if isinstance(given, Create):
        events.append(ThreadCreated(view_thread(await service.session(owner_id, session_id))))
    if not isinstance(given, Retry):
        question = await service.question(owner_id, session_id, turn.question_id)
        asked = view_question(
            item_id=ids.question_item_id(question),
            thread_id=ids.thread_id_of(session_id),
            text=question.text,
            quoted=None if question.quote is None else question.quote.text,
            created_at=turn.created_at,
        )
        events.append(ItemDone(asked))
    # A thread that was begun empty, at another door, has its title of the first question.
    if turn.number == _FIRST_TURN and not isinstance(given, Create):
        events.append(ThreadUpdated(view_thread(await service.session(owner_id, session_id))))
    return ChatKitRendering(
        *events,
        StreamOptionsSet(),
        session_id=session_id,
        turn_id=turn.id,
        created_at=turn.created_at,
    )
