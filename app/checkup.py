"""Room 4, the door: `python -m app check`, a look at everything that could be set wrongly.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from app.lifecycle import StartFailed
from app.log_text import masked, safe, shown_address
from app.logs import configure_logs
from app.settings import Settings, SettingsError
from app.startup import (
    database_trouble,
    embedded_database,
    embedded_model,
    model_place,
    model_trouble,
    probe_model,
    probing,
)
from chatcore import StorageUnavailable


def check() -> int:
    """Print one line for every setting, the database and the model; return 0 if all are well."""
    try:
        settings = Settings.load()
    except SettingsError as error:
        for problem in error.problems:
            _say("FAIL", problem)
        return 1
    secrets = settings.secrets()
    configure_logs(level="error", log_format=settings.log_format, secrets=secrets)
    for setting, value in settings.shown():
        # Its query may hold a key.
        shown = shown_address(value) if value and setting.name == "OPENAI_BASE_URL" else value
        text = f"{setting.name} = {shown}" if shown else f"{setting.name} is not set"
        _say("ok", masked(text, secrets))
    return int(not all([_passes(_database, settings), _passes(_model, settings)]))


def _passes(look: Callable[[Settings], str], settings: Settings) -> bool:
    try:
        _say("ok", masked(look(settings), settings.secrets()))
    except StartFailed as error:
        _say("FAIL", masked(str(error), settings.secrets()))
        return False
    return True


def _database(settings: Settings) -> str:
    is_ours = settings.database_url is None
    with embedded_database(settings) as used:
        asyncio.run(_look_at_database(used, is_ours=is_ours))
    which = f"embedded in {settings.data_dir}" if is_ours else str(settings.database_url)
    return f"database {which}: reachable" + ("" if is_ours else " and at head")


async def _look_at_database(settings: Settings, *, is_ours: bool) -> None:
    async with probing(settings) as store:
        try:
            await store.check()
        except StorageUnavailable as error:
            # serve brings the embedded one to head by itself.
            if not (is_ours and error.code == "schema_outdated"):
                raise StartFailed(database_trouble(settings, error)) from error


def _model(settings: Settings) -> str:
    with embedded_model(settings) as used:
        problem = asyncio.run(probe_model(used))
        if problem is not None:
            raise StartFailed(model_trouble(used, problem))
    place = model_place(settings)
    which = f"{used.openai_model} at {place}" if settings.has_own_model else used.openai_model
    return f"model {which}: reachable"


def _say(verdict: str, text: str) -> None:
    sys.stdout.write(f"{verdict:<5} {safe(text)}\n")
