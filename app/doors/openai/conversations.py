"""Room 4, the door: conversations. Each is a session.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from litestar import Response, delete, get, post

from app.doors.openai.answers import show
from app.doors.openai.bodies import (
    ConversationRequest,
    ConversationUpdate,
    OwnedRequest,
    check_items,
    read_body,
    read_metadata,
)
from app.doors.openai.content import read_messages, split_pairs
from app.doors.openai.ids import conversation_id, read_conversation_id
from app.doors.openai.keeping import check_pairs, keep_pairs
from app.doors.openai.objects import Deleted
from app.doors.openai.views import view_conversation
from app.http.body import require_json
from app.http.parameters import IdInPath, Owner, Service


@post("/conversations", status_code=200, guards=[require_json])
async def create_conversation(
    request: OwnedRequest, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Begin a conversation, perhaps with what was said elsewhere."""
    wanted = await read_body(request, ConversationRequest)
    metadata = read_metadata(wanted.metadata)
    pairs = []
    if wanted.items:
        check_items(wanted.items)
        pairs = split_pairs(read_messages(wanted.items, param="items"), param="items")
        check_pairs(chat_service, pairs, param="items")
    session = await chat_service.open_session(owner_id, metadata=metadata)
    await keep_pairs(chat_service, owner_id, pairs, session.id)
    return show(view_conversation(session))


@get("/conversations/{known:str}")
async def get_conversation(
    known: IdInPath, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Return a conversation, begun at this door or at another."""
    session = await chat_service.session(owner_id, read_conversation_id(known))
    return show(view_conversation(session))


@post("/conversations/{known:str}", status_code=200, guards=[require_json])
async def update_conversation(
    known: IdInPath, request: OwnedRequest, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Note something else down with a conversation."""
    wanted = await read_body(request, ConversationUpdate)
    metadata = read_metadata(wanted.metadata)
    session_id = read_conversation_id(known)
    session = await chat_service.session(owner_id, session_id)
    ours = [pair for pair in session.metadata if pair[0].startswith("_")]
    noted = await chat_service.note(owner_id, session_id, tuple(sorted([*ours, *metadata])))
    return show(view_conversation(noted))


@delete("/conversations/{known:str}", status_code=200)
async def delete_conversation(
    known: IdInPath, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Erase a conversation with every word in it."""
    session_id = read_conversation_id(known)
    await chat_service.erase(owner_id, session_id)
    return show(Deleted(id=conversation_id(session_id), object="conversation.deleted"))
