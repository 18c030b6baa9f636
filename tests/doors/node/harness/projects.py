"""Projects of Node.js with the real clients in them, installed once for each lock file.

May import: standard library, pytest, tests.architecture.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

PROJECTS = ROOT / "tests" / "doors" / "node"
INSTALLED = ROOT / "build" / "node"
LOWEST_NODE = 20
_INSTALL_SECONDS = 300


def node() -> str:
    """Return the command that runs Node.js, or skip the test that needs it."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on this machine")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < LOWEST_NODE:
        pytest.skip(f"node is older than {LOWEST_NODE} on this machine")
    return found


def installed(name: str) -> Path:
    """Return a folder with a project and everything its lock file names.

    Several runs of tests may ask for it at once; one installs it, the others wait.
    """
    project = PROJECTS / name
    digest = hashlib.sha256((project / "package-lock.json").read_bytes()).hexdigest()
    folder = INSTALLED / f"{name}-{digest[:12]}"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(project, folder)
    return folder


def placed(name: str, script: Path) -> Path:
    """Return a copy of a script where it finds what a project has installed."""
    folder = installed(name)
    copy = folder / script.name
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as written:
        written.write(script.read_bytes())
    Path(written.name).replace(copy)
    return copy


def _install(project: Path, folder: Path) -> None:
    npm = shutil.which("npm")
    assert npm is not None
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=INSTALLED))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(project / name, made)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=made, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
    )
    assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
    made.replace(folder)
