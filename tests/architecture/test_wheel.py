"""The wheel holds what importers need and nothing else, and a stranger's service runs on it.

May import: standard library, pytest, tests.architecture.
"""

from __future__ import annotations

import re
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.wheel import build_wheel, install_wheel

# A service that knows the installed package alone. What it needs besides comes as arguments.
STRANGER = """
import asyncio, sys

installed, url, schema = sys.argv[1:]
sys.path.insert(0, installed)

import chatcore
from chatcore import ChatService, OwnerId, Role
from chatcore.adapters.memory import InMemoryChatRepository, RecordingTurnObserver, ScriptedLLM
from chatcore.adapters.system import SystemClock, UuidV7Source

assert chatcore.__file__.startswith(installed), chatcore.__file__
for absent in ("adapters", "app", "migrations", "tests"):
    try:
        __import__(absent)
    except ImportError:
        continue
    raise AssertionError(f"the tree is visible: {absent}")

async def talk(repository):
    service = ChatService(
        repository=repository,
        llm=ScriptedLLM(["Torque turns things."]),
        clock=SystemClock(),
        ids=UuidV7Source(),
        observer=RecordingTurnObserver(),
    )
    me = OwnerId("stranger")
    answer = await service.send(me, "What is torque?")
    page = await service.messages(me, answer.turn.session_id)
    assert [message.role for message in page.items] == [Role.USER, Role.ASSISTANT]
    await service.close(timeout_seconds=5)
    return answer.text

async def on_postgresql():
    from chatcore.adapters.postgres import Database, PostgresChatRepository, migrate, require_head
    await migrate(url, schema=schema)
    database = Database(url, schema=schema, pool_size=2)
    await database.open()
    try:
        await require_head(database)
        return await talk(PostgresChatRepository(database))
    finally:
        await database.close()

print(asyncio.run(on_postgresql() if url else talk(InMemoryChatRepository())))
"""

# An author's own tests, of an adapter that loses the last piece before a failure.
FORGETFUL = """
import pytest

from chatcore.adapters.memory import ScriptedLLM
from chatcore.adapters.memory.llm import ScriptedAnswer
from chatcore.testing.llm_contract import LLMContract, LLMRig

class Rig(LLMRig):
    def __init__(self):
        self.llm = self.impatient_llm = ScriptedLLM()

    def script(self, *answers):
        for answer in answers:
            self.llm.script(ScriptedAnswer((*answer.pieces[:-1], answer.failure("broken"))))

    def received(self):
        return ()

    def open_calls(self):
        return self.llm.running

class TestForgetful(LLMContract):
    @pytest.fixture
    def rig(self):
        return Rig()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once, from a copy of the tree."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, and it alone, into a folder of its own."""
    target = tmp_path_factory.mktemp("installed")
    install_wheel(wheel, target)
    return target


def test_wheel_holds_the_package(wheel: Path) -> None:
    """Every source of the hexagon, the adapters and the migrations is in it, at chatcore's name."""
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {f"chatcore/{name}" for name in ("py.typed", "migrations/script.py.mako")}
    for folder, place in (
        ("chatcore", "chatcore"),
        ("adapters", "chatcore/adapters"),
        ("migrations", "chatcore/migrations"),
    ):
        sources = (ROOT / folder).rglob("*.py")
        expected |= {f"{place}/{file.relative_to(ROOT / folder).as_posix()}" for file in sources}
    assert names == expected
    assert {"chatcore/migrations/env.py", "chatcore/adapters/__init__.py"} <= names
    assert any(re.fullmatch(r"chatcore/migrations/versions/0001_\w+\.py", name) for name in names)


def test_wheel_is_described(wheel: Path) -> None:
    """Its metadata asks for nothing to be installed, names the extras, and carries the licence."""
    with ZipFile(wheel) as archive:
        folder = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(folder).decode())
        licence = folder.replace("METADATA", "licenses/LICENSE")
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert metadata["Name"] == "chatcore"
    assert metadata["License-Expression"] == "MIT"
    needed = metadata.get_all("Requires-Dist") or []
    assert [line for line in needed if "extra ==" not in line] == []
    extras = {"postgres", "openai", "embedded", "testing"}
    assert set(metadata.get_all("Provides-Extra") or []) == extras


def test_foreign_service_in_memory(installed: Path) -> None:
    """A service elsewhere, with the wheel alone, asks a question and gets its stored answer."""
    assert run_stranger(installed) == "Torque turns things.\n"


@pytest.mark.postgres
def test_foreign_service_on_postgresql(
    installed: Path, postgres_url: str, empty_schema: str
) -> None:
    """The same service migrates an empty schema with what travels in the wheel, and works on it."""
    assert run_stranger(installed, postgres_url, empty_schema) == "Torque turns things.\n"


def test_contract_suites_travel(installed: Path) -> None:
    """The suites for authors of adapters are importable from the wheel."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from chatcore.testing.chat_repository_contract import ChatRepositoryContract; "
        "from chatcore.testing.chat_repository_machine import ChatRepositoryMachine; "
        "from chatcore.testing.llm_contract import LLMContract"
    )
    run_isolated(installed, script, str(installed))


def test_a_broken_promise_is_shown(installed: Path, tmp_path: Path) -> None:
    """An author whose adapter fails sees the values, though the suite is not a file of theirs."""
    (tmp_path / "test_forgetful.py").write_text(FORGETFUL)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pytest; "
        "chosen = ['-k', 'stream_fails_by_name and after and Rejected', sys.argv[2]]; "
        "print('status', int(pytest.main(['-p', 'no:cacheprovider', *chosen])))"
    )
    printed = run_isolated(installed, script, str(installed), str(tmp_path))
    assert "status 1" in printed
    assert "AssertionError: assert 'some ' == 'some text'" in printed


def run_stranger(installed: Path, url: str = "", schema: str = "") -> str:
    """Run the foreign service in a process that cannot see the tree, and return what it prints."""
    return run_isolated(installed, STRANGER, str(installed), url, schema)


def run_isolated(folder: Path, script: str, *arguments: str) -> str:
    """Run a script where only installed packages are visible, with warnings as errors."""
    command = [sys.executable, "-I", "-W", "error", "-c", script, *arguments]
    done = subprocess.run(
        command, cwd=folder.parent, env={}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
