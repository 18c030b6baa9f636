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
    Message,
    MessageId,
    MessageNotFound,
    MessagePage,
    OwnerId,
    SessionId,
    SessionNotFound,
    Turn,
    TurnId,
    TurnNotFound,
)

_PAGE = 100
_PER_TURN = 2


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
    place = 0 if not newest_first else None
    if after is not None:
        await service.session(owner_id, session_id)
        place = await _position_of(service, owner_id, session_id, after)
    found: list[Message] = []
    has_more = True
    while has_more and len(found) <= limit:
        page = await _page(service, owner_id, session_id, place, newest_first=newest_first)
        messages = page.items[::-1] if newest_first else page.items
        found += [message for message in messages if message.superseded_by is None]
        has_more = page.has_older if newest_first else page.has_newer
        if messages:
            place = messages[-1].position
        has_more = has_more and bool(messages)
    shown = [view_message(message) for message in found[:limit]]
    return view_items(shown, has_more=len(found) > limit)


async def _page(
    service: ChatService,
    owner_id: OwnerId,
    session_id: SessionId,
    place: int | None,
    *,
    newest_first: bool,
) -> MessagePage:
    if newest_first:
        return await service.messages(owner_id, session_id, limit=_PAGE, before=place)
    return await service.messages(owner_id, session_id, limit=_PAGE, after=place)


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
            question = await service.question(owner_id, session_id, MessageId(named))
            turn = await service.turn(owner_id, session_id, question.turn_id)
        except MessageNotFound:
            turn = await service.turn(owner_id, session_id, TurnId(named))
    except (MessageNotFound, TurnNotFound):
        raise Wrong("after", "'after' is no item of this conversation.") from None
    if turn.id == named and turn.reply is not None:
        return turn.reply.position
    return await _question_position(service, owner_id, turn)


async def _question_position(service: ChatService, owner_id: OwnerId, turn: Turn) -> int:
    """Return where the question of a turn is.

    Raises:
        SessionNotFound: It was erased meanwhile.
    """
    if turn.reply is not None:
        return turn.reply.position - 1  # a reply comes right after its question
    # A turn takes two positions, or one if it has no reply: as far below as there are such turns.
    below = _PER_TURN * turn.number
    while below > 1:
        page = await service.messages(owner_id, turn.session_id, limit=_PAGE, before=below)
        for message in reversed(page.items):
            if message.id == turn.question_id:
                return message.position
        below = page.items[0].position if page.items else 0
    raise SessionNotFound(turn.session_id)
