"""Room 4, the door: pages of items. Messages that were superseded are none.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

from app.doors.openai.errors import Wrong
from app.doors.openai.ids import read_item_id
from app.doors.openai.objects import ItemList
from app.doors.openai.views import view_items, view_message
from chatcore import (
    ChatService,
    MessageId,
    MessageNotFound,
    OwnerId,
    SessionId,
    TurnId,
    TurnNotFound,
)


async def items_page(
    service: ChatService,
    owner_id: OwnerId,
    session_id: SessionId,
    *,
    limit: int,
    newest_first: bool,
    after: str | None,
) -> ItemList:
    """Return the items that come after one, in the order asked for.

    Raises:
        SessionNotFound: No such conversation of this owner.
        Wrong: `after` is no item of it.
    """
    place = None
    if after is not None:
        await service.session(owner_id, session_id)
        place = await _position_of(service, owner_id, session_id, after)
    if newest_first:
        page = await service.messages(
            owner_id, session_id, limit=limit, before=place, counting=True
        )
        shown = [view_message(message) for message in reversed(page.items)]
        return view_items(shown, has_more=page.has_older)
    page = await service.messages(
        owner_id, session_id, limit=limit, after=place or 0, counting=True
    )
    return view_items(list(map(view_message, page.items)), has_more=page.has_newer)


async def _position_of(
    service: ChatService, owner_id: OwnerId, session_id: SessionId, known: str
) -> int:
    """Return where an item is.

    Raises:
        Wrong: There is no such item.
    """
    try:
        named = read_item_id(known)
        try:
            return (await service.question(owner_id, session_id, MessageId(named))).position
        except MessageNotFound:
            turn = await service.turn(owner_id, session_id, TurnId(named))
        if turn.reply is not None:
            return turn.reply.position
        return (await service.question(owner_id, session_id, turn.question_id)).position
    except (MessageNotFound, TurnNotFound):
        raise Wrong("after", "'after' is no item of this conversation.") from None
