"""Room 4, the door: puts the application together.

May import: standard library, app, chatcore, litestar.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from litestar import Litestar, Router
from litestar.di import Provide

from app.container import AppContainer
from app.doors.openai import answer_anywhere
from app.doors.routers import make_doors
from app.http.auth import owner_guard, provide_owner_id
from app.http.chat import send_message, straight_to_chat
from app.http.contract import openapi_config
from app.http.edge import Edge
from app.http.feedback import rate_message
from app.http.health import health, ready
from app.http.markdown import Markdown
from app.http.messages import list_messages
from app.http.page import make_page
from app.http.pressure import pressure_guard
from app.http.revisions import edit, regenerate
from app.http.sessions import erase_session, get_session, list_sessions, rename_session
from app.http.turns import follow_turn, get_turn, stop_turn
from app.lifecycle import DRAIN_SECONDS, Lifecycle
from app.logs import configure_logs, get_logger
from app.process import OpenRequests, drain_on_signals, relax_garbage_collector, stop_with_parent
from app.settings import Settings
from chatcore import ChatError, ChatService

_OWNED = [
    list_sessions,
    get_session,
    rename_session,
    erase_session,
    list_messages,
    rate_message,
    get_turn,
    follow_turn,
    stop_turn,
]
_REVISING = [regenerate, edit]


def create_app(container: AppContainer, *, drain_seconds: float = DRAIN_SECONDS) -> Litestar:
    """Return the application; it opens what it stands on when it is started."""
    settings: Settings = container.settings()
    service: ChatService = container.chat_service()
    lifecycle = Lifecycle(
        store=container.store(),
        model=container.llm(),
        service=service,
        drain_seconds=drain_seconds,
    )
    markdown = Markdown()
    app = Litestar(
        route_handlers=[health, ready, *_own(container, service), *_doors(container, service)],
        dependencies={
            "lifecycle": Provide(lambda: lifecycle, sync_to_thread=False),
            "markdown": Provide(lambda: markdown, sync_to_thread=False),
        },
        exception_handlers={Exception: answer_anywhere},
        lifespan=[lambda _: _open(lifecycle), lambda _: container.pressure().measured()],
        openapi_config=openapi_config(),
        request_max_body_size=settings.body_max_bytes,
        logging_config=None,
        debug=False,
    )
    # Around everything, since Litestar's own middleware does not see what its router refuses.
    app.asgi_handler = Edge(app.asgi_handler, origins=settings.frontend_url)
    app.state.lifecycle = lifecycle
    return app


def _own(container: AppContainer, service: ChatService) -> list[Router]:
    """Return the routes of our own API."""
    return [
        _asking(container, service),
        _owned_routes(container, service),
        _revising(container, service),
    ]


def _asking(container: AppContainer, service: ChatService) -> Router:
    return Router(
        path="/",
        route_handlers=[send_message],
        before_request=straight_to_chat(container.authenticator(), service, container.pressure()),
        dependencies=_given(service),
    )


def _owned_routes(container: AppContainer, service: ChatService) -> Router:
    return Router(
        path="/",
        route_handlers=_OWNED,
        guards=[owner_guard(container.authenticator())],
        dependencies=_given(service),
    )


def _revising(container: AppContainer, service: ChatService) -> Router:
    return Router(
        path="/",
        route_handlers=_REVISING,
        guards=[pressure_guard(container.pressure()), owner_guard(container.authenticator())],
        dependencies=_given(service),
    )


def _doors(container: AppContainer, service: ChatService) -> list[Router]:
    """Return what else there is: other protocols, and the page."""
    settings: Settings = container.settings()
    authenticator, pressure = container.authenticator(), container.pressure()
    doors = make_doors(service, authenticator, pressure, settings, container.clock())
    return [*doors, make_page()] if "page" in settings.doors else doors


def _given(service: ChatService) -> dict[str, Provide]:
    return {
        "owner_id": Provide(provide_owner_id, sync_to_thread=False),
        "chat_service": Provide(lambda: service, sync_to_thread=False),
    }


def create_served_app(settings: Settings, *, drain_seconds: float) -> Litestar:
    """Return the application for a process that does nothing else."""
    app = create_app(AppContainer(settings=settings), drain_seconds=drain_seconds)
    app.asgi_handler = requests = OpenRequests(app.asgi_handler)
    app.on_startup.extend(
        [relax_garbage_collector, drain_on_signals(app.state.lifecycle, requests)]
    )
    return app


def create_worker_app(drain_seconds: float) -> Litestar:
    """Return the application of one of several processes; the parent has checked everything."""
    settings = Settings.load()
    logs = configure_logs(
        level=settings.log_level, log_format=settings.log_format, secrets=settings.secrets()
    )
    app = create_served_app(settings, drain_seconds=drain_seconds)
    app.on_startup.append(stop_with_parent)
    app.on_shutdown.append(logs.flush)
    return app


@asynccontextmanager
async def _open(lifecycle: Lifecycle) -> AsyncGenerator[None, None]:
    try:
        await lifecycle.open()
    except ChatError as error:
        get_logger("lifecycle").error("start_failed", error=error)
        raise
    try:
        yield
    finally:
        await lifecycle.close()
