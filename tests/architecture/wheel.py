"""Builds and installs the wheel, for the tests that need what importers get.

May import: standard library, tests.architecture.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.architecture.source_tree import copy_tree


def build_wheel(folder: Path) -> Path:
    """Build the wheel in a copy of the tree, below an empty folder, and return its path."""
    tree = folder / "tree"
    tree.mkdir()
    _run("hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=copy_tree(tree))
    (wheel,) = (folder / "dist").iterdir()
    return wheel


def install_wheel(wheel: Path, target: Path) -> None:
    """Put it into a folder, without what it needs and without any network."""
    options = ["--no-deps", "--no-index", "--no-cache-dir", "--disable-pip-version-check"]
    _run("pip", "--isolated", "install", *options, "--quiet", f"--target={target}", wheel)


def _run(module: str, *arguments: str | Path, cwd: Path | None = None) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
