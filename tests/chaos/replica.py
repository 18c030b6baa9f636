"""One replica: the real application on the real adapters, with wrappers around two ports.

May import: standard library, adapters, aiohttp, app, chatcore, dependency_injector, tests.chaos,
uvicorn.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import uvicorn.lifespan.on  # what a server imports late is imported early
import uvicorn.protocols.http.httptools_impl
from dependency_injector import providers

import app.http.protocol
from adapters.openai import OpenAILLM
from adapters.system import SystemClock
from app import main
from app.container import AppContainer
from app.logs import configure_logs
from app.server import run_server
from app.settings import Settings
from chatcore import ChatPolicy
from tests.chaos import mutants
from tests.chaos.failpoints import (
    HELD,
    Armed,
    Diary,
    Failpoints,
    WatchedModel,
    WatchedRepository,
)

_MAIN: Any = main
_IMPORTED_EARLY = (app.http.protocol, uvicorn.protocols.http.httptools_impl)


def warm_up() -> None:
    """Make an application and throw it away, so that what all of them import is imported."""
    config = {"dsn": "postgresql://nobody@127.0.0.1:1/none", "provider": "http://127.0.0.1:1/v1"}
    settings = _settings(config | {"settings": {}})
    container = AppContainer(settings=settings)
    create = _MAIN.AppContainer
    _MAIN.AppContainer = lambda **_: container
    main.create_served_app(settings, drain_seconds=1.0)
    _MAIN.AppContainer = create


def run(config: dict[str, Any]) -> int:
    """Serve until a signal ends it, and return the exit code.

    Args:
        config: `name` of this life of the replica; `port`, `dsn` and `provider` (addresses);
            `diary` and `stderr` (files); `policy` (fields of `ChatPolicy` to change); `settings`
            (variables to set); `drain_seconds`; `failpoints`; `mutant` (its name, or None);
            `clock_skew_seconds`; `send_bytes` (what is kept for a client that does not read).
    """
    settings = _settings(config)
    configure_logs(level="warning", log_format="json", stream=sys.stderr)
    if config["mutant"]:
        mutants.apply(config["mutant"])
    _name_the_attempt(config["name"])
    container = _container(settings, config)
    _MAIN.AppContainer = lambda **_: container  # all else is real
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if config["send_bytes"]:  # every connection gets the listening socket's
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, config["send_bytes"])
    listener.bind(("127.0.0.1", config["port"]))
    return 0 if run_server(settings, listener, drain_seconds=config["drain_seconds"]) else 3


def _settings(config: dict[str, Any]) -> Settings:
    return Settings.from_env(
        {
            "DATABASE_URL": config["dsn"],
            "OPENAI_API_KEY": "sk-chaos",
            "OPENAI_BASE_URL": config["provider"],
            "OPENAI_MODEL": "chaos",
            **config["settings"],
        }
    )


def _container(settings: Settings, config: dict[str, Any]) -> AppContainer:
    container = AppContainer(settings=settings)
    diary = Diary(config["diary"], config["name"])
    failpoints = Failpoints(diary, [Armed(**armed) for armed in config["failpoints"]])
    policy: ChatPolicy = replace(container.policy(), **config["policy"])
    llm: OpenAILLM = container.llm()
    container.policy.override(providers.Object(policy))
    container.repository.override(
        providers.Object(WatchedRepository(container.repository(), failpoints, diary))
    )
    container.llm.override(providers.Object(WatchedModel(llm, failpoints)))
    container.clock.override(providers.Object(_WrongClock(config["clock_skew_seconds"])))
    return container


class _WrongClock(SystemClock):
    """A clock that is wrong by hours: nothing may depend on it that matters."""

    def __init__(self, skew_seconds: float) -> None:
        self._skew = timedelta(seconds=skew_seconds)

    def now(self) -> datetime:
        return super().now() + self._skew


def _name_the_attempt(name: str) -> None:
    """Have every call of the model say in a header which attempt of which turn it is for."""
    session: Any = aiohttp.ClientSession
    request = session._request

    async def named(self: Any, method: str, url: Any, **rest: Any) -> Any:
        rest["headers"] = {"X-Attempt": f"{name}:{HELD.get()}"}
        return await request(self, method, url, **rest)

    session._request = named
