"""Every module says which room it is in and what it may import, and does not lie.

May import: standard library, pytest, tests.architecture.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from tests.architecture.source_tree import (
    ROOMS,
    ROOT,
    STANDARD_LIBRARY,
    Import,
    SourceFile,
    ids_of,
    source_files,
)

# The deepest folder decides. Tests are in no room, but say what they import all the same.
HEADERS = {
    "chatcore": "Room 1, the hexagon: ",
    "chatcore/ports": "Room 2, the wall: ",
    "chatcore/testing": "Beside the hexagon: ",
    "adapters": "Room 3, the world: ",
    "app": "Room 4, the door: ",
    "migrations": "Beside room 3: ",
    "benchmarks": "Beside the rooms: ",
    "tests": "",
}
FILES = source_files(*ROOMS, "benchmarks", "tests")
HEXAGON = [file for file in source_files("chatcore") if "testing" not in file.path.parts]
READERS_OF_THE_ENVIRONMENT = ["app/settings.py"]
NAMES_OF_THE_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}

# Everything that reaches out of the process, or goes on after the import.
FORBIDDEN_WORK = """
socket.__new__ socket.bind socket.connect socket.getaddrinfo socket.gethostbyname
socket.gethostbyaddr socket.gethostname socket.sendto subprocess.Popen os.exec os.fork os.forkpty
os.posix_spawn os.system os.mkdir os.remove os.rename os.putenv shutil.rmtree
tempfile.mkdtemp tempfile.mkstemp sqlite3.connect
"""
IMPORT_ALL = """
import importlib, json, os, sys, threading

root, modules, forbidden = sys.argv[1], sys.argv[2].split(), set(sys.argv[3].split())
sys.path.insert(0, root)
importing, done = "", []

def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
    if event in forbidden or writes:
        done.append([importing, event, repr(arguments)[:200]])

def started(thread, start=threading.Thread.start):
    done.append([importing, "Thread.start", repr(thread)])
    start(thread)

sys.addaudithook(watch)
threading.Thread.start = started
for importing in modules:
    importlib.import_module(importing)
left = sorted(set(os.environ) - {"LC_CTYPE"})  # which Python itself may set
print(json.dumps({"done": done, "threads": threading.active_count(), "environment": left}))
"""
# Alembic runs it in a context of its own; imported by anybody else it has nothing to do.
NEVER_IMPORTED = {"migrations.env"}


def header_of(path: PurePosixPath) -> str:
    """Return how the docstring of this module has to begin."""
    return next(HEADERS[str(folder)] for folder in path.parents if str(folder) in HEADERS)


def is_allowed_unlisted(file: SourceFile, imported: Import) -> bool:
    """Tell whether it is a neighbour in the folder of the same technology."""
    return file.room == "adapters" and imported.is_relative and imported.is_in(_technology(file))


def faults_of(file: SourceFile) -> list[str]:
    """Return what is wrong with a module's header, one sentence each."""
    first_line = file.docstring.partition("\n")[0]
    faults = [] if first_line.startswith(header := header_of(file.path)) else [f"not {header!r}"]
    listed = file.may_import
    if listed is None:
        return [*faults, "no paragraph 'May import: a, b, c.'"]
    used = set()
    for imported in file.imports:
        if is_allowed_unlisted(file, imported):
            continue
        is_standard = imported.target.partition(".")[0] in sys.stdlib_module_names
        covers = (
            [STANDARD_LIBRARY] if is_standard else [name for name in listed if imported.is_in(name)]
        )
        if not set(covers) & set(listed):
            faults.append(f"line {imported.line} imports {imported.target}, which is not listed")
        used.update(covers)
    idle = set(listed) - used - {STANDARD_LIBRARY}
    return faults + [f"lists {name}, which is never imported" for name in sorted(idle)]


@pytest.mark.parametrize("file", FILES, ids=ids_of(FILES))
def test_header(file: SourceFile) -> None:
    """A module names its room, and lists what it imports: all of it and nothing else."""
    assert faults_of(file) == []


@pytest.mark.parametrize(
    ("path", "listed", "code", "fault"),
    [
        ("chatcore/model/x.py", "standard library", "import msgspec", "msgspec, which is not"),
        ("chatcore/x.py", "standard library", "from chatcore.errors import X", "not listed"),
        ("chatcore/x.py", "chatcore.model", "from chatcore import ChatError", "not listed"),
        ("chatcore/x.py", "standard library, chatcore.model", "import re", "never imported"),
        ("chatcore/x.py", "chatcore.errors", "import re, chatcore.errors", "imports re, which"),
        ("chatcore/x.py", "standard library", "def f():\n    import attrs", "imports attrs"),
        ("adapters/memory/x.py", "standard library", "from ..postgres import rows", "not listed"),
        ("adapters/memory/x.py", "standard library", "import adapters.memory.y", "not listed"),
        ("app/x.py", "everything it likes", "import re", "no paragraph"),
    ],
)
def test_header_that_lies(path: str, listed: str, code: str, fault: str) -> None:
    """A header that does not fit the code is found out."""
    header = header_of(PurePosixPath(path))
    text = f'"""{header}it.\n\nMay import: {listed}.\n"""\n{code}\n'
    assert fault in "; ".join(faults_of(SourceFile(PurePosixPath(path), text)))


def test_header_of_another_room() -> None:
    """A module of the wall that claims to be in the hexagon is found out."""
    text = '"""Room 1, the hexagon: it.\n\nMay import: standard library.\n"""\n'
    assert faults_of(SourceFile(PurePosixPath("chatcore/ports/x.py"), text)) == [
        "not 'Room 2, the wall: '"
    ]


def test_neighbours_need_no_mention() -> None:
    """A relative import inside one technology's folder is allowed without being listed."""
    text = '"""Room 3, the world: it.\n\nMay import:\nstandard library.\n"""\nfrom .y import Z\n'
    assert faults_of(SourceFile(PurePosixPath("adapters/memory/x.py"), text)) == []


def test_hexagon_imports_the_standard_library_only() -> None:
    """Nothing in chatcore but its contract suites needs anything that has to be installed."""
    own = sys.stdlib_module_names | {"chatcore"}
    foreign = [
        (str(file.path), imported.line, imported.target)
        for file in HEXAGON
        for imported in file.imports
        if imported.target.partition(".")[0] not in own or imported.is_in("chatcore.testing")
    ]
    assert foreign == []


def test_hexagon_works_alone(tmp_path: Path) -> None:
    """The whole of chatcore is importable where nothing else is: no packages, no other room."""
    ignored = shutil.ignore_patterns("__pycache__", "testing")
    shutil.copytree(ROOT / "chatcore", tmp_path / "chatcore", ignore=ignored)
    modules = " ".join(file.module for file in HEXAGON)
    assert _run_isolated("-S", IMPORT_ALL, str(tmp_path), modules, "")["threads"] == 1


def test_importing_does_nothing() -> None:
    """Every module imports with an empty environment, and opens, starts or writes nothing."""
    modules = [file.module for file in source_files(*ROOMS) if file.module not in NEVER_IMPORTED]
    report = _run_isolated("-B", IMPORT_ALL, str(ROOT), " ".join(modules), FORBIDDEN_WORK)
    assert report == {"done": [], "threads": 1, "environment": []}


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
        ("import threading; threading.Thread(target=print).start()", "Thread.start"),
        ("open('/dev/null', 'w').close()", "open"),
    ],
)
def test_work_at_import_is_noticed(tmp_path: Path, code: str, event: str) -> None:
    """A module that opens, starts or writes something while it is imported is found out."""
    (tmp_path / "busy.py").write_text(code, "utf-8")
    report = _run_isolated("-B", IMPORT_ALL, str(tmp_path), "busy", FORBIDDEN_WORK)
    done = report["done"]
    assert isinstance(done, list)
    assert event in [name for _, name, _ in done]


def test_one_reader_of_the_environment() -> None:
    """Only app/settings.py touches the environment."""
    readers = {
        str(file.path)
        for file in source_files(*ROOMS)
        for node in ast.walk(file.tree)
        if (isinstance(node, ast.Attribute) and node.attr in NAMES_OF_THE_ENVIRONMENT)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and _takes_it(node))
    }
    assert sorted(readers) == READERS_OF_THE_ENVIRONMENT


def test_only_the_container_names_adapters() -> None:
    """Who plays which part is decided in app/container.py; migrations are tied to PostgreSQL."""
    naming = {
        str(file.path)
        for file in source_files("chatcore", "adapters", "app")
        for imported in file.imports
        if imported.is_in("adapters") and not is_allowed_unlisted(file, imported)
    }
    assert naming <= {"app/container.py"}


def test_adapters_are_relative_to_themselves() -> None:
    """Adapters do not know their own folder's name, since the wheel installs it under another."""
    absolute = [
        (str(file.path), imported.line)
        for file in source_files("adapters")
        for imported in file.imports
        if imported.is_in("adapters") and not imported.is_relative
    ]
    assert absolute == []


def test_no_hidden_imports() -> None:
    """No room imports by a computed name, which no fence could see."""
    hidden = [
        (str(file.path), node.lineno)
        for file in source_files(*ROOMS)
        for node in ast.walk(file.tree)
        if (isinstance(node, ast.Attribute) and node.attr == "import_module")
        or (isinstance(node, ast.Name) and node.id in {"__import__", "import_module"})
    ]
    assert hidden == []


def _technology(file: SourceFile) -> str:
    return ".".join(file.path.parts[:2])


def _takes_it(node: ast.ImportFrom) -> bool:
    return any(alias.name in NAMES_OF_THE_ENVIRONMENT for alias in node.names)


def _run_isolated(option: str, script: str, *arguments: str) -> dict[str, object]:
    command = [sys.executable, "-I", option, "-c", script, *arguments]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report: dict[str, object] = json.loads(done.stdout)
    return report
