"""Settings: what they accept, what they say otherwise, and that the documents list them all.

May import: standard library, app, chatcore, dotenv, pytest.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app import settings as settings_module
from app.settings import Settings, SettingsError, read_environment, table
from chatcore import ChatPolicy

ROOT = Path(__file__).resolve().parents[2]
ENV_EXAMPLE = ROOT / ".env.example"
REFERENCE = ROOT / "docs" / "reference" / "settings.md"


def problems(**environment: str) -> tuple[str, ...]:
    """Return what is wrong with an environment."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environment)
    return caught.value.problems


def test_nothing_set_is_enough() -> None:
    """The service starts on a bare machine: every setting has a default or may be unset."""
    found = Settings.from_env({})
    assert (found.host, found.port, found.workers) == ("127.0.0.1", 8000, 1)
    assert found.database_url is None
    assert (found.database_pooler, found.sweep) == ("none", "always")
    assert found.openai_api_key is None
    assert not found.has_own_model
    assert found.frontend_url == ("http://localhost:3000",)


def test_defaults_of_the_policy_are_the_hexagons() -> None:
    """A number is said once: the defaults are those of ChatPolicy."""
    found, policy = Settings.from_env({}), ChatPolicy()
    assert found.system_prompt == policy.system_prompt
    assert found.history_messages == policy.history_messages
    assert found.llm_max_tokens == policy.max_tokens
    assert found.llm_max_attempts == policy.max_attempts
    assert found.max_running_turns == policy.max_running_turns
    assert found.turn_deadline_seconds == policy.deadline_seconds
    assert found.message_max_chars == policy.message_max_chars
    assert found.selected_text_max_chars == policy.quote_max_chars


def test_empty_is_unset_and_unknown_is_nothing() -> None:
    """An empty or blank variable means the default; a variable nobody knows is ignored."""
    empty = {row.name: " " for row in table()}
    assert Settings.from_env(empty | {"PORTS": "x", "path": "y"}) == Settings.from_env({})


WRONG = {
    "PORT": ["x", "-1", "65536", "80.5", "1_000", "٣", "8" * 30],
    "WORKERS": ["0", "65", "two"],
    "DATABASE_URL": [
        "mysql://u@h/d",
        "postgresql://h:x/d",
        "postgresql://h/",
        "postgresql://u@,/d",
        "postgresql:///d?port=x",
        "h/d",
        "postgresql://h/d d",
    ],
    "DATABASE_POOL_SIZE": ["0", "many"],
    "DATABASE_SCHEMA": ["Chat", "1a", "a-b", 'a"b', "pg_chat", "a" * 64],
    "DATABASE_POOLER": ["session", "true", "pgbouncer"],
    "SWEEP": ["never", "5", "idle_off"],
    "DOORS": ["back", "page,back", ",", "none,page", "page openai"],
    "CHATKIT_DISCONNECT": ["wait", "true"],
    "OPENAI_API_KEY": ["with space", "ключ", "line\nbreak"],
    "OPENAI_BASE_URL": ["host/v1", "ftp://h/v1", "http://", "http://u:p@h/v1", "http://h:x/"],
    "LLM_TIMEOUT_SECONDS": ["0", "nan", "inf", "soon", "-5", "1e9"],
    "LLM_MAX_TOKENS": ["0"],
    "LLM_MAX_ATTEMPTS": ["0", "11"],
    "MAX_RUNNING_TURNS": ["-1", "many", "0.5"],
    "OVERLOAD_LAG_SECONDS": ["-0.1", "nan", "61"],
    "TURN_DEADLINE_SECONDS": ["0", "x"],
    "HISTORY_MESSAGES": ["-1", "1001"],
    "FRONTEND_URL": [
        "*",
        "https://*.a.example",
        "a.example",
        "https://a.example/page",
        "null",
        ",",
        "ftp://a",
        "https://u@a.example",
        "https://a.example:x",
        "https://a.example?x",
    ],
    "MESSAGE_MAX_CHARS": ["0"],
    "SELECTED_TEXT_MAX_CHARS": ["0"],
    "BODY_MAX_BYTES": ["1023", "1e6"],
    "AUTH_MODE": ["none", "jwt", "api-key"],
    "LOG_FORMAT": ["xml"],
    "LOG_LEVEL": ["loud"],
    "SYSTEM_PROMPT_FILE": ["/no/such/file", "."],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_a_wrong_value_is_one_clear_line(name: str, value: str) -> None:
    """The line names the variable, what is wrong and what is accepted, but not the value."""
    (line,) = problems(**{name: value})
    assert line.startswith(f"{name} ")
    assert "accepted: " in line
    assert len(line.splitlines()) == 1
    if len(value) > 8:
        assert value not in line


def test_all_wrong_settings_are_told_at_once() -> None:
    """One start is enough to learn everything that has to be corrected."""
    lines = problems(PORT="x", WORKERS="0", AUTH_MODE="jwt", HOST="ok")
    assert [line.split()[0] for line in lines] == ["PORT", "WORKERS", "AUTH_MODE"]
    assert "not available yet" in lines[2]


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("PORT", "0", "port", 0),
        ("LLM_TIMEOUT_SECONDS", "2.5", "llm_timeout_seconds", 2.5),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("AUTH_MODE", "Anonymous", "auth_mode", "anonymous"),
        ("DATABASE_POOLER", "Transaction", "database_pooler", "transaction"),
        ("SWEEP", "IDLE-OFF", "sweep", "idle-off"),
        ("DOORS", " OpenAI ,page,openai,", "doors", ("openai", "page")),
        ("DOORS", "None", "doors", ()),
        ("DATA_DIR", "~/x", "data_dir", Path.home() / "x"),
        ("OPENAI_BASE_URL", "http://[::1]:8080/v1", "openai_base_url", "http://[::1]:8080/v1"),
        (
            "FRONTEND_URL",
            "https://a.example, http://LocalHost:80/ ,https://a.example,http://[::1]:5173",
            "frontend_url",
            ("https://a.example", "http://localhost", "http://[::1]:5173"),
        ),
    ],
)
def test_values_as_people_write_them(
    name: str, value: str, attribute: str, expected: object
) -> None:
    """Case, spaces, a last slash and a default port are forgiven where nothing is lost."""
    assert getattr(Settings.from_env({name: value}), attribute) == expected


def test_secrets_do_not_show() -> None:
    """Neither repr nor str of settings nor the list for people holds a key or a password."""
    key, password = "sk-canary-key", "canary-pass"
    url = f"postgresql://user:{password}@db.example:5432/chat?sslmode=require"
    found = Settings.from_env({"OPENAI_API_KEY": key, "DATABASE_URL": url})
    shown = repr(found) + str(found) + "".join(value for _, value in found.shown())
    assert "canary" not in shown
    assert "db.example:5432/chat" in shown
    assert found.openai_api_key is not None
    assert found.openai_api_key.reveal() == key
    assert found.database_url is not None
    assert found.database_url.reveal() == url
    assert set(found.secrets()) == {key, url, password}


def test_no_secret_has_a_default() -> None:
    """What is secret has to be given."""
    secrets = [row for row in table() if row.is_secret]
    assert {row.name for row in secrets} == {"DATABASE_URL", "OPENAI_API_KEY"}
    assert all(row.default == "" for row in secrets)


def test_the_system_prompt_may_come_from_a_file(tmp_path: Path) -> None:
    """SYSTEM_PROMPT_FILE is read as UTF-8, once, and not together with SYSTEM_PROMPT."""
    file = tmp_path / "prompt.txt"
    file.write_text("  Sei höflich.\n", encoding="utf-8")
    assert Settings.from_env({"SYSTEM_PROMPT_FILE": str(file)}).system_prompt == "Sei höflich."
    assert "together" in problems(SYSTEM_PROMPT_FILE=str(file), SYSTEM_PROMPT="x")[0]
    file.write_bytes(b"\xff\xfe")
    assert "cannot be read" in problems(SYSTEM_PROMPT_FILE=str(file))[0]
    file.write_text(" \n")
    assert "is empty" in problems(SYSTEM_PROMPT_FILE=str(file))[0]


def test_the_environment_wins_over_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.env` fills in what the environment does not say; a variable set empty says something."""
    file = tmp_path / ".env"
    file.write_text('PORT=1\nHOST="h"  # comment\nLOG_LEVEL=debug\n', encoding="utf-8")
    monkeypatch.setenv("PORT", "2")
    monkeypatch.setenv("LOG_LEVEL", "")
    monkeypatch.delenv("HOST", raising=False)
    found = Settings.from_env(read_environment(file))
    assert (found.port, found.host, found.log_level) == (2, "h", "info")


def test_a_dotenv_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A `.env` in another encoding is one clear line."""
    file = tmp_path / ".env"
    file.write_bytes("HOST=h\xe4".encode("latin-1"))
    with pytest.raises(SettingsError, match="UTF-8"):
        read_environment(file)


def test_every_setting_has_one_row() -> None:
    """Names are unique, and each field has what the documents need."""
    names = [row.name for row in table()]
    assert len(set(names)) == len(names) == len(fields(Settings))
    for row in table():
        assert row.name == row.name.upper()
        assert row.help.endswith(".")


def written_in_example() -> dict[str, str]:
    """Return every setting that .env.example shows, with its value, comments taken away."""
    lines = ENV_EXAMPLE.read_text(encoding="utf-8").splitlines()
    return dict(re.findall(r"(?m)^#?([A-Z_]+)=(.*)$", "\n".join(lines)))


def test_the_example_lists_every_setting_with_its_default() -> None:
    """.env.example and the table agree, both ways, names and defaults."""
    shown = {name: value.strip('"') for name, value in written_in_example().items()}
    assert shown == {row.name: row.default for row in table()}


def test_the_example_works_as_it_is(tmp_path: Path) -> None:
    """Copied, and with every line switched on, .env.example changes nothing."""
    assert dotenv_values(ENV_EXAMPLE) == {}
    file = tmp_path / ".env"
    text = ENV_EXAMPLE.read_text(encoding="utf-8")
    file.write_text(re.sub(r"(?m)^#([A-Z_]+=)", r"\1", text), encoding="utf-8")
    values = {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}
    assert Settings.from_env(values) == Settings.from_env({})


def test_the_reference_has_every_row() -> None:
    """docs/reference/settings.md has the table, row by row, and no other row."""
    written = re.findall(r"(?m)^\| `[A-Z_]+` \|.*$", REFERENCE.read_text(encoding="utf-8"))
    expected = [
        f"| `{row.name}` | {f'`{row.default}`' if row.default else ''} | {row.unit} | {row.help} |"
        for row in table()
    ]
    assert written == expected


def test_only_settings_read_the_environment() -> None:
    """No other module of the door names os.environ or os.getenv."""
    own = Path(settings_module.__file__)
    for file in own.parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert file == own or not re.search(r"os\.environ|getenv", text), file
