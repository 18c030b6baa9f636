"""The documents tell the truth: their code runs, their links lead somewhere.

May import: standard library, pytest, tests.architecture, tests.docs.
"""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.wheel import build_wheel, install_wheel
from tests.docs import markdown, running
from tests.docs.markdown import Block

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
SETTINGS = set(
    re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE)
)
JSON_BODY = re.compile(r"^content-type: application/(.*\+)?json", re.IGNORECASE | re.MULTILINE)
START_SECONDS = 90


def read(name: str) -> markdown.Document:
    """Read one of the project's documents."""
    return markdown.read((ROOT / name).read_text("utf-8"))


def with_blocks(is_wanted: Callable[[Block], bool]) -> list[str]:
    """Return the documents that have such blocks."""
    return [name for name in NAMES if any(map(is_wanted, read(name).blocks))]


@pytest.fixture(scope="session")
def import_path(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What a reader can import: the installed wheel, and the tree for what names it."""
    target = tmp_path_factory.mktemp("installed")
    install_wheel(build_wheel(tmp_path_factory.mktemp("wheel")), target)
    return [target, ROOT]


@pytest.fixture(scope="session")
def service(open_folder: Path) -> Iterator[str]:
    """Start what `make run` starts, on any free port, and return its address."""
    folder = open_folder / "documents"
    folder.mkdir()
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(folder), "PORT": "0", "LOG_FORMAT": "json"}
    # Short answers, and all the time it takes to make them on a machine that is busy with tests.
    environment |= {"LLM_MAX_TOKENS": "32", "LLM_TIMEOUT_SECONDS": "120"}
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"], cwd=folder, env=environment, stderr=written
        )
    try:
        yield wait_until_ready(process, log)
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the service answers that it is ready, and return its address."""
    for _ in range(START_SECONDS * 10):
        assert process.poll() is None, log.read_text("utf-8")
        found = re.search(r'"event": ?"serving".*"address": ?"([^"]+)"', log.read_text("utf-8"))
        if found and answers(f"{found[1]}/health/ready"):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text("utf-8"))


def answers(address: str) -> bool:
    """Tell whether this address answers with 200."""
    try:
        with urlopen(address, timeout=60) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False


@pytest.mark.parametrize("name", NAMES)
def test_every_block_says_how_it_is_checked(name: str) -> None:
    """A code block has a language, and a check that goes with it or a reason for having none."""
    assert list(read(name).faults) == []


@pytest.mark.parametrize("name", NAMES)
def test_data_can_be_read(name: str) -> None:
    """JSON, TOML, settings and HTTP bodies that are shown are well-formed."""
    faults = [
        f"line {block.line}: {fault}" for block in read(name).blocks if (fault := fault_in(block))
    ]
    assert faults == []


@pytest.mark.parametrize("name", with_blocks(running.is_python))
@pytest.mark.timeout(300)
def test_python_runs(
    name: str, import_path: list[Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The Python of a document runs from its first block to its last, with warnings as errors."""
    blocks = [block for block in read(name).blocks if running.is_python(block)]
    blocks = with_service(blocks, request)
    environment = environment_for(blocks, request)
    failure = running.run_python(
        name, blocks, import_path, folder=tmp_path, environment=environment
    )
    assert failure == ""


@pytest.mark.timeout(300)
def test_tests_pass(import_path: list[Path], tmp_path: Path) -> None:
    """Tests that a document shows are found by pytest and pass."""
    tests = [
        (name, block) for name in NAMES for block in read(name).blocks if block.check == "test"
    ]
    for number, (name, block) in enumerate(tests):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert running.run_tests(block, import_path, folder=folder) == "", (name, block.line)


@pytest.mark.postgres
@pytest.mark.local_model
@pytest.mark.parametrize("name", with_blocks(running.is_shell))
@pytest.mark.timeout(300)
def test_shell_runs(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The commands of a document work on what `make run` starts, and print what is shown."""
    if shutil.which("curl") is None:
        pytest.skip("the commands of the documents call curl, which is not installed here")
    blocks = [block for block in read(name).blocks if running.is_shell(block)]
    blocks = with_service(blocks, request)
    environment = environment_for(blocks, request)
    assert running.run_shell(blocks, folder=tmp_path, environment=environment) == []


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name: str) -> None:
    """Every link to another file leads to a file that exists, at a heading that exists."""
    assert dead_links(ROOT / name, read(name)) == []


def fault_in(block: Block) -> str:
    """Return why data that is shown cannot be read, or nothing."""
    if block.check == "skip":
        return ""
    try:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "http":
            head, _, body = block.text.partition("\n\n")
            if JSON_BODY.search(head) and body:
                json.loads(body)
        elif block.language in {"ini", "dotenv"}:
            return unknown_settings(block.text)
    except ValueError as error:
        return str(error)
    return ""


def unknown_settings(text: str) -> str:
    """Return which names in a file of settings are none."""
    parser = configparser.RawConfigParser(delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(f"[settings]\n{text}")
    except configparser.Error as error:
        return str(error)
    return ", ".join(sorted(set(parser["settings"]) - SETTINGS))


def with_service(blocks: list[Block], request: pytest.FixtureRequest) -> list[Block]:
    """Return the blocks with the service's address in them, if they use it."""
    if not running.needs_service(blocks):
        return blocks
    address = request.getfixturevalue("service")
    return [running.at(address, block) for block in blocks]


def environment_for(blocks: list[Block], request: pytest.FixtureRequest) -> dict[str, str]:
    """Return a `DATABASE_URL` that works, for blocks that read it, and the tree for `app`."""
    environment = {"PYTHONPATH": str(ROOT)}
    if any("DATABASE_URL" in block.text for block in blocks):
        environment["DATABASE_URL"] = request.getfixturevalue("postgres_url")
    return environment


def dead_links(path: Path, document: markdown.Document) -> list[str]:
    """Return the links that lead nowhere; addresses on other hosts are taken as given."""
    dead = []
    for link in document.links:
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        is_inside = not place.startswith("/") and target.is_relative_to(ROOT)
        if place and not (is_inside and target.exists()):
            dead.append(link)
        elif anchor and target.suffix == ".md":
            there = markdown.read(target.read_text("utf-8")) if place else document
            dead += [] if anchor in there.anchors else [link]
    return dead
