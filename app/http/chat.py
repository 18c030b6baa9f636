"""Room 4, the door: asking.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, post
from litestar.params import JSONBody

from app.http import idempotency, wire
from app.http.auth import Authenticator
from app.http.body import StrictJson, read_struct, require_json
from app.http.idempotency import IdempotencyKey
from app.http.operations import AnswerOrStream
from app.http.parameters import Owner, Service
from app.http.pressure import Pressure
from app.http.problems import Refused
from app.http.replies import show_reply
from app.http.responses import ALWAYS, OF_BODIES, OF_REPLIES, REPLAYED, problems
from app.http.schemas import SendMessageRequest
from app.http.views import ChatReply
from chatcore import Answer, ChatService, OnBusy, TurnReader

Straight = Callable[[Request[Any, Any, Any]], Awaitable[Response[ChatReply] | None]]


@post(
    "/chat",
    status_code=200,
    summary="Ask a question",
    operation_id="sendMessage",
    operation_class=AnswerOrStream,
    tags=["chat"],
    dto=StrictJson[SendMessageRequest],
    return_dto=None,
    response_headers=[REPLAYED],
    responses=problems(*ALWAYS, *OF_BODIES, *OF_REPLIES, "session_not_found"),
)
async def send_message(
    data: JSONBody[SendMessageRequest],
    owner_id: Owner,
    chat_service: Service,
    idempotency_key: IdempotencyKey = None,
) -> Response[ChatReply]:
    """Store a question, ask the model, store its reply and return it, or stream it meanwhile.

    Leaving before the reply is there does not stop it: it is stored. An Idempotency-Key gets it,
    and the events of its turn can be followed.
    """
    ask: Callable[..., Awaitable[Answer | TurnReader]]
    ask = chat_service.stream if data.stream else chat_service.send
    reply = await ask(
        owner_id,
        data.message,
        session_id=wire.read_optional_session_id(data),
        quote=wire.read_quote(data.selected_text),
        idempotency_key=idempotency.read_idempotency_key(idempotency_key, owner_id),
        on_busy=OnBusy(data.on_busy),
    )
    return show_reply(reply)


def straight_to_chat(
    authenticator: Authenticator, service: ChatService, pressure: Pressure
) -> Straight:
    """Return what reads the arguments that `send_message` declares, and calls it with them.

    It is the hook `before_request` of that route. Litestar's own way there, through guards,
    dependencies and a data transfer object, takes a fifth of a turn's processor time
    (docs/adr/0017).

    Args:
        authenticator: Finds out the owner, before anything of the request is looked at.
        service: Asks.
        pressure: Refuses some before that: a refusal must cost next to nothing.
    """

    async def answer(request: Request[Any, Any, Any]) -> Response[ChatReply] | None:
        if request.method != "POST":
            return None  # the router answers OPTIONS itself
        pressure.relieve()
        owner_id = await authenticator.authenticate(request.scope["headers"])
        await require_json(request, send_message)
        await idempotency.require_one_key(request, send_message)
        body = await request.body()
        if not body:
            raise Refused("malformed_json", "The body is empty.")
        reply: Response[ChatReply] = await send_message.fn(
            data=read_struct(body, SendMessageRequest),
            owner_id=owner_id,
            chat_service=service,
            idempotency_key=request.headers.get(idempotency.HEADER),
        )
        return reply

    return answer
