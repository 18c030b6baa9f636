"""Room 4, the door: all the other doors, put together.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from collections.abc import Callable

from litestar import Router

from app.doors.ai_sdk import make_router as make_ai_sdk
from app.doors.chatkit import make_router as make_chatkit
from app.doors.openai import make_router as make_openai
from app.http.auth import Authenticator
from app.http.pressure import Pressure
from app.settings import Settings
from chatcore import ChatService, Clock


def make_doors(
    service: ChatService,
    authenticator: Authenticator,
    pressure: Pressure,
    settings: Settings,
    clock: Clock,
) -> list[Router]:
    """Return the routes of every protocol but our own that the operator wants.

    Args:
        service: What they all lead to.
        authenticator: Finds out whose request it is.
        pressure: Refuses some questions when there is too much to do.
        settings: The operator's choices.
        clock: Tells the time.
    """
    stops_unread = settings.chatkit_disconnect == "stop"
    doors: dict[str, Callable[[], Router]] = {
        "ai-sdk": lambda: make_ai_sdk(service, authenticator, pressure),
        "chatkit": lambda: make_chatkit(
            service, authenticator, pressure, clock=clock, stops_unread=stops_unread
        ),
        "openai": lambda: make_openai(service, authenticator, pressure),
    }
    return [make() for name, make in doors.items() if name in settings.doors]
