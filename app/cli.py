"""Room 4, the door: the commands of `python -m app`.

May import: standard library, app, chatcore.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any
from uuid import UUID

from app.checkup import check
from app.container import AppContainer
from app.lifecycle import DRAIN_SECONDS, StartFailed
from app.log_text import masked
from app.logs import Logs, configure_logs, get_logger
from app.main import create_app
from app.replay import replayed, show
from app.server import run_server
from app.setting_types import DatabaseUrl
from app.settings import Settings, SettingsError
from app.startup import (
    bind,
    embedded_database,
    embedded_model,
    listen,
    migrate_to_head,
    prepare,
    tell_choices,
)
from chatcore import TurnId

_FAILED = 1
_MISUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, 1 for a failure, 2 for wrong settings or use."""
    options = vars(_parser().parse_args(arguments))
    command: Callable[..., int] = options.pop("command")
    try:
        return command(**options)
    except SettingsError as error:
        for problem in error.problems:
            _complain(problem)
        return _MISUSED
    except StartFailed as error:
        _complain(str(error))
        return _FAILED
    except KeyboardInterrupt:
        return 130


def serve(*, drain_seconds: float = DRAIN_SECONDS) -> int:
    """Answer requests until SIGTERM or SIGINT, and then let running turns go on for a while."""
    settings = Settings.load()
    with _masking(settings), closing(_logs(settings)), closing(bind(settings)) as listener:
        _end_on_signals()
        with embedded_database(settings) as stored, embedded_model(stored) as used:
            tell_choices(settings, used)
            asyncio.run(prepare(used, is_ours=settings.database_url is None))
            listen(listener, settings)
            host, port = listener.getsockname()[:2]
            where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            get_logger("start").info("serving", address=where, api=f"{where}/schema")
            return 0 if run_server(used, listener, drain_seconds=drain_seconds) else _FAILED


def migrate() -> int:
    """Bring the database to the version this code needs."""
    settings = Settings.load()
    with _masking(settings), closing(_logs(settings)), embedded_database(settings) as used:
        revision = asyncio.run(migrate_to_head(used))
    place = masked(str(settings.database_url or "the embedded database"), settings.secrets())
    print(f"{place} is at version {revision}")  # noqa: T201
    return 0


def openapi() -> int:
    """Print the OpenAPI document."""
    url = DatabaseUrl("postgresql://nowhere/nothing")
    app = create_app(AppContainer(settings=Settings(database_url=url)))
    document = app.openapi_schema.to_schema()
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return 0


def replay(*, turn_id: UUID, attempt: int | None) -> int:
    """Print the exact requests of one turn; 1 if one is not what its recorded digest says."""
    settings = Settings.load()
    with _masking(settings), closing(_logs(settings)), embedded_database(settings) as used:
        is_well = show(asyncio.run(replayed(used, TurnId(turn_id))), only=attempt)
    return 0 if is_well else _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="A chat backend: conversations, turns and replies on PostgreSQL.",
        epilog="Settings come from the environment, and from .env in this folder; "
        "docs/reference/settings.md lists them.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, command, text in (
        ("serve", serve, "answer requests until SIGTERM or SIGINT"),
        ("migrate", migrate, "bring the database to the version this code needs"),
        ("check", check, "validate the settings, the database and the model"),
        ("openapi", openapi, "print the OpenAPI document"),
    ):
        commands.add_parser(name, help=text, description=text.capitalize() + ".").set_defaults(
            command=command
        )
    _add_replay(commands)
    return parser


def _add_replay(commands: Any) -> None:  # argparse gives the type no public name
    text = "print the exact requests that a turn sent to the model"
    parser = commands.add_parser("replay", help=text, description=text.capitalize() + ".")
    parser.add_argument("turn_id", type=UUID, metavar="TURN_ID", help="the turn's id")
    parser.add_argument(
        "--attempt", type=int, metavar="N", help="only the bytes of this attempt's request"
    )
    parser.set_defaults(command=replay)


def _logs(settings: Settings) -> Logs:
    return configure_logs(
        level=settings.log_level, log_format=settings.log_format, secrets=settings.secrets()
    )


@contextmanager
def _masking(settings: Settings) -> Iterator[None]:
    """Let no failure's text leave with a secret in it."""
    try:
        yield
    except StartFailed as error:
        raise StartFailed(masked(str(error), settings.secrets())) from error


def _complain(text: str) -> None:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)  # noqa: T201


def _end_on_signals() -> None:
    """Let the first SIGTERM or SIGINT unwind what was started; further ones must not disturb it."""

    def end(_: int, __: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
