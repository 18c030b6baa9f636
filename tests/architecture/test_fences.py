"""The fences between the rooms hold, and each of them rings for a violation planted on purpose.

May import: standard library, pytest, tests.architecture.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, copy_tree

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONTRACTS = [contract["name"] for contract in CONFIG["tool"]["importlinter"]["contracts"]]

# For each contract: what is planted where, to break this one and no other.
PLANTED = [
    (
        "The door knows the world, the world knows the hexagon, never the other way",
        "chatcore/chat_service.py",
        "import app.settings",
    ),
    (
        "The door knows the world, the world knows the hexagon, never the other way",
        "adapters/system/clock.py",
        "from app import settings",
    ),
    (
        "Inside the hexagon the order is one-way",
        "chatcore/model/session.py",
        "from chatcore.ports.clock import Clock",
    ),
    (
        "Inside the hexagon the order is one-way",
        "chatcore/ports/clock.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import chatcore.chat_service",
    ),
    (
        "Inside the hexagon the order is one-way",
        "chatcore/chat_service.py",
        "def planted() -> None:\n    from chatcore.testing import builders",
    ),
    ("Inside the hexagon the order is one-way", "chatcore/a_module_of_no_layer.py", ""),
    (
        "Technologies do not know each other",
        "adapters/memory/clock.py",
        "from ..system.clock import SystemClock",
    ),
    (
        "Only the container names adapters",
        "app/main.py",
        "from adapters.memory import ScriptedLLM",
    ),
]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the tree in this folder."""
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", script, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def plant(folder: Path, path: str, code: str) -> None:
    """Append code to one file of the tree in this folder."""
    target = folder / path
    text = target.read_text("utf-8") if target.exists() else ""
    target.write_text(f"{text}\n\n{code}\n", "utf-8")


def test_fences_hold() -> None:
    """The tree keeps every contract."""
    report = lint_imports(ROOT)
    assert report.returncode == 0, report.stdout + report.stderr
    assert report.stdout.count(" KEPT") == len(CONTRACTS)


def test_every_fence_is_tried() -> None:
    """No contract is without a planted violation."""
    assert {name for name, _, _ in PLANTED} == set(CONTRACTS)


@pytest.mark.parametrize(("name", "path", "code"), PLANTED)
def test_fence_rings(tmp_path: Path, name: str, path: str, code: str) -> None:
    """A planted violation breaks the contract that it is about, by name, and no other."""
    plant(copy_tree(tmp_path), path, code)
    report = lint_imports(tmp_path)
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"{name} BROKEN" in report.stdout
    assert report.stdout.count(" KEPT") == len(CONTRACTS) - 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("adapters/postgres/connection.py", "import os\n\nprint(os.environ)"),
        ("chatcore/chat_service.py", "from os import environ"),
        ("app/main.py", 'import os\n\nDEBUG = os.getenv("DEBUG")'),
        ("migrations/env.py", "from os import getenv as innocent"),
    ],
)
def test_ban_on_the_environment_rings(tmp_path: Path, path: str, code: str) -> None:
    """A planted look at the environment is refused by ruff, with the reason."""
    plant(copy_tree(tmp_path), path, code)
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", path]
    report = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert report.returncode == 1, report.stderr
    assert "TID251" in report.stdout
    assert "app/settings.py is the only reader of the environment" in report.stdout
