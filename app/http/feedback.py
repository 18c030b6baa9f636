"""Room 4, the door: what people think of messages.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from litestar import put
from litestar.params import JSONBody

from app.http import wire
from app.http.body import StrictJson, require_json
from app.http.parameters import IdInPath, Owner, Service
from app.http.responses import ALWAYS, OF_BODIES, problems
from app.http.schemas import RateMessageRequest
from app.http.views import MessageFeedbackView


@put(
    "/sessions/{session_id:str}/messages/{message_id:str}/feedback",
    summary="Rate a message",
    operation_id="rateMessage",
    tags=["sessions"],
    guards=[require_json],
    dto=StrictJson[RateMessageRequest],
    return_dto=None,
    responses=problems(*ALWAYS, *OF_BODIES, "message_not_found"),
)
async def rate_message(
    session_id: IdInPath,
    message_id: IdInPath,
    data: JSONBody[RateMessageRequest],
    owner_id: Owner,
    chat_service: Service,
) -> MessageFeedbackView:
    """Keep what the caller thinks of a message, in the place of what they said before."""
    feedback = wire.read_feedback(data)
    where, what = wire.read_message_place(session_id, message_id)
    await chat_service.rate(owner_id, where, what, feedback)
    return wire.view_feedback(what, feedback)
