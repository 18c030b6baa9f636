"""Room 4, the door: the only place that names adapters; everything else asks for ports.

May import: standard library, adapters, app, chatcore, dependency_injector.

Plain constructors only. Nothing here is opened, and nothing is injected anywhere: `create_app` and
the commands call these providers once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dependency_injector import containers, providers

from adapters.embedded import EmbeddedPostgres, EmbeddedUnavailable, LocalModel
from adapters.openai import OpenAILLM
from adapters.postgres import (
    Database,
    PostgresChatRepository,
    SchemaOutdated,
    migrate,
    require_head,
)
from adapters.system import SystemClock, UuidV7Source
from app.http.auth import AnonymousAuthenticator
from app.http.pressure import Pressure
from app.lifecycle import StartFailed, Store
from app.settings import Settings
from app.turn_log import StructlogTurnObserver
from chatcore import ChatPolicy, ChatService

_LOCAL_HISTORY_MAX_CHARS = 8_000


class PostgresStore(Store):
    """The PostgreSQL adapter as the life cycle sees it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> None:
        """Connect once."""
        await self._database.open()

    async def check(self) -> None:
        """Find out whether it answers and is at head."""
        await require_head(self._database)

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()


class Part(Protocol):
    """Something embedded that runs beside the service."""

    def stop(self) -> None:
        """End it; a second call does nothing."""


def start_postgres(data_dir: Path) -> tuple[str, Part]:
    """Start the embedded PostgreSQL and return its URL. Blocks for seconds.

    Raises:
        StartFailed: Not on this platform, or not in this folder.
    """
    try:
        postgres = EmbeddedPostgres.start(data_dir)
    except EmbeddedUnavailable as error:
        raise StartFailed(str(error)) from error
    return postgres.url, postgres


def start_local_model() -> tuple[str, str, Part]:
    """Start the local model and return its address and name. Blocks for seconds.

    Raises:
        StartFailed: Not on this platform, or not installed.
    """
    try:
        model = LocalModel.start()
    except EmbeddedUnavailable as error:
        raise StartFailed(str(error)) from error
    return model.base_url, model.model, model


async def migrate_database(settings: Settings) -> str:
    """Bring the database that the settings name to head and return the revision.

    Raises:
        StorageUnavailable: It does not answer, or refuses.
    """
    return await migrate(_database_url(settings), schema=settings.database_schema)


def is_empty(error: Exception) -> bool:
    """Tell whether the schema was found missing, not merely at another version."""
    return isinstance(error, SchemaOutdated) and error.found is None


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise StartFailed("no database: set DATABASE_URL")
    return settings.database_url.reveal()


def _make_database(settings: Settings) -> Database:
    return Database(
        _database_url(settings),
        schema=settings.database_schema,
        pool_size=settings.database_pool_size,
        pooler=settings.database_pooler == "transaction",
    )


def _make_llm(settings: Settings) -> OpenAILLM:
    key = settings.openai_api_key
    try:
        return OpenAILLM(
            # Servers that ask for no key take any word.
            api_key="none" if key is None else key.reveal(),
            base_url=settings.openai_base_url,
            model=settings.openai_model,
            timeout_seconds=settings.llm_timeout_seconds,
        )
    except ValueError as error:
        raise StartFailed(f"OPENAI_API_KEY or OPENAI_BASE_URL cannot be used: {error}") from None


def _make_policy(settings: Settings) -> ChatPolicy:
    policy = ChatPolicy(
        system_prompt=settings.system_prompt,
        history_messages=settings.history_messages,
        history_max_chars=_history_max_chars(settings),
        max_tokens=settings.llm_max_tokens,
        # It is slow on a busy machine; see docs/adr/0006.
        whole_answers=not settings.uses_local_model,
        max_attempts=settings.llm_max_attempts,
        max_running_turns=settings.max_running_turns or None,
        deadline_seconds=settings.turn_deadline_seconds,
        message_max_chars=settings.message_max_chars,
        quote_max_chars=settings.selected_text_max_chars,
    )
    return replace(policy, idle_sweep_seconds=None) if settings.sweep == "idle-off" else policy


def _history_max_chars(settings: Settings) -> int:
    # The local model holds 8192 tokens in all, and reads about a hundred of them a second.
    limit = _LOCAL_HISTORY_MAX_CHARS if settings.uses_local_model else settings.history_max_chars
    return min(limit, settings.history_max_chars)


class AppContainer(containers.DeclarativeContainer):
    """Who plays which part. Tests override the outer ones with memory adapters."""

    settings = providers.Dependency(instance_of=Settings)

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(UuidV7Source)
    observer = providers.Singleton(StructlogTurnObserver)
    database = providers.Singleton(_make_database, settings)
    store = providers.Singleton(PostgresStore, database)
    repository = providers.Singleton(PostgresChatRepository, database)
    llm = providers.Singleton(_make_llm, settings)
    policy = providers.Singleton(_make_policy, settings)
    pressure = providers.Singleton(Pressure, settings.provided.overload_lag_seconds)
    authenticator = providers.Singleton(AnonymousAuthenticator)
    chat_service = providers.Singleton(
        ChatService,
        repository=repository,
        llm=llm,
        clock=clock,
        ids=ids,
        observer=observer,
        policy=policy,
    )
