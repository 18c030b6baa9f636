"""Room 4, the door: the table of all settings; each is said once, here.

May import: standard library, app, chatcore.

`.env.example` and docs/reference/settings.md are checked against these rows.
"""

# ruff: noqa: RUF009  # every default is a constant made by the row's own parser
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app import setting_types as accept
from app.setting_row import setting
from app.setting_types import DatabaseUrl, Secret
from chatcore import ChatPolicy

_POLICY = ChatPolicy()
DOORS = ("page", "ai-sdk", "openai", "chatkit")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The server."""

    host: str = setting("HOST", accept.text, "127.0.0.1", "Address to listen on.")
    port: int = setting(
        "PORT", accept.integer(0, 65535), "8000", "Port to listen on; 0 takes any free one."
    )
    workers: int = setting(
        "WORKERS",
        accept.integer(1, 64),
        "1",
        "How many processes answer requests.",
        unit="processes",
    )
    frontend_url: tuple[str, ...] = setting(
        "FRONTEND_URL",
        accept.origins,
        "http://localhost:3000",
        "Web origins whose pages may call the API (CORS): exact, separated by commas.",
    )
    auth_mode: str = setting(
        "AUTH_MODE",
        accept.auth_mode,
        "anonymous",
        "How to tell who is asking. anonymous: everybody, or a visitor token of the browser's own.",
    )
    body_max_bytes: int = setting(
        "BODY_MAX_BYTES",
        accept.integer(1024, 100_000_000),
        "262144",
        "Longest body of a request.",
        unit="bytes",
    )
    doors: tuple[str, ...] = setting(
        "DOORS",
        accept.several(DOORS, none="none"),
        ",".join(DOORS),
        "What to serve besides our own API, separated by commas: the chat page and its widget, and "
        "the protocols of the AI SDK, of OpenAI and of ChatKit. none: nothing of it.",
    )
    chatkit_disconnect: str = setting(
        "CHATKIT_DISCONNECT",
        accept.choice("stop", "continue"),
        "stop",
        "What it means that a ChatKit page leaves while it is answered, which is all its stop "
        "button does. stop: the answer ends after a grace and keeps what there is. continue: "
        "nothing.",
    )
    overload_lag_seconds: float = setting(
        "OVERLOAD_LAG_SECONDS",
        accept.seconds(0, 60),
        "0.25",
        "How late one process may be with what it has to do before it refuses a part of the new "
        "questions; at twice that it refuses all. 0: never.",
        unit="seconds",
    )
    log_format: str | None = setting(
        "LOG_FORMAT",
        accept.choice("console", "json"),
        "",
        "console or json. Unset: console on a terminal, else json.",
    )
    log_level: str = setting(
        "LOG_LEVEL",
        accept.choice("debug", "info", "warning", "error"),
        "info",
        "Least important events to log: debug, info, warning or error.",
    )


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """The database."""

    database_url: DatabaseUrl | None = setting(
        "DATABASE_URL",
        accept.database_url,
        "",
        "PostgreSQL to use, as postgresql://user:password@host:port/database. "
        "Unset: an embedded one in DATA_DIR.",
        is_secret=True,
    )
    database_pool_size: int = setting(
        "DATABASE_POOL_SIZE",
        accept.integer(1, 1000),
        "5",
        "Most database connections of one process.",
        unit="connections",
    )
    database_schema: str = setting(
        "DATABASE_SCHEMA",
        accept.schema_name,
        "chatcore",
        "PostgreSQL schema that holds the tables.",
    )
    database_pooler: str = setting(
        "DATABASE_POOLER",
        accept.choice("none", "transaction"),
        "none",
        "What stands between us and the database. transaction: a pooler such as PgBouncer in "
        "transaction mode; nothing is then kept on a connection from one transaction to the next.",
    )
    sweep: str = setting(
        "SWEEP",
        accept.choice("always", "idle-off"),
        "always",
        "When to look for turns that a dead process left. idle-off: not while nothing runs here, "
        "for databases that scale to zero: no statement is sent then.",
    )
    data_dir: Path = setting("DATA_DIR", accept.path, ".data", "Folder of the embedded PostgreSQL.")


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model."""

    openai_api_key: Secret | None = setting(
        "OPENAI_API_KEY",
        accept.secret,
        "",
        "Key for the model's API. Neither key nor OPENAI_BASE_URL: the small local model.",
        is_secret=True,
    )
    openai_base_url: str | None = setting(
        "OPENAI_BASE_URL",
        accept.http_url,
        "",
        "Address of any OpenAI-compatible Chat Completions API, up to and with /v1. "
        "Unset: OpenAI's own.",
    )
    openai_model: str = setting(
        "OPENAI_MODEL",
        accept.text,
        "gpt-4o-mini",
        "Which model to ask. The local model answers under its own name.",
    )
    llm_timeout_seconds: float = setting(
        "LLM_TIMEOUT_SECONDS",
        accept.seconds(0.1, 3600),
        "30",
        "Longest silence of the model, before its first words and between them. The first attempt "
        "of a JSON answer asks for all of it at once: then the limit for the whole.",
        unit="seconds",
    )
    llm_max_tokens: int = setting(
        "LLM_MAX_TOKENS",
        accept.integer(1, 1_000_000),
        str(_POLICY.max_tokens),
        "Longest answer of the model.",
        unit="tokens",
    )
    llm_max_attempts: int = setting(
        "LLM_MAX_ATTEMPTS",
        accept.integer(1, 10),
        str(_POLICY.max_attempts),
        "How often the model may be asked for one reply; 1 means never twice.",
        unit="calls",
    )


@dataclass(frozen=True, kw_only=True)
class ConversationSettings:
    """Conversations."""

    max_running_turns: int = setting(
        "MAX_RUNNING_TURNS",
        accept.integer(0, 1_000_000),
        str(_POLICY.max_running_turns),
        "Most replies that one process writes at a time; more questions are refused. 0: no limit.",
        unit="replies",
    )
    turn_deadline_seconds: float = setting(
        "TURN_DEADLINE_SECONDS",
        accept.seconds(1, 86_400),
        f"{_POLICY.deadline_seconds:g}",
        "After this a turn is ended, whatever it is doing.",
        unit="seconds",
    )
    system_prompt: str = setting(
        "SYSTEM_PROMPT",
        accept.text,
        _POLICY.system_prompt,
        "What the model is told first in every request.",
    )
    system_prompt_file: Path | None = setting(
        "SYSTEM_PROMPT_FILE",
        accept.path,
        "",
        "UTF-8 file to take the system prompt from. Not together with SYSTEM_PROMPT.",
    )
    history_messages: int = setting(
        "HISTORY_MESSAGES",
        accept.integer(0, 1000),
        str(_POLICY.history_messages),
        "Most earlier messages that go to the model with a question; whole turns only.",
        unit="messages",
    )
    history_max_chars: int = setting(
        "HISTORY_MAX_CHARS",
        accept.integer(0, 10_000_000),
        str(_POLICY.history_max_chars),
        "Most characters of earlier messages that go along; the oldest turns stay away, whole. At "
        "most 8000 with the local model.",
        unit="code points",
    )
    message_max_chars: int = setting(
        "MESSAGE_MAX_CHARS",
        accept.integer(1, 10_000_000),
        str(_POLICY.message_max_chars),
        "Longest question.",
        unit="code points",
    )
    selected_text_max_chars: int = setting(
        "SELECTED_TEXT_MAX_CHARS",
        accept.integer(1, 10_000_000),
        str(_POLICY.quote_max_chars),
        "Longest selected text.",
        unit="code points",
    )
