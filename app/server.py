"""Room 4, the door: runs the application under uvicorn, in one process or several.

May import: standard library, app, uvicorn.
"""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.lifecycle import DRAIN_SECONDS
from app.main import create_served_app
from app.settings import Settings, hand_to_workers

# Backstop: what still runs after the drain is cut off.
_GRACE_SECONDS = int(DRAIN_SECONDS) + 3


def run_server(settings: Settings, listener: socket.socket) -> bool:
    """Serve until a signal ends it. Returns whether it had started properly.

    Args:
        settings: Naming a database and a model.
        listener: A bound socket.
    """
    if settings.workers > 1:
        return _run_workers(settings, listener)
    server = uvicorn.Server(_config(create_served_app(settings)))
    server.run(sockets=[listener])
    return server.started


def _run_workers(settings: Settings, listener: socket.socket) -> bool:
    """Serve with several processes: each reads the settings itself, and finds there what we run."""
    found = {
        "DATABASE_URL": settings.database_url,
        "OPENAI_API_KEY": settings.openai_api_key,
        "OPENAI_BASE_URL": settings.openai_base_url,
        "OPENAI_MODEL": settings.openai_model,
    }
    hand_to_workers(
        {
            name: value if isinstance(value, str) else value.reveal()
            for name, value in found.items()
            if value is not None
        }
    )
    config = _config("app.main:create_worker_app", factory=True, workers=settings.workers)
    supervisor = Multiprocess(config, sockets=[listener])
    supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


def _config(app: Any, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_SECONDS,
        **options,
    )
