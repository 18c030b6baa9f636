"""Room 4, the door: the table of all settings; each is said once, here.

May import: standard library, app, chatcore.

`.env.example` and docs/reference/settings.md are checked against these rows.
"""

# ruff: noqa: RUF009  # every default is a constant made by the row's own parser
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app import setting_types as accept
from app.setting_types import DatabaseUrl, Secret
from chatcore import ChatPolicy

_POLICY = ChatPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know about one setting.

    Attributes:
        name: Name of the environment variable.
        default: What an unset variable means, as one would write it; empty for nothing.
        unit: What is counted, where something is.
        help: What it is for, in one sentence or two.
        is_secret: Whether its value must not be shown.
    """

    name: str
    parse: Callable[[str], object]
    default: str
    help: str
    unit: str
    is_secret: bool


def _setting(
    name: str,
    parse: Callable[[str], object],
    default: str,
    help_text: str,
    *,
    unit: str = "",
    is_secret: bool = False,
) -> Any:  # a dataclass field stands in for its value
    row = Setting(
        name=name, parse=parse, default=default, help=help_text, unit=unit, is_secret=is_secret
    )
    return field(default=parse(default) if default else None, metadata={"setting": row})


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The server."""

    host: str = _setting("HOST", accept.text, "127.0.0.1", "Address to listen on.")
    port: int = _setting(
        "PORT", accept.integer(0, 65535), "8000", "Port to listen on; 0 takes any free one."
    )
    workers: int = _setting(
        "WORKERS",
        accept.integer(1, 64),
        "1",
        "How many processes answer requests.",
        unit="processes",
    )
    frontend_url: tuple[str, ...] = _setting(
        "FRONTEND_URL",
        accept.origins,
        "http://localhost:3000",
        "Web origins whose pages may call the API (CORS): exact, separated by commas.",
    )
    auth_mode: str = _setting(
        "AUTH_MODE",
        accept.auth_mode,
        "anonymous",
        "How to tell who is asking. anonymous: everybody, or a visitor token of the browser's own.",
    )
    body_max_bytes: int = _setting(
        "BODY_MAX_BYTES",
        accept.integer(1024, 100_000_000),
        "262144",
        "Longest body of a request.",
        unit="bytes",
    )
    log_format: str | None = _setting(
        "LOG_FORMAT",
        accept.choice("console", "json"),
        "",
        "console or json. Unset: console on a terminal, else json.",
    )
    log_level: str = _setting(
        "LOG_LEVEL",
        accept.choice("debug", "info", "warning", "error"),
        "info",
        "Least important events to log: debug, info, warning or error.",
    )


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """The database."""

    database_url: DatabaseUrl | None = _setting(
        "DATABASE_URL",
        accept.database_url,
        "",
        "PostgreSQL to use, as postgresql://user:password@host:port/database. "
        "Unset: an embedded one in DATA_DIR.",
        is_secret=True,
    )
    database_pool_size: int = _setting(
        "DATABASE_POOL_SIZE",
        accept.integer(1, 1000),
        "5",
        "Most database connections of one process.",
        unit="connections",
    )
    database_schema: str = _setting(
        "DATABASE_SCHEMA",
        accept.schema_name,
        "chatcore",
        "PostgreSQL schema that holds the tables.",
    )
    database_pooler: str = _setting(
        "DATABASE_POOLER",
        accept.choice("none", "transaction"),
        "none",
        "What stands between us and the database. transaction: a pooler such as PgBouncer in "
        "transaction mode; nothing is then kept on a connection from one transaction to the next.",
    )
    sweep: str = _setting(
        "SWEEP",
        accept.choice("always", "idle-off"),
        "always",
        "When to look for turns that a dead process left. idle-off: not while nothing runs here, "
        "for databases that scale to zero: no statement is sent then.",
    )
    data_dir: Path = _setting(
        "DATA_DIR", accept.path, ".data", "Folder of the embedded PostgreSQL."
    )


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model."""

    openai_api_key: Secret | None = _setting(
        "OPENAI_API_KEY",
        accept.secret,
        "",
        "Key for the model's API. Neither key nor OPENAI_BASE_URL: the small local model.",
        is_secret=True,
    )
    openai_base_url: str | None = _setting(
        "OPENAI_BASE_URL",
        accept.http_url,
        "",
        "Address of any OpenAI-compatible Chat Completions API, up to and with /v1. "
        "Unset: OpenAI's own.",
    )
    openai_model: str = _setting(
        "OPENAI_MODEL",
        accept.text,
        "gpt-4o-mini",
        "Which model to ask. The local model answers under its own name.",
    )
    llm_timeout_seconds: float = _setting(
        "LLM_TIMEOUT_SECONDS",
        accept.seconds(0.1, 3600),
        "30",
        "Longest silence of the model, before its first words and between them. The first attempt "
        "of a JSON answer asks for all of it at once: then the limit for the whole.",
        unit="seconds",
    )
    llm_max_tokens: int = _setting(
        "LLM_MAX_TOKENS",
        accept.integer(1, 1_000_000),
        str(_POLICY.max_tokens),
        "Longest answer of the model.",
        unit="tokens",
    )
    llm_max_attempts: int = _setting(
        "LLM_MAX_ATTEMPTS",
        accept.integer(1, 10),
        str(_POLICY.max_attempts),
        "How often the model may be asked for one reply; 1 means never twice.",
        unit="calls",
    )


@dataclass(frozen=True, kw_only=True)
class ConversationSettings:
    """Conversations."""

    turn_deadline_seconds: float = _setting(
        "TURN_DEADLINE_SECONDS",
        accept.seconds(1, 86_400),
        f"{_POLICY.deadline_seconds:g}",
        "After this a turn is ended, whatever it is doing.",
        unit="seconds",
    )
    system_prompt: str = _setting(
        "SYSTEM_PROMPT",
        accept.text,
        _POLICY.system_prompt,
        "What the model is told first in every request.",
    )
    system_prompt_file: Path | None = _setting(
        "SYSTEM_PROMPT_FILE",
        accept.path,
        "",
        "UTF-8 file to take the system prompt from. Not together with SYSTEM_PROMPT.",
    )
    history_messages: int = _setting(
        "HISTORY_MESSAGES",
        accept.integer(0, 1000),
        str(_POLICY.history_messages),
        "Most earlier messages that go to the model with a question; whole turns only.",
        unit="messages",
    )
    history_max_chars: int = _setting(
        "HISTORY_MAX_CHARS",
        accept.integer(0, 10_000_000),
        str(_POLICY.history_max_chars),
        "Most characters of earlier messages that go along; the oldest turns stay away, whole. At "
        "most 8000 with the local model.",
        unit="code points",
    )
    message_max_chars: int = _setting(
        "MESSAGE_MAX_CHARS",
        accept.integer(1, 10_000_000),
        str(_POLICY.message_max_chars),
        "Longest question.",
        unit="code points",
    )
    selected_text_max_chars: int = _setting(
        "SELECTED_TEXT_MAX_CHARS",
        accept.integer(1, 10_000_000),
        str(_POLICY.quote_max_chars),
        "Longest selected text.",
        unit="code points",
    )
