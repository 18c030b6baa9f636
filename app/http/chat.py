"""Room 4, the door: asking.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from typing import Annotated

from litestar import Response, post
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody

from app.http import idempotency, wire
from app.http.body import StrictJson, require_json
from app.http.parameters import Owner, Service
from app.http.responses import ALWAYS, OF_BODIES, problems
from app.http.schemas import SendMessageRequest
from app.http.views import ChatReply

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=idempotency.HEADER,
        description="1 to 255 printable ASCII characters, bare or as a quoted string; at least 16 "
        "without a credential. The same key with the same question gets the same reply, however "
        "often and whenever it is sent.",
    ),
]


@post(
    "/chat",
    status_code=200,
    summary="Ask a question",
    operation_id="sendMessage",
    tags=["chat"],
    guards=[require_json, idempotency.require_one_key],
    dto=StrictJson[SendMessageRequest],
    return_dto=None,
    response_headers=[
        ResponseHeader(
            name="Idempotent-Replayed",
            value="true",
            description="`true`: the key was known, and this is its first reply.",
            documentation_only=True,
        )
    ],
    responses=problems(
        *ALWAYS,
        *OF_BODIES,
        "session_not_found",
        "session_busy",
        "turn_lost",
        "idempotency_key_reused",
        "llm_unavailable",
        "llm_incomplete",
        "llm_rejected",
        "llm_rate_limited",
        "turn_interrupted",
        "service_stopping",
        "llm_timeout",
    ),
)
async def send_message(
    data: JSONBody[SendMessageRequest],
    owner_id: Owner,
    chat_service: Service,
    idempotency_key: IdempotencyKey = None,
) -> Response[ChatReply]:
    """Store a question, ask the model, store its reply and return it.

    Leaving before the reply comes does not stop it: it is stored, and an Idempotency-Key gets it.
    """
    answer = await chat_service.send(
        owner_id,
        data.message,
        session_id=wire.read_optional_session_id(data),
        quote=wire.read_quote(data),
        idempotency_key=idempotency.read_idempotency_key(idempotency_key, owner_id),
    )
    headers = {"Idempotent-Replayed": "true"} if answer.repeated else None
    return Response(wire.view_reply(answer), headers=headers)
