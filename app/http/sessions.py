"""Room 4, the door: looking at whole sessions, renaming and erasing them.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, patch
from litestar.params import JSONBody, QueryParameter

from app.http import cursors, wire
from app.http.auth import PUBLIC_OWNER
from app.http.body import StrictJson, require_json
from app.http.parameters import IdInPath, Owner, Service
from app.http.responses import ALWAYS, OF_BODIES, problems
from app.http.schemas import RenameSessionRequest
from app.http.views import SessionPageView, SessionView

_NOTICE = (
    "Sessions made without a credential belong to whoever knows their id and are not listed. "
    "For a list, send a visitor token: Authorization: Bearer visitor- and at least 32 random "
    "characters."
)

Limit = Annotated[
    int,
    QueryParameter(name="limit", description="Most sessions to return, 1 to 100.", ge=1, le=100),
]
After = Annotated[
    str | None,
    QueryParameter(name="after", description="`next_cursor` of the page before."),
]


@get(
    "/sessions",
    summary="List sessions",
    operation_id="listSessions",
    tags=["sessions"],
    responses=problems(*ALWAYS, "invalid_request"),
)
async def list_sessions(
    owner_id: Owner, chat_service: Service, limit: Limit = 20, after: After = None
) -> SessionPageView:
    """Return the caller's sessions, latest activity first.

    Without a credential there is nothing to list: the page is empty and `notice` says so.
    """
    cursor = cursors.decode_session_cursor(after, field="after")
    if owner_id == PUBLIC_OWNER:
        return SessionPageView(items=[], next_cursor=None, notice=_NOTICE)
    return wire.view_sessions(await chat_service.sessions(owner_id, limit=limit, after=cursor))


@get(
    "/sessions/{session_id:str}",
    summary="Look at a session",
    operation_id="getSession",
    tags=["sessions"],
    responses=problems(*ALWAYS, "session_not_found"),
)
async def get_session(session_id: IdInPath, owner_id: Owner, chat_service: Service) -> SessionView:
    """Return one session."""
    session = await chat_service.session(owner_id, wire.read_session_id(session_id))
    return wire.view_session(session)


@patch(
    "/sessions/{session_id:str}",
    summary="Rename a session",
    operation_id="renameSession",
    tags=["sessions"],
    guards=[require_json],
    dto=StrictJson[RenameSessionRequest],
    return_dto=None,
    responses=problems(*ALWAYS, *OF_BODIES, "session_not_found"),
)
async def rename_session(
    session_id: IdInPath,
    data: JSONBody[RenameSessionRequest],
    owner_id: Owner,
    chat_service: Service,
) -> SessionView:
    """Give a session another title."""
    known_id = wire.read_session_id(session_id)
    return wire.view_session(await chat_service.rename(owner_id, known_id, data.title))


@delete(
    "/sessions/{session_id:str}",
    summary="Erase a session",
    operation_id="eraseSession",
    tags=["sessions"],
    responses=problems(*ALWAYS, "session_not_found"),
)
async def erase_session(session_id: IdInPath, owner_id: Owner, chat_service: Service) -> None:
    """Erase a session with every word in it; a reply that is being written is discarded."""
    await chat_service.erase(owner_id, wire.read_session_id(session_id))
