"""`python -m app`: exit codes, and one clear line for everything that can be wrong.

May import: standard library, app, pytest, tests.http.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.cli import main
from app.logs import configure_logs
from app.settings import Settings, table
from app.startup import tell_choices
from tests.http.command import (
    KEY,
    ROOT,
    FakeModel,
    answers,
    ask,
    complaints,
    fake_model,
    run,
    serving,
)

REPLAY = "replay 0199f3a2-7c1e-7d3b-9a55-2f1c5be0a1d4"
INTERRUPT_AN_IMPORT = """
import signal, sys

# As in a terminal: whoever runs the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder:
    def find_spec(self, name, *_):
        if name == "app.checkup":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """Give the address of a fake model."""
    with fake_model() as address:
        yield address


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["serve", "now"],
        ["replay"],
        ["replay", "first"],
        [*REPLAY.split(), "--attempt", "x"],
    ],
)
def test_misuse(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command that does not exist is exit code 2 with the usage."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m app")


@pytest.mark.skipif(sys.platform == "win32", reason="no process ends by SIGINT on Windows")
def test_an_interrupt_during_the_imports(tmp_path: Path) -> None:
    """Ctrl-C while the imports run ends the process without a word."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT_AN_IMPORT)
    done = run(tmp_path, "serve", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode in {-signal.SIGINT, 130}
    assert done.stdout + done.stderr == ""


def test_help(tmp_path: Path) -> None:
    """--help names every command."""
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("serve", "migrate", "check", "openapi", "replay"):
        assert re.search(rf"^ +{command} +\w", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["serve", "migrate", REPLAY])
def test_all_wrong_settings_at_once(tmp_path: Path, command: str) -> None:
    """Wrong settings are exit code 2 and one line each, before anything is started."""
    wrong = {"PORT": "x", "AUTH_MODE": "jwt", "DATABASE_URL": "mysql://u:canary@h/d"}
    done = run(tmp_path, *command.split(), **wrong)
    assert done.returncode == 2
    assert [line.split()[1] for line in complaints(done)] == ["PORT", "AUTH_MODE", "DATABASE_URL"]
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port(tmp_path: Path) -> None:
    """A port that somebody else has is one line, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, "serve", PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1
    (line,) = complaints(done)
    assert "cannot listen on" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
def test_a_port_taken_meanwhile(
    tmp_path: Path, postgres_url: str, model_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that bound one port before either listened, the later one ends with one line."""
    with socket.socket() as rival:
        rival.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        rival.bind(("127.0.0.1", 0))
        monkeypatch.setattr(FakeModel, "rival", rival)
        done = run(
            tmp_path,
            "serve",
            PORT=str(rival.getsockname()[1]),
            DATABASE_URL=postgres_url,
            DATABASE_SCHEMA="cli_rivals",
            OPENAI_BASE_URL=model_url,
            OPENAI_API_KEY=KEY,
        )
    assert done.returncode == 1
    (line,) = complaints(done)
    assert "cannot listen on" in line
    assert '"serving"' not in done.stderr


def test_a_host_that_is_none(tmp_path: Path) -> None:
    """A name that is no address of this machine is one line."""
    done = run(tmp_path, "serve", HOST="no.such.host.invalid", PORT="0")
    assert (done.returncode, len(complaints(done))) == (1, 1)


def test_a_data_dir_that_cannot_be(tmp_path: Path) -> None:
    """A DATA_DIR that is no folder is one line that names the setting."""
    (tmp_path / "file").write_text("x")
    done = run(tmp_path, "serve", PORT="0", DATA_DIR="file/below", OPENAI_API_KEY="k")
    assert done.returncode == 1
    (line,) = complaints(done)
    assert "DATA_DIR" in line


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("serve", "postgresql://u:canary@127.0.0.1:1/d"),
        ("migrate", "postgresql://u:canary@127.0.0.1:1/d"),
        (REPLAY, "postgresql://u:canary@127.0.0.1:1/d"),
        ("serve", "postgresql://u:canary@no.such.host.invalid/d"),
        ("serve", "postgresql:///d?host=/no/such/folder"),
    ],
    ids=["refused", "refused to migrate", "refused to replay", "no such host", "no such socket"],
)
def test_a_database_that_is_not_there(tmp_path: Path, command: str, url: str) -> None:
    """A database that cannot be reached is one line that names the setting."""
    done = run(tmp_path, *command.split(), PORT="0", DATABASE_URL=url, OPENAI_API_KEY="k")
    assert done.returncode == 1
    (line,) = complaints(done)
    assert "DATABASE_URL" in line


@pytest.mark.parametrize("command", ["migrate", "check"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:12/canary@127.0.0.1:1/d?sslmode=disable",
        "postgresql://u:12/canary#x@127.0.0.1:1/d",
        "postgresql://u:canary@127.0.0.1:1/canary",
        "postgresql://u:%63anary@127.0.0.1:1/canary",
    ],
    ids=["slash", "hash", "named like it", "named like it, escaped"],
)
def test_no_part_of_a_password_is_told(
    command: str,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is printed about a database has no password in it, wherever else the same word is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert main([command]) > 0
    told = "".join(capsys.readouterr())
    assert "DATABASE_URL" in told
    assert "canary" not in told


def test_no_key_in_an_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither check nor the lines at the start show the query of the model's address."""
    address = "http://127.0.0.1:1/v1"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@127.0.0.1:1/d")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{address}?api-key=canary")
    settings = Settings.load()
    assert main(["check"]) == 1
    with closing(configure_logs(level="info", log_format="json")):
        tell_choices(settings, settings)
    told = "".join(capsys.readouterr())
    assert told.count(address) == 3  # the setting, the trouble with it, the choice
    assert "canary" not in told


@pytest.mark.postgres
def test_a_database_with_another_name(tmp_path: Path, postgres_url: str) -> None:
    """A database that does not exist on a server that does is one line that says so."""
    url = postgres_url.replace("/postgres?", "/nothing_here?")
    done = run(tmp_path, "serve", PORT="0", DATABASE_URL=url, OPENAI_API_KEY="k")
    assert done.returncode == 1
    (line,) = complaints(done)
    assert "nothing_here" in line


@pytest.mark.postgres
def test_a_key_that_is_refused(tmp_path: Path, postgres_url: str, model_url: str) -> None:
    """A refused key ends the start with one line; the key is not in it."""
    settings = {"DATABASE_URL": postgres_url, "DATABASE_SCHEMA": "cli_refused"}
    done = run(
        tmp_path, "serve", PORT="0", OPENAI_BASE_URL=model_url, OPENAI_API_KEY="canary", **settings
    )
    assert done.returncode == 1
    (line,) = complaints(done)
    assert "OPENAI_API_KEY" in line


@pytest.mark.postgres
def test_migrate_says_what_it_did(tmp_path: Path, postgres_url: str) -> None:
    """Migrate brings a database to head, twice without harm, and names the version."""
    for _ in range(2):
        done = run(tmp_path, "migrate", DATABASE_URL=postgres_url, DATABASE_SCHEMA="cli_migrated")
        assert done.returncode == 0, done.stderr
        assert re.search(r"is at version \d{4}", done.stdout)


@pytest.mark.postgres
def test_check_tells_line_by_line(tmp_path: Path, postgres_url: str, model_url: str) -> None:
    """Check prints a line for each setting, the database and the model; its code sums it up."""
    settings = {
        "DATABASE_URL": postgres_url,
        "DATABASE_SCHEMA": "cli_checked",
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": KEY,
    }
    done = run(tmp_path, "check", **settings)
    assert complaints(done) == []
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if not line.startswith("ok ")] == [
        line for line in done.stdout.splitlines() if "run: python -m app migrate" in line
    ]
    assert run(tmp_path, "migrate", **settings).returncode == 0
    done = run(tmp_path, "check", **settings)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert "ok    PORT = 8000" in lines
    assert "ok    OPENAI_API_KEY = ***" in lines
    assert len(lines) == len(table()) + 2


def test_check_names_what_fails(tmp_path: Path) -> None:
    """A database and a model that do not answer are two FAIL lines and exit code 1."""
    done = run(
        tmp_path,
        "check",
        DATABASE_URL="postgresql://u:canary@127.0.0.1:1/d",
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
    )
    assert done.returncode == 1
    assert complaints(done) == []
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 2
    done = run(tmp_path, "check", PORT="x")
    assert (done.returncode, done.stdout.count("FAIL")) == (1, 1)


def test_openapi_is_the_committed_document(tmp_path: Path) -> None:
    """Openapi prints docs/openapi.json, byte for byte, and starts nothing."""
    done = run(tmp_path, "openapi")
    assert done.returncode == 0
    assert done.stdout == (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_from_start_to_stop(
    tmp_path: Path, postgres_url: str, model_url: str, workers: str, number: signal.Signals
) -> None:
    """Serve fills an empty database, answers, stops on a signal with code 0, and keeps secrets."""
    with serving(
        tmp_path,
        DATABASE_URL=postgres_url,
        DATABASE_SCHEMA=f"cli_served_{workers}",
        OPENAI_BASE_URL=model_url,
        OPENAI_API_KEY=KEY,
        WORKERS=workers,
        LOG_LEVEL="debug",
    ) as (process, address):
        assert ask(address, "a canary")["response"] == "fine"
        process.send_signal(number)
        _, logged = process.communicate(timeout=30)
    assert process.returncode == 0, logged
    assert "canary" not in logged
    assert "Traceback" not in logged
    lines = [json.loads(line) for line in logged.splitlines()]
    events = {line["event"]: line for line in lines}
    assert events["model"]["which"] == f"gpt-4o-mini at {model_url}"
    assert "to_change" in events["database"]
    assert events["serving"]["address"] == address
    assert {"request", "turn_ended"} <= events.keys()


@pytest.mark.postgres
def test_an_unreachable_model_is_only_a_warning(tmp_path: Path, postgres_url: str) -> None:
    """The service starts while the model is away: it may come back."""
    with serving(
        tmp_path,
        DATABASE_URL=postgres_url,
        DATABASE_SCHEMA="cli_warned",
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
    ) as (process, address):
        assert answers(address)
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "model_not_reachable" in logged


@pytest.mark.postgres
@pytest.mark.local_model
def test_serve_on_a_bare_machine(open_folder: Path) -> None:
    """With next to nothing set, serve starts a database and a model of its own, and stops both."""
    folder = open_folder / "bare"
    folder.mkdir()
    with serving(folder, LLM_MAX_TOKENS="16") as (process, address):
        assert ask(address, "What is a robot?")["model"].startswith("SmolLM2")
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=40)
    assert process.returncode == 0, logged
    lines = {line["event"]: line for line in map(json.loads, logged.splitlines())}
    assert "embedded PostgreSQL" in lines["database"]["which"]
    assert "local SmolLM2" in lines["model"]["which"]
    assert list(folder.rglob("PG_VERSION"))
    assert not list(folder.rglob("postmaster.pid"))
