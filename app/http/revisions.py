"""Room 4, the door: asking the same again, or something else instead.

May import: standard library, app, chatcore, litestar, msgspec.
"""

from __future__ import annotations

from litestar import Response, post
from litestar.params import JSONBody
from msgspec import UNSET

from app.http import idempotency, wire
from app.http.body import StrictJson, require_json, require_json_if_any
from app.http.idempotency import IdempotencyKey
from app.http.operations import AnswerOrStream, OptionalBodyAnswerOrStream
from app.http.parameters import IdInPath, Owner, Service
from app.http.replies import show_reply
from app.http.responses import ALWAYS, OF_BODIES, OF_REPLIES, REPLAYED, problems
from app.http.schemas import EditMessageRequest, RegenerateRequest
from app.http.views import ChatReply
from chatcore import OnBusy

_AS_USUAL = RegenerateRequest()
_PROBLEMS = problems(*ALWAYS, *OF_BODIES, *OF_REPLIES, "message_not_found", "message_superseded")


@post(
    "/sessions/{session_id:str}/messages/{message_id:str}/regenerate",
    status_code=200,
    summary="Answer again",
    operation_id="regenerateReply",
    operation_class=OptionalBodyAnswerOrStream,
    tags=["chat"],
    guards=[require_json_if_any, idempotency.require_one_key],
    dto=StrictJson[RegenerateRequest],
    return_dto=None,
    response_headers=[REPLAYED],
    responses=_PROBLEMS,
)
async def regenerate(
    session_id: IdInPath,
    message_id: IdInPath,
    owner_id: Owner,
    chat_service: Service,
    data: JSONBody[RegenerateRequest] = _AS_USUAL,
    idempotency_key: IdempotencyKey = None,
) -> Response[ChatReply]:
    """Ask a question again, in a turn of its own that takes the place of the first one.

    The message may be the question or its reply. It, and all after it, stay stored and are seen no
    more by the model: `superseded_by` names the new turn.
    """
    reader = await chat_service.regenerate(
        owner_id,
        *wire.read_message_place(session_id, message_id),
        idempotency_key=idempotency.read_idempotency_key(idempotency_key, owner_id),
        on_busy=OnBusy(data.on_busy),
        stream=data.stream,
    )
    return show_reply(reader if data.stream else await reader.answer())


@post(
    "/sessions/{session_id:str}/messages/{message_id:str}/edit",
    status_code=200,
    summary="Ask something else instead",
    operation_id="editMessage",
    operation_class=AnswerOrStream,
    tags=["chat"],
    guards=[require_json, idempotency.require_one_key],
    dto=StrictJson[EditMessageRequest],
    return_dto=None,
    response_headers=[REPLAYED],
    responses=_PROBLEMS,
)
async def edit(
    session_id: IdInPath,
    message_id: IdInPath,
    data: JSONBody[EditMessageRequest],
    owner_id: Owner,
    chat_service: Service,
    idempotency_key: IdempotencyKey = None,
) -> Response[ChatReply]:
    """Put another question in the place of one, and answer it.

    The question replaced, and all after it, stay stored and are seen no more by the model:
    `superseded_by` names the new turn.
    """
    reader = await chat_service.edit(
        owner_id,
        *wire.read_message_place(session_id, message_id),
        data.message,
        quote=wire.read_quote(data.selected_text),
        keep_quote=data.selected_text is UNSET,
        idempotency_key=idempotency.read_idempotency_key(idempotency_key, owner_id),
        on_busy=OnBusy(data.on_busy),
        stream=data.stream,
    )
    return show_reply(reader if data.stream else await reader.answer())
