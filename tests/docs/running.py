"""Runs what the documents show, as a reader would: elsewhere, on what is installed.

May import: standard library, tests.docs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tests.docs.markdown import PYTHON, SHELL, Block

ADDRESS = "http://127.0.0.1:8000"
PROBLEM = "urn:chatcore:problem:"
ANYTHING = "…"

_PYTEST_INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
_BETWEEN = "\x1e"
# Blank lines before each block, so that a traceback names the line of the document.
_RUN_PYTHON = """
import json as _json, sys as _sys
_sys.path[:0] = _sys.argv[2:]
for _line, _text in _json.load(_sys.stdin):
    exec(compile("\\n" * _line + _text, _sys.argv[1], "exec", dont_inherit=True))
"""


def run_python(
    name: str,
    blocks: Iterable[Block],
    path: Iterable[Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
) -> str:
    """Run the Python of one document, in order, in one namespace; return what went wrong."""
    code = json.dumps([(block.line, block.text) for block in blocks])
    arguments = [sys.executable, "-I", "-W", "error", "-c", _RUN_PYTHON, name, *map(str, path)]
    done = _run(arguments, code, folder=folder, environment=environment)
    return "" if done.returncode == 0 else done.stderr


def run_tests(block: Block, path: Iterable[Path], *, folder: Path) -> str:
    """Let pytest run the tests in a block; return what went wrong."""
    file = folder / "test_of_the_document.py"
    file.write_text(block.text, "utf-8")
    (folder / "pytest.ini").write_text(_PYTEST_INI, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, path))}
    done = _run([*command, file.name], "", folder=folder, environment=environment)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def run_shell(
    blocks: Iterable[Block], *, folder: Path, environment: Mapping[str, str]
) -> list[str]:
    """Run the shell blocks of one document in one shell, and compare; return what went wrong."""
    blocks = list(blocks)
    commands = [block for block in blocks if block.language in SHELL]
    script = "".join(f"{block.commands}\nprintf '\\036'\n" for block in commands)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.defpath))
    environment = {"PATH": path, "HOME": str(folder), **environment}
    done = _run(["bash", "-euo", "pipefail"], script, folder=folder, environment=environment)
    printed = done.stdout.split(_BETWEEN)
    if done.returncode != 0:
        at = commands[len(printed) - 1].line
        return [f"line {at}: exit code {done.returncode}\n{printed[-1]}{done.stderr}"]
    faults, answers, last = [], iter(printed), ""
    for block in blocks:
        last = next(answers) if block.language in SHELL else last
        faults += [f"line {block.line}: {fault}\n{last}" for fault in _faults_of(block, last)]
    return faults


def is_like(block: Block, printed: str) -> bool:
    """Tell whether a block shows what was printed: in shape for JSON, up to `…` for text."""
    if block.language == "json":
        try:
            return _shape(json.loads(block.text)) == _shape(json.loads(printed))
        except json.JSONDecodeError:
            return False
    parts = [re.escape(part.strip()) for part in block.text.split(ANYTHING)]
    return re.fullmatch(r"\s*" + r".*".join(parts) + r"\s*", printed, re.DOTALL) is not None


def at(address: str, block: Block) -> Block:
    """Return the block with the address of the service that runs now."""
    return replace(block, text=block.text.replace(ADDRESS, address))


def needs_service(blocks: Iterable[Block]) -> bool:
    """Tell whether any of them talks to the service."""
    return any(ADDRESS in block.text for block in blocks)


def is_python(block: Block) -> bool:
    """Tell whether it is run with the other Python of its document."""
    return block.language == PYTHON and block.is_run


def is_shell(block: Block) -> bool:
    """Tell whether it is run by a shell, or shows what one printed."""
    return (block.language in SHELL and block.is_run) or block.check == "output"


def _faults_of(block: Block, printed: str) -> Iterator[str]:
    if block.check == "output":
        if not is_like(block, printed):
            yield "what is shown is not what is printed"
    elif (PROBLEM in printed) != (block.detail == "problem"):
        yield "a problem is expected" if block.detail else "no problem is expected"


def _shape(value: object) -> object:
    """Return the keys and kinds of a value; of a list, those of its first element."""
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shape(inner) for inner in value[:1]]
    return None if value is None else type(value).__name__


def _run(
    command: list[str],
    given: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=given,
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
