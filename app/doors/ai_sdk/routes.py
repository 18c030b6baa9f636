"""Room 4, the door: the addresses that `useChat` and its applications call.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.di import Provide

from app.doors.ai_sdk.asking import answer
from app.doors.ai_sdk.chats import latest_message, require_chat_id, session_of
from app.doors.ai_sdk.history import history_of
from app.doors.ai_sdk.reading import read_wanted
from app.doors.ai_sdk.rendering import UIMessageStream
from app.doors.ai_sdk.schemas import ChatRequest, ShownMessage, Stopped, StopRequest
from app.http.auth import Authenticator, owner_guard, provide_owner_id
from app.http.body import read_struct, require_json, require_json_if_any
from app.http.event_stream import EventStream
from app.http.parameters import IdInPath, Owner, Service
from app.http.pressure import Pressure, pressure_guard
from app.http.problems import Refused
from chatcore import ChatService, OwnerId, SessionId, TurnId, TurnStatus

_PATH = "/api/chat"


def make_router(service: ChatService, authenticator: Authenticator, pressure: Pressure) -> Router:
    """Return the routes under `/api/chat`.

    Args:
        service: What they lead to.
        authenticator: Finds out whose request it is.
        pressure: Refuses some questions when there is too much to do.
    """
    owned = owner_guard(authenticator)
    asking = Router(path="/", route_handlers=[chat], guards=[pressure_guard(pressure), owned])
    looking = Router(path="/", route_handlers=[get_messages, resume, stop], guards=[owned])
    return Router(
        path=_PATH,
        route_handlers=[asking, looking],
        dependencies={
            "owner_id": Provide(provide_owner_id, sync_to_thread=False),
            "chat_service": Provide(lambda: service, sync_to_thread=False),
        },
        include_in_schema=False,  # not ours to describe
    )


@post("/", status_code=200, guards=[require_json])
async def chat(
    request: Request[Any, Any, Any], owner_id: Owner, chat_service: Service
) -> Response[Any]:
    """Answer what the client shows, as a UI message stream."""
    body = await request.body()
    if not body:
        raise Refused("malformed_json", "The body is empty.")
    asked = read_struct(body, ChatRequest)
    require_chat_id(asked.id, owner_id)
    wanted = read_wanted(asked)
    session_id = await session_of(chat_service, owner_id, asked.id)
    reader = await answer(chat_service, owner_id, session_id, wanted)
    return EventStream(reader, UIMessageStream())


@get("/{chat_id:str}")
async def get_messages(
    chat_id: IdInPath, owner_id: Owner, chat_service: Service
) -> list[ShownMessage]:
    """Return what was said, to begin with after a reload; of an unknown chat nothing."""
    session_id = await session_of(chat_service, owner_id, chat_id)
    return await history_of(chat_service, owner_id, session_id)


@get("/{chat_id:str}/stream")
async def resume(chat_id: IdInPath, owner_id: Owner, chat_service: Service) -> Response[Any]:
    """Return the reply that is being written, from its beginning; 204 if there is none."""
    session_id = await session_of(chat_service, owner_id, chat_id)
    turn_id = await _running(chat_service, owner_id, session_id)
    if turn_id is None:
        return Response(None, status_code=204)
    reader = await chat_service.follow(owner_id, session_id, turn_id)
    return EventStream(reader, UIMessageStream())


@post("/{chat_id:str}/stop", status_code=200, guards=[require_json_if_any])
async def stop(
    request: Request[Any, Any, Any], chat_id: IdInPath, owner_id: Owner, chat_service: Service
) -> Stopped:
    """Stop the reply that is being written, and keep what there is of it; else do nothing."""
    body = await request.body()
    meant = (read_struct(body, StopRequest) if body else StopRequest()).active_stream_id
    session_id = await session_of(chat_service, owner_id, chat_id)
    turn_id = await _running(chat_service, owner_id, session_id)
    if turn_id is not None and meant in {None, str(turn_id)}:
        await chat_service.stop(owner_id, session_id, turn_id)
    return Stopped()


async def _running(service: ChatService, owner_id: OwnerId, session_id: SessionId) -> TurnId | None:
    message = await latest_message(service, owner_id, session_id)
    is_running = message is not None and message.turn_status is TurnStatus.RUNNING
    return message.turn_id if message is not None and is_running else None
