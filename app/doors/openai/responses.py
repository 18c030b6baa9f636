"""Room 4, the door: responses. Each is a turn: a question and its answer.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, delete, get, post
from litestar.params import QueryParameter

from app.doors.openai.answers import After, Limit, Order, show
from app.doors.openai.bodies import (
    OwnedRequest,
    ResponseRequest,
    check_model,
    check_response,
    read_body,
)
from app.doors.openai.creating import ask
from app.doors.openai.errors import Wrong
from app.doors.openai.ids import conversation_id, read_response_id, response_id
from app.doors.openai.objects import Deleted
from app.doors.openai.passing_responses import answer_once
from app.doors.openai.response_stream import ResponseRendering, follow_response
from app.doors.openai.views import (
    ALONE,
    Facts,
    facts_of,
    question_item,
    view_items,
    view_response,
)
from app.doors.openai.wanted import Wanted, read_wanted
from app.http import idempotency
from app.http.body import require_json
from app.http.event_stream import EventStream
from app.http.parameters import IdInPath, Owner, Service
from chatcore import ChatService, OwnerId, Turn, TurnReader

WantsStream = Annotated[bool, QueryParameter(name="stream")]
StartingAfter = Annotated[int | None, QueryParameter(name="starting_after", ge=0, le=2**31)]


@post("/responses", status_code=200, guards=[require_json, idempotency.require_one_key])
async def create_response(
    request: OwnedRequest, owner_id: Owner, chat_service: Service
) -> Response[Any]:
    """Ask a question, and answer it: whole, in parts, or later."""
    wanted = await read_body(request, ResponseRequest)
    check_response(wanted)
    check_model(wanted.model, chat_service)
    if wanted.store is False:
        return await answer_once(request, wanted, chat_service)
    key = idempotency.read_idempotency_key(request.headers.get(idempotency.HEADER), owner_id)
    what = read_wanted(wanted, chat_service, key)
    parts = bool(wanted.stream or wanted.background)
    found = await ask(chat_service, owner_id, what, parts=parts)
    if not isinstance(found, TurnReader):
        facts = await _facts(chat_service, owner_id, what, found.turn, repeated=found.repeated)
        return show(view_response(facts, found.turn), repeated=found.repeated)
    return await _show_begun(chat_service, owner_id, what, found, stream=bool(wanted.stream))


async def _show_begun(
    service: ChatService, owner_id: OwnerId, what: Wanted, reader: TurnReader, *, stream: bool
) -> Response[Any]:
    """Return the stream of a response that has begun, or the response as it is by now."""
    with_turn = None
    try:
        if reader.repeated:
            with_turn = await service.turn(owner_id, reader.session_id, reader.turn_id)
    except BaseException:
        reader.close()
        raise
    facts = (
        facts_of(with_turn, service.model)
        if with_turn is not None
        else Facts(
            session_id=reader.session_id,
            turn_id=reader.turn_id,
            model=service.model,
            metadata=what.metadata,
        )
    )
    if stream:
        return EventStream(reader, ResponseRendering(facts))
    reader.close()
    return show(view_response(facts, with_turn), repeated=reader.repeated)


async def _facts(
    service: ChatService, owner_id: OwnerId, what: Wanted, turn: Turn, *, repeated: bool
) -> Facts:
    """Return what is known of a response that has ended."""
    if repeated:
        return facts_of(await service.turn(owner_id, turn.session_id, turn.id), service.model)
    return Facts(
        session_id=turn.session_id, turn_id=turn.id, model=service.model, metadata=what.metadata
    )


@get("/responses/{known:str}")
async def retrieve_response(
    known: IdInPath,
    owner_id: Owner,
    chat_service: Service,
    stream: WantsStream = False,
    starting_after: StartingAfter = None,
) -> Response[Any]:
    """Return a response as it is by now, or its stream from any event on."""
    turn = await chat_service.turn(owner_id, *read_response_id(known))
    facts = facts_of(turn, chat_service.model)
    if not stream:
        return show(view_response(facts, turn))
    after = -1 if starting_after is None else starting_after
    return await follow_response(chat_service, owner_id, turn, facts, after=after)


@post("/responses/{known:str}/cancel", status_code=200)
async def cancel_response(
    known: IdInPath, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Stop a response, wherever it is written, and keep what there is of it.

    Clients send no body, and call it JSON: it is not read.
    """
    place = read_response_id(known)
    ended = await chat_service.stop(owner_id, *place)
    turn = await chat_service.turn(owner_id, *place)
    return show(view_response(facts_of(turn, chat_service.model), ended))


@delete("/responses/{known:str}", status_code=200)
async def delete_response(
    known: IdInPath, owner_id: Owner, chat_service: Service
) -> Response[bytes]:
    """Erase a response that is all there is of its conversation."""
    session_id, turn_id = read_response_id(known)
    turn = await chat_service.turn(owner_id, session_id, turn_id)
    newest = await chat_service.messages(owner_id, session_id, limit=1)
    is_last = bool(newest.items) and newest.items[-1].turn_id == turn_id
    if ALONE not in dict(turn.metadata) or not is_last:
        raise Wrong(
            "response_id",
            "This response is part of a conversation, of which nothing is deleted by itself: "
            f"delete the whole conversation, {conversation_id(session_id)}.",
            code="response_in_conversation",
        )
    await chat_service.erase(owner_id, session_id)
    return show(Deleted(id=response_id(session_id, turn_id), object="response"))


@get("/responses/{known:str}/input_items")
async def list_input_items(
    known: IdInPath,
    owner_id: Owner,
    chat_service: Service,
    limit: Limit = 20,
    order: Order = "desc",
    after: After = None,
) -> Response[bytes]:
    """Return what was asked: one message."""
    session_id, turn_id = read_response_id(known)
    turn = await chat_service.turn(owner_id, session_id, turn_id)
    question = await chat_service.question(owner_id, session_id, turn.question_id)
    item = question_item(question.message_id, question.text)
    return show(view_items([] if after == item.id else [item], has_more=False))
