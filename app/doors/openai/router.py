"""Room 4, the door: the routes below `/v1`.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, Router
from litestar.di import Provide

from app.doors.openai.completions import complete_chat
from app.doors.openai.conversations import (
    create_conversation,
    delete_conversation,
    get_conversation,
    update_conversation,
)
from app.doors.openai.errors import answer_error
from app.doors.openai.items import add_items, delete_item, get_item, list_items
from app.doors.openai.models import get_model, list_models
from app.doors.openai.responses import (
    cancel_response,
    create_response,
    delete_response,
    list_input_items,
    retrieve_response,
)
from app.http.auth import Authenticator, owner_guard, provide_owner_id
from app.http.pressure import Pressure, pressure_guard
from app.http.problems import answer_problem
from chatcore import ChatService

PREFIX = "/v1"

_ASKING = [complete_chat, create_response]
_OTHERS = [
    list_models,
    get_model,
    retrieve_response,
    cancel_response,
    delete_response,
    list_input_items,
    create_conversation,
    get_conversation,
    update_conversation,
    delete_conversation,
    list_items,
    add_items,
    get_item,
    delete_item,
]


def make_router(service: ChatService, authenticator: Authenticator, pressure: Pressure) -> Router:
    """Return the routes.

    Args:
        service: What they lead to.
        authenticator: Finds out whose request it is.
        pressure: Refuses some questions when there is too much to do.
    """
    asking = Router(path="/", route_handlers=_ASKING, guards=[pressure_guard(pressure)])
    return Router(
        path=PREFIX,
        route_handlers=[asking, *_OTHERS],
        guards=[owner_guard(authenticator)],
        dependencies={
            "owner_id": Provide(provide_owner_id, sync_to_thread=False),
            "chat_service": Provide(lambda: service, sync_to_thread=False),
        },
        exception_handlers={Exception: answer_error},
        include_in_schema=False,
    )


def answer_anywhere(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn an exception into the answer of the door whose address it is, known there or not."""
    path = request.scope["path"]
    if path == PREFIX or path.startswith(f"{PREFIX}/"):
        return answer_error(request, error)
    return answer_problem(request, error)
