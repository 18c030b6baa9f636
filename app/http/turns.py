"""Room 4, the door: looking at a turn, following it and stopping it.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, QueryParameter

from app.http import wire
from app.http.body import StrictJson, require_json_if_any
from app.http.event_stream import EventStream
from app.http.operations import OptionalBody, StreamOnly
from app.http.parameters import IdInPath, Owner, Service
from app.http.problems import Refused
from app.http.responses import ALWAYS, OF_BODIES, problems
from app.http.schemas import FieldError, NoFields
from app.http.views import TurnView
from chatcore import ReplyPosition

_HEADER = "Last-Event-ID"
_NOTHING = NoFields()

After = Annotated[
    str | None,
    QueryParameter(
        name="after",
        description="Id of the last event that was read; without it the reply comes from its "
        "beginning.",
    ),
]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name=_HEADER,
        description="The same, as browsers send it when they connect again. It counts more.",
    ),
]


@get(
    "/sessions/{session_id:str}/turns/{turn_id:str}",
    summary="Look at a turn",
    operation_id="getTurn",
    tags=["turns"],
    responses=problems(*ALWAYS, "turn_not_found"),
)
async def get_turn(
    session_id: IdInPath, turn_id: IdInPath, owner_id: Owner, chat_service: Service
) -> TurnView:
    """Return one turn: its status, its reply, the calls of the model it took and their cost."""
    place = wire.read_turn_place(session_id, turn_id)
    return wire.view_turn(await chat_service.turn(owner_id, *place))


@get(
    "/sessions/{session_id:str}/turns/{turn_id:str}/events",
    summary="Follow a turn",
    operation_id="followTurn",
    operation_class=StreamOnly,
    tags=["turns"],
    responses={204: ResponseSpec(None, description="The turn is over, and its end was read.")}
    | problems(*ALWAYS, "invalid_request", "turn_not_found", "service_stopping"),
)
async def follow_turn(
    session_id: IdInPath,
    turn_id: IdInPath,
    owner_id: Owner,
    chat_service: Service,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Response[Any]:
    """Stream a reply from any place on, while it is written or any time later.

    Any number of readers may follow a turn at once; that they leave does not stop it.
    """
    position = _read_position(after, last_event_id)
    place = wire.read_turn_place(session_id, turn_id)
    reader = await chat_service.follow(owner_id, *place, after=position)
    if reader.is_over:
        reader.close()
        return Response(None, status_code=204)
    return EventStream(reader)


@post(
    "/sessions/{session_id:str}/turns/{turn_id:str}/stop",
    status_code=200,
    summary="Stop a turn",
    operation_id="stopTurn",
    operation_class=OptionalBody,
    tags=["turns"],
    guards=[require_json_if_any],
    dto=StrictJson[NoFields],
    return_dto=None,
    responses=problems(*ALWAYS, *OF_BODIES, "turn_not_found"),
)
async def stop_turn(
    session_id: IdInPath,
    turn_id: IdInPath,
    owner_id: Owner,
    chat_service: Service,
    data: JSONBody[NoFields] = _NOTHING,
) -> TurnView:
    """Stop a reply that is being written, wherever it is, and keep what there is of it.

    Once this is answered the turn has ended, and the next question is admitted. A turn that had
    ended before is returned as it is.
    """
    place = wire.read_turn_place(session_id, turn_id)
    await chat_service.stop(owner_id, *place)
    return wire.view_turn(await chat_service.turn(owner_id, *place))


def _read_position(after: str | None, last_event_id: str | None) -> ReplyPosition | None:
    """Return the place to go on from. Browsers send no header before there was an id.

    Raises:
        Refused: It is none.
    """
    text, field = (last_event_id, _HEADER) if last_event_id else (after, "after")
    if text is None:
        return None
    try:
        return ReplyPosition.parse(text)
    except ValueError:
        wrong = FieldError(field=field, reason="is not the id of an event of this turn")
        raise Refused("invalid_request", errors=[wrong]) from None
