"""Room 4, the door: everything that has to be true before the first request is let in.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

from app.container import (
    AppContainer,
    is_empty,
    migrate_database,
    start_local_model,
    start_postgres,
)
from app.lifecycle import Model, StartFailed, Store
from app.log_text import safe, shown_address
from app.logs import get_logger
from app.setting_types import DatabaseUrl
from app.settings import LOCAL_MODEL_KEY, Settings
from chatcore import ChatError, LLMError, LLMRejected, StorageUnavailable

_log = get_logger("start")
_DETAIL_MAX_CHARS = 200
_BACKLOG = 2048


@contextmanager
def embedded_database(settings: Settings) -> Iterator[Settings]:
    """Start the embedded PostgreSQL unless a database is given; yield settings that name one.

    Raises:
        StartFailed: It cannot start here.
    """
    if settings.database_url is not None:
        yield settings
        return
    url, postgres = start_postgres(settings.data_dir)
    try:
        yield replace(settings, database_url=DatabaseUrl(url))
    finally:
        postgres.stop()


@contextmanager
def embedded_model(settings: Settings) -> Iterator[Settings]:
    """Start the local model unless another is given; yield settings that name one.

    Raises:
        StartFailed: It cannot start here.
    """
    if settings.has_own_model:
        yield settings
        return
    address, name, model = start_local_model()
    try:
        yield replace(
            settings, openai_base_url=address, openai_model=name, openai_api_key=LOCAL_MODEL_KEY
        )
    finally:
        model.stop()


def bind(settings: Settings) -> socket.socket:
    """Take the port without listening yet, so that a taken one is found before anything starts.

    Raises:
        StartFailed: It is taken, or no address of this machine.
    """
    with ExitStack() as on_failure:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            bound = on_failure.enter_context(socket.socket(family, kind, protocol))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except (OSError, UnicodeError) as error:
            raise _cannot_listen(settings, error) from error
        on_failure.pop_all()
    bound.set_inheritable(True)
    return bound


def listen(bound: socket.socket, settings: Settings) -> None:
    """Let clients in; they wait until requests are answered.

    The server that gets the socket would not say that this failed.

    Raises:
        StartFailed: Somebody else who had bound the port as well was first.
    """
    try:
        bound.listen(_BACKLOG)
    except OSError as error:
        raise _cannot_listen(settings, error) from error


def _cannot_listen(settings: Settings, error: Exception) -> StartFailed:
    reason = getattr(error, "strerror", None) or "not an address"
    place = f"{settings.host}:{settings.port}"
    return StartFailed(f"cannot listen on {place}: {reason}; set HOST or PORT")


def tell_choices(given: Settings, used: Settings) -> None:
    """Log which database and which model are used, and how to use another."""
    if given.database_url is None:
        which = f"embedded PostgreSQL in {given.data_dir}"
        _log.info("database", which=which, to_change="set DATABASE_URL")
    else:
        _log.info("database", which=str(used.database_url), to_change="change DATABASE_URL")
    if not given.has_own_model:
        _log.info(
            "model",
            which=f"local {used.openai_model}, small and only for trying out",
            to_change="set OPENAI_API_KEY, or OPENAI_BASE_URL",
        )
    else:
        place = model_place(used)
        _log.info(
            "model",
            which=f"{used.openai_model} at {place}",
            to_change="change OPENAI_MODEL, OPENAI_BASE_URL or OPENAI_API_KEY",
        )


async def prepare(settings: Settings, *, is_ours: bool) -> None:
    """Make sure that the service can work: database there and at head, key taken.

    An empty database gets its tables. One at another version is migrated if it is the embedded one;
    somebody's own is left alone, since others may be working on it.

    Args:
        settings: Naming a database and a model.
        is_ours: Whether the database is the embedded one.

    Raises:
        StartFailed: It cannot; the message says what to do.
    """
    async with probing(settings) as store:
        try:
            await store.check()
        except StorageUnavailable as error:
            if not (is_ours or is_empty(error)):
                raise StartFailed(database_trouble(settings, error)) from error
            await migrate_to_head(settings)
    problem = await probe_model(settings)
    if isinstance(problem, LLMRejected):
        raise StartFailed(model_trouble(settings, problem))
    if problem is not None:
        _log.warning("model_not_reachable", reason=model_trouble(settings, problem))


@asynccontextmanager
async def probing(
    settings: Settings, container: AppContainer | None = None
) -> AsyncGenerator[Store, None]:
    """Connect for a look, with a container of its own: connections belong to one event loop.

    Raises:
        StartFailed: The database does not answer.
    """
    store: Store = (container or AppContainer(settings=settings)).store()
    try:
        await store.open()
    except (ChatError, ValueError) as error:
        raise StartFailed(database_trouble(settings, error)) from error
    try:
        yield store
    finally:
        await store.close()


async def probe_model(settings: Settings) -> LLMError | None:
    """Return what is wrong with the model, if anything is."""
    model: Model = AppContainer(settings=settings).llm()
    try:
        await model.check()
    except LLMError as error:
        return error
    finally:
        await model.aclose()
    return None


async def migrate_to_head(settings: Settings) -> str:
    """Bring the database to head and return the revision.

    Raises:
        StartFailed: It does not answer, or refuses.
    """
    try:
        revision = await migrate_database(settings)
    except (ChatError, ValueError) as error:
        raise StartFailed(database_trouble(settings, error)) from error
    _log.info("database_migrated", revision=revision, schema=settings.database_schema)
    return revision


def database_trouble(settings: Settings, error: Exception) -> str:
    """Return one line about a database that cannot be used."""
    if getattr(error, "code", "") == "schema_outdated":
        what_to_do = "" if getattr(error, "is_newer", False) else "; run: python -m app migrate"
        return f"the database {settings.database_url}: {error}{what_to_do}"
    return f"DATABASE_URL cannot be used: {safe(error)}"


def model_place(settings: Settings) -> str:
    """Return where the model is, as it may be shown: a query may hold a key."""
    return shown_address(settings.openai_base_url) if settings.openai_base_url else "OpenAI"


def model_trouble(settings: Settings, error: LLMError) -> str:
    """Return one line about a model that cannot be used."""
    place = model_place(settings)
    detail = safe(error.detail[:_DETAIL_MAX_CHARS])
    if isinstance(error, LLMRejected):
        return f"the model's API at {place} refuses OPENAI_API_KEY, or is no such API ({detail})"
    return f"the model's API at {place} does not answer yet: {error.code} ({detail})"
