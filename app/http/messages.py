"""Room 4, the door: reading a conversation.

May import: standard library, app, litestar.
"""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import get
from litestar.params import QueryParameter

from app.http import cursors, wire
from app.http.parameters import IdInPath, Owner, Renderer, Service
from app.http.responses import ALWAYS, problems
from app.http.views import MessagePageView

Limit = Annotated[
    int,
    QueryParameter(name="limit", description="Most messages to return, 1 to 100.", ge=1, le=100),
]
Before = Annotated[
    str | None, QueryParameter(name="before", description="`older_cursor` of a page.")
]
After = Annotated[str | None, QueryParameter(name="after", description="`newer_cursor` of a page.")]
Render = Annotated[
    Literal["html"] | None,
    QueryParameter(
        name="render",
        description="`html`: with each reply its Markdown as HTML that is safe to show.",
    ),
]


@get(
    "/sessions/{session_id:str}/messages",
    summary="Read messages",
    operation_id="listMessages",
    tags=["sessions"],
    responses=problems(*ALWAYS, "invalid_request", "session_not_found"),
)
async def list_messages(
    session_id: IdInPath,
    owner_id: Owner,
    chat_service: Service,
    markdown: Renderer,
    limit: Limit = 50,
    before: Before = None,
    after: After = None,
    render: Render = None,
) -> MessagePageView:
    """Return messages, oldest first within the page; without a cursor the newest page."""
    after_position = cursors.decode_position(after, field="after")
    page = await chat_service.messages(
        owner_id,
        wire.read_session_id(session_id),
        limit=limit,
        before=cursors.decode_position(before, field="before"),
        after=after_position,
    )
    html = await markdown.render(page.items) if render else {}
    return wire.view_messages(page, after=after_position, html=html)
