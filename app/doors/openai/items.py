"""Room 4, the door: the items of a conversation. Each is a message that counts.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from uuid import UUID

from litestar import Response, delete, get, post

from app.doors.openai.answers import After, Limit, Order, show
from app.doors.openai.bodies import ItemsRequest, OwnedRequest, check_items, read_body
from app.doors.openai.content import read_messages, split_pairs
from app.doors.openai.errors import Wrong
from app.doors.openai.ids import read_conversation_id, read_item_place
from app.doors.openai.keeping import check_pairs, keep_pairs
from app.doors.openai.objects import Item
from app.doors.openai.paging import items_page
from app.doors.openai.views import question_item, view_answer, view_items
from app.http.body import require_json
from app.http.parameters import IdInPath, Owner, Service
from chatcore import (
    ChatService,
    MessageId,
    MessageNotFound,
    OwnerId,
    SessionId,
    TurnId,
    TurnNotFound,
)


@get("/conversations/{known:str}/items")
async def list_items(
    known: IdInPath,
    owner_id: Owner,
    chat_service: Service,
    limit: Limit = 20,
    order: Order = "desc",
    after: After = None,
) -> Response[bytes]:
    """Return messages, the newest first unless told otherwise."""
    session_id = read_conversation_id(known)
    found = await items_page(
        chat_service, owner_id, session_id, limit=limit, newest_first=order == "desc", after=after
    )
    return show(found)


@post("/conversations/{known:str}/items", status_code=200, guards=[require_json])
async def add_items(
    known: IdInPath, request: OwnedRequest, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Keep what was said elsewhere: questions with their answers."""
    session_id = read_conversation_id(known)
    wanted = await read_body(request, ItemsRequest)
    check_items(wanted.items)
    pairs = split_pairs(read_messages(wanted.items, param="items"), param="items")
    added: list[Item] = []
    check_pairs(chat_service, pairs, param="items")
    await keep_pairs(chat_service, owner_id, pairs, session_id, added=added)
    return show(view_items(added, has_more=False))


@get("/conversations/{known:str}/items/{item:str}")
async def get_item(
    known: IdInPath, item: IdInPath, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Return one message."""
    return show(await _find(chat_service, owner_id, *read_item_place(known, item)))


@delete("/conversations/{known:str}/items/{item:str}", status_code=200)
async def delete_item(
    known: IdInPath, item: IdInPath, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Refuse: messages are not deleted one by one."""
    await _find(chat_service, owner_id, *read_item_place(known, item))
    raise Wrong(
        "item_id",
        "Items are not deleted one by one: delete the conversation, or ask another question after "
        "the response before this item, which replaces what followed.",
        code="item_not_deletable",
    )


async def _find(
    service: ChatService, owner_id: OwnerId, session_id: SessionId, named: UUID
) -> Item:
    """Return the item of this id.

    Raises:
        MessageNotFound: There is none that counts.
    """
    try:
        question = await service.question(owner_id, session_id, MessageId(named))
    except MessageNotFound:
        return await _find_answer(service, owner_id, session_id, TurnId(named))
    if question.message_id != named or question.superseded_by is not None:
        raise MessageNotFound
    return question_item(question.message_id, question.text)


async def _find_answer(
    service: ChatService, owner_id: OwnerId, session_id: SessionId, turn_id: TurnId
) -> Item:
    try:
        turn = await service.turn(owner_id, session_id, turn_id)
    except TurnNotFound:
        raise MessageNotFound from None
    if turn.reply is None or turn.superseded_by is not None:
        raise MessageNotFound
    return view_answer(turn)
