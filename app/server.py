"""Room 4, the door: runs the application under uvicorn, in one process or several.

May import: standard library, app, uvicorn.
"""

from __future__ import annotations

import socket
import time
from functools import partial
from importlib.util import find_spec
from math import ceil
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from app.lifecycle import GRACE_SECONDS
from app.main import create_served_app, create_worker_app
from app.settings import Settings, hand_to_workers

# uvicorn takes a worker for hung that does not answer within five seconds, also before it can: one
# that loads slowly would be killed and started again for ever.
_LOAD_SECONDS = 120.0
# uvicorn's own limit for idle connections, a little above that of our protocol, which is the one
# that counts. Its default of five seconds is just when a proxy that does as we say lets go of them:
# what it sent at that moment met a connection that was being closed.
_IDLE_SECONDS = 11
# Built on httptools, which has no wheels for some platforms.
_PROTOCOL = "app.http.protocol:BoundedProtocol"


def run_server(settings: Settings, listener: socket.socket, *, drain_seconds: float) -> bool:
    """Serve until a signal ends it. Returns whether it had started properly.

    Args:
        settings: Naming a database and a model.
        listener: A listening socket. It is closed as soon as the service is asked to stop.
        drain_seconds: How long running turns may go on then.
    """
    if settings.workers > 1:
        return _run_workers(settings, listener, drain_seconds)
    app = create_served_app(settings, drain_seconds=drain_seconds)
    server = uvicorn.Server(_config(app, drain_seconds))
    server.run(sockets=[listener])
    return server.started


def _run_workers(settings: Settings, listener: socket.socket, drain_seconds: float) -> bool:
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
    create = partial(create_worker_app, drain_seconds)
    config = _config(create, drain_seconds, factory=True, workers=settings.workers)
    supervisor = _Workers(config, sockets=[listener])
    supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


class _Workers(Multiprocess):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._loading: dict[Process, float] = {}

    def keep_subprocess_alive(self) -> None:
        """Replace who ended or hangs, but not who still loads: that takes as long as it takes."""
        loading = [worker for worker in self.processes if self._is_loading(worker)]
        self.processes = [worker for worker in self.processes if worker not in loading]
        super().keep_subprocess_alive()
        self.processes += loading
        # A process that ended holds descriptors as long as anybody remembers it.
        known = self._loading.items()
        self._loading = {worker: until for worker, until in known if worker in self.processes}

    def _is_loading(self, worker: Process) -> bool:
        """Tell whether a worker has not answered yet since it was started, and may not have to."""
        if worker not in self._loading:
            worker.parent_conn.send(b"ping")
            self._loading[worker] = time.monotonic() + _LOAD_SECONDS
        if worker.parent_conn.poll():
            worker.parent_conn.recv()
            self._loading[worker] = 0.0
        return worker.process.is_alive() and time.monotonic() < self._loading[worker]

    def terminate_all(self) -> None:
        """Close our copy of the socket too: while one is open, clients are let in and wait."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def _config(app: Any, drain_seconds: float, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_PROTOCOL if find_spec("httptools") else "auto",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=_IDLE_SECONDS,
        # Only a backstop: what is open when the drain is over is cut off then (app/process.py).
        timeout_graceful_shutdown=ceil(drain_seconds + GRACE_SECONDS),
        **options,
    )
