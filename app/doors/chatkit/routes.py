"""Room 4, the door: the one address of the ChatKit protocol.

May import: standard library, app, chatcore, litestar, msgspec.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response, Router, post

from app.doors.chatkit import ids
from app.doors.chatkit import requests as wanted
from app.doors.chatkit.asking import Asking, InDoubt
from app.doors.chatkit.leaving import GRACE_SECONDS, stop_unless_read
from app.doors.chatkit.opening import open_rendering
from app.doors.chatkit.problems import answer_with_message, end_at_once
from app.doors.chatkit.reading import Reading
from app.http.auth import Authenticator, owner_guard
from app.http.body import require_json
from app.http.event_stream import EventStream
from app.http.pressure import Pressure
from chatcore import ChatService, Clock, OwnerId, StorageUnavailable, TurnReader

GRACE_STATE = "chatkit_grace_seconds"
"""Where the application's state may name another grace than `GRACE_SECONDS`."""
_MEDIA_TYPE = "application/json"
_NOTHING: dict[str, Any] = {}


class ChatKitDoor:
    """Answers requests.

    Args:
        service: What they lead to.
        pressure: Refuses some questions when there is too much to do.
        clock: Tells how long ago an answer was.
        stops_unread: Whether a reply is stopped that nobody reads any more.
    """

    def __init__(
        self, service: ChatService, pressure: Pressure, clock: Clock, *, stops_unread: bool
    ) -> None:
        self._service = service
        self._pressure = pressure
        self._asking = Asking(service, clock)
        self._reading = Reading(service)
        self._stops_unread = stops_unread

    async def answer(self, request: Request[OwnerId, Any, Any]) -> Response[Any]:
        """Answer one request.

        Raises:
            Refused: It is none, or one for something that this service does not do.
            ChatError: Whatever came of it; nothing was asked.
        """
        given = wanted.read_request(await request.body())
        if isinstance(given, wanted.Create | wanted.AddUserMessage | wanted.Retry):
            self._pressure.relieve()
            return await self._stream(request, given)
        found = msgspec.json.encode(await self._look(request.user, given))
        return Response(found, status_code=200, media_type=_MEDIA_TYPE)

    async def _look(self, owner_id: OwnerId, given: wanted.Looking) -> object:
        reading = self._reading
        if isinstance(given, wanted.SendFeedback):
            judged = given.params
            await reading.rate(owner_id, judged.thread_id, judged.item_ids, judged.kind)
            return _NOTHING
        if isinstance(given, wanted.ListThreads):
            return await reading.threads(owner_id, given.params)
        session_id = ids.read_thread_id(given.params.thread_id)
        match given:
            case wanted.GetThread():
                return await reading.thread(owner_id, session_id)
            case wanted.ListItems():
                return await reading.items(owner_id, session_id, given.params)
            case wanted.UpdateThread():
                return await reading.rename(owner_id, session_id, given.params.title)
            case wanted.DeleteThread():
                await reading.erase(owner_id, session_id)
                return _NOTHING

    async def _stream(
        self, request: Request[OwnerId, Any, Any], given: wanted.Asking
    ) -> Response[Any]:
        """Ask; from where a question may be stored, nothing is answered that is sent again."""
        try:
            reader = await self._ask(request.user, given)
        except InDoubt:
            return end_at_once(StorageUnavailable())
        try:
            rendering = await open_rendering(self._service, request.user, reader, given)
        except Exception as error:  # noqa: BLE001  # whatever it is, the question is stored
            reader.close()
            return end_at_once(error)
        leave = None
        if self._stops_unread:
            leave = partial(
                stop_unless_read,
                self._service,
                request.user,
                reader,
                grace_seconds=request.app.state.get(GRACE_STATE, GRACE_SECONDS),
            )
        return EventStream(reader, rendering, on_leave=leave)

    async def _ask(self, owner_id: OwnerId, given: wanted.Asking) -> TurnReader:
        match given:
            case wanted.Create(params):
                return await self._asking.create(owner_id, params.input)
            case wanted.AddUserMessage(params):
                session_id = ids.read_thread_id(params.thread_id)
                return await self._asking.add(owner_id, session_id, params.input)
            case wanted.Retry(params):
                return await self._asking.retry(owner_id, params.thread_id, params.item_id)


def make_router(
    service: ChatService,
    authenticator: Authenticator,
    pressure: Pressure,
    *,
    clock: Clock,
    stops_unread: bool,
) -> Router:
    """Return the route of the protocol.

    Args:
        service: What requests lead to.
        authenticator: Finds out whose request it is.
        pressure: Refuses some questions when there is too much to do.
        clock: Tells how long ago an answer was.
        stops_unread: Whether a reply is stopped that nobody reads any more.
    """
    door = ChatKitDoor(service, pressure, clock, stops_unread=stops_unread)

    # Its documents say what is in a body; ours have nothing to add.
    @post("/chatkit", status_code=200, include_in_schema=False)
    async def chatkit(request: Request[OwnerId, Any, Any]) -> Response[Any]:
        """Answer one request."""
        return await door.answer(request)

    return Router(
        path="/",
        route_handlers=[chatkit],
        guards=[owner_guard(authenticator), require_json],
        exception_handlers={Exception: answer_with_message},
    )
