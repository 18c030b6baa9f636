"""Projects of Node.js with the real clients in them, installed once for each list of pins.

May import: standard library, pytest, tests.

`package.json` names what is wanted, `requirements/node-*.txt` every package that comes of it, with
its hash, one a line: where it is put, version, hash. Nothing else is installed, and nothing is run.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.architecture.source_tree import ROOT
from tests.archives import unpack

PROJECTS = ROOT / "tests" / "doors" / "node"
PINS = ROOT / "requirements"
INSTALLED = ROOT / "build" / "node"
LOWEST_NODE = 20
_INSTALL_SECONDS = 300


class Pin(NamedTuple):
    """One package.

    Attributes:
        place: Folder below `node_modules`.
        version: Exact version.
        integrity: `sha512-` and the SHA-512 of its archive, in base64.
    """

    place: str
    version: str
    integrity: str

    @property
    def package(self) -> str:
        """Name and version, as npm wants them."""
        return f"{self.place.rpartition('node_modules/')[2]}@{self.version}"

    def __str__(self) -> str:
        return f"{self.place}@{self.version} --hash={self.integrity}"

    @classmethod
    def parse(cls, line: str) -> Pin:
        """Return the pin on a line."""
        named, _, integrity = line.partition(" --hash=")
        place, _, version = named.rpartition("@")
        return cls(place, version, integrity)


def file_of(name: str) -> Path:
    """Return where a project's pins are."""
    return PINS / f"node-{name}.txt"


def node() -> str:
    """Return the command that runs Node.js, or skip the test that needs it."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("the client is JavaScript: it needs node and npm, not both installed here")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < LOWEST_NODE:
        pytest.skip(f"the client needs Node.js {LOWEST_NODE} or newer; the one here is older")
    return found


def installed(name: str) -> Path:
    """Return a folder with a project and every package of its pins.

    Several runs of tests may ask for it at once; one installs it, the others wait.
    """
    digest = hashlib.sha256(file_of(name).read_bytes()).hexdigest()
    folder = INSTALLED / f"{name}-{digest[:12]}"
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(name, folder)
    return folder


def placed(name: str, script: Path) -> Path:
    """Return a copy of a script where it finds what a project has installed."""
    folder = installed(name)
    copy = folder / script.name
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as written:
        written.write(script.read_bytes())
    Path(written.name).replace(copy)
    return copy


def run_npm(*arguments: str, folder: Path) -> None:
    """Run npm in a folder."""
    npm = shutil.which("npm")
    assert npm is not None
    done = subprocess.run(
        [npm, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"npm {arguments[0]} failed:\n{done.stdout}{done.stderr}"


def _install(name: str, folder: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=INSTALLED))
    shutil.copy(PROJECTS / name / "package.json", made)
    archives = made / "archives"
    archives.mkdir()
    pins = [Pin.parse(line) for line in file_of(name).read_text("utf-8").splitlines()]
    run_npm("pack", *dict.fromkeys(pin.package for pin in pins), folder=archives)
    found = {integrity_of(archive): archive for archive in archives.iterdir()}
    for pin in pins:
        assert pin.integrity in found, f"{pin.package} is not what was pinned"
        _unpack(found[pin.integrity], made / "node_modules" / pin.place)
    shutil.rmtree(archives)
    made.replace(folder)


def integrity_of(archive: Path) -> str:
    """Return the hash of an archive as npm writes it."""
    digest = hashlib.sha512(archive.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        unpack(opened, folder, _members_of(opened))


def _members_of(opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield what is in a package, without the one folder around it all."""
    for member in opened.getmembers():
        _, _, inside = member.name.partition("/")
        if inside:
            moved = copy(member)
            moved.name = inside
            yield moved
