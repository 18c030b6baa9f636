"""What is in the repository may be published, and the files beside the code agree with each other.

May import: standard library, pytest, tests.architecture, tests.docs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.docs import markdown

# Written in pieces, so that this file does not hold what it forbids.
REGISTRIES = [
    ("pypi", "org"),
    ("files", "pythonhosted", "org"),
    ("huggingface", "co"),
    ("hf", "co"),
    ("registry", "npmjs", "org"),
    ("registry", "yarnpkg", "com"),
    ("anaconda", "org"),
    ("crates", "io"),
    ("proxy", "golang", "org"),
    ("docker", "io"),
    ("ghcr", "io"),
    ("quay", "io"),
    ("download", "pytorch", "org"),
    ("jsdelivr", "net"),
    ("unpkg", "com"),
    ("releases", "download"),
]
KEYS = [
    r"\bsk-[A-Za-z0-9_-]{24,}",
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{30,}",
    r"\bgithub_pat_\w{30,}",
    r"\bhf_[A-Za-z0-9]{30,}",
    r"\bxox[abprs]-[A-Za-z0-9-]{20,}",
    r"\bAIza[0-9A-Za-z_-]{30,}",
    r"\bnpg_[A-Za-z0-9]{10,}",
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
]
FORBIDDEN = {
    "registry host": "|".join(rf"\b{'[./]'.join(parts)}\b" for parts in REGISTRIES),
    "download address": r"https?://[^\s\"'<>)]+\.(whl|tar\.gz|tgz|zip|gguf|safetensors|deb|exe|sh)\b",
    "machine path": r"(?<![\w.~}])/(work|root|home/\w+|Users/\w+|mnt/\w+)\b/?|\b[A-Z]:\\\\?Users\b",
    "key": "|".join(KEYS),
}
LOCK_FILES = {
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
}
NODE_PROJECTS = sorted((ROOT / "tests" / "doors" / "node").glob("*/package.json"))
NODE_PIN = re.compile(r"[@a-z][@\w./-]*@\d[\w.+-]* --hash=sha512-[A-Za-z0-9+/]{86}==")
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.in"))
REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)(\[[\w,-]+\])?==[\w.!+]+"
    r"( ; [^;\\]+)?( --hash=sha256:[0-9a-f]{64})+"
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def repository_files() -> list[Path]:
    """Return every file that is in the repository, or would be after `git add`."""
    git = shutil.which("git")
    if git is not None and (ROOT / ".git").exists():
        command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            found = (ROOT / name for name in listed.stdout.split("\0") if name)
            return [path for path in found if path.is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not is_made(path)]


def is_made(path: Path) -> bool:
    """Tell whether .gitignore names the file or a folder it is in, where git cannot be asked."""
    patterns = (ROOT / ".gitignore").read_text("utf-8").split()
    parts = path.relative_to(ROOT).parts
    return parts[0] == ".git" or any(
        Path(part).match(pattern.rstrip("/")) for part in parts for pattern in patterns
    )


def findings(text: str) -> list[str]:
    """Return what must not be published in a text: its kind and its line."""
    return [
        f"line {number}: {kind}: {found[0]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for kind, pattern in FORBIDDEN.items()
        if (found := re.search(pattern, line))
    ]


def logical_lines(text: str) -> list[str]:
    """Return the lines of a requirements file: joined where they go on, without comments."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line]


def pinned(file: Path) -> set[str]:
    """Return the names of what a requirements file pins."""
    found = (REQUIREMENT.fullmatch(line) for line in logical_lines(file.read_text("utf-8")))
    return {normal(match["name"]) for match in found if match}


def wanted(file: Path) -> set[str]:
    """Return the names that an .in file asks for, with those of the files it includes."""
    names: set[str] = set()
    for line in logical_lines(file.read_text("utf-8")):
        if line.startswith("-r "):
            names |= wanted(file.parent / line.removeprefix("-r ").strip())
        else:
            names.add(name_of(line))
    return names


def name_of(requirement: str) -> str:
    """Return the name in a requirement, as registries compare names."""
    found = re.match(r"[A-Za-z0-9][\w.-]*", requirement)
    assert found, requirement
    return normal(found[0])


def normal(name: str) -> str:
    """Return a name as registries compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def make_targets() -> set[str]:
    """Return the targets of the Makefile that have a name one can type."""
    text = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))


def named_targets(text: str) -> set[str]:
    """Return the targets that the code in a document names."""
    document = markdown.read(text)
    code = [*document.code_spans, *(block.text for block in document.blocks)]
    lines = [line for piece in code for line in piece.splitlines()]
    return {name for line in lines for name in re.findall(r"(?:^|&& |\$ )make ([a-z][\w-]*)", line)}


def test_nothing_that_must_stay_out() -> None:
    """No file names a registry, a download, a place on somebody's machine, or holds a key."""
    found = {
        str(file.relative_to(ROOT)): faults
        for file in repository_files()
        if (faults := findings(file.read_text("utf-8", errors="replace")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("registry host", "see https://" + ".".join(REGISTRIES[0]) + "/simple"),
        ("registry host", "FROM " + ".".join(REGISTRIES[-6]) + "/somebody/image"),
        ("download address", "https://some.example/model-1.0" + ".gguf"),
        ("machine path", "open('/" + "home/anna/chat')"),
        ("machine path", "cd /" + "root"),
        ("key", "OPENAI_API_KEY=sk" + "-proj-" + "aB3" * 10),
        ("key", "-----BEGIN RSA PRIVATE" + " KEY-----"),
        ("key", "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiJhbm5hIn0.x"),
    ],
)
def test_what_must_stay_out_is_found(kind: str, text: str) -> None:
    """A planted example of each kind is found."""
    assert [kind in finding for finding in findings(f"fine\n{text}\n")] == [True]


def test_example_of_the_environment() -> None:
    """Whoever gets the repository gets an example of its settings, and never settings in use."""
    names = {str(path.relative_to(ROOT)) for path in repository_files()}
    assert ".env.example" in names
    assert ".env" not in names


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.stem)
def test_requirements_are_pinned(file: Path) -> None:
    """Every line of a requirements file is one exact version with hashes: no index, no option."""
    lines = logical_lines(file.with_suffix(".txt").read_text("utf-8"))
    assert lines
    assert [line for line in lines if not REQUIREMENT.fullmatch(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "msgspec==0.21",
        "msgspec>=0.21 --hash=sha256:" + "0" * 64,
        "msgspec==0.21 --hash=md5:" + "0" * 32,
        "--index-" + "url https://some.example/simple",
        "--find-links wheels",
        "-e .",
        "msgspec @ https://some.example/msgspec --hash=sha256:" + "0" * 64,
    ],
)
def test_unpinned_lines_are_found(line: str) -> None:
    """A requirement without exact version or hash is no pinned one."""
    assert logical_lines(f"# why\n{line}  # via x\n") == [line]
    assert not REQUIREMENT.fullmatch(line)


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.stem)
def test_requirements_agree(file: Path) -> None:
    """Whatever an .in file asks for is pinned in the .txt file of the same name."""
    assert wanted(file) - pinned(file.with_suffix(".txt")) == set()


def test_pins_agree_with_each_other() -> None:
    """What two requirements files pin, they pin to the same version."""
    versions: dict[str, set[str]] = {}
    for file in REQUIREMENTS:
        for line in logical_lines(file.with_suffix(".txt").read_text("utf-8")):
            versions.setdefault(name_of(line), set()).add(line.split(" ")[0])
    assert {name: pins for name, pins in versions.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("file", NODE_PROJECTS, ids=lambda file: file.parent.name)
def test_node_projects_are_pinned(file: Path) -> None:
    """What a project of Node.js wants is pinned to that version; every line has one hash."""
    pins = (ROOT / "requirements" / f"node-{file.parent.name}.txt").read_text("utf-8").splitlines()
    assert [line for line in pins if not NODE_PIN.fullmatch(line)] == []
    names = {line.partition(" ")[0] for line in pins}
    wants = json.loads(file.read_text("utf-8"))["dependencies"]
    assert {f"{name}@{version}" for name, version in wants.items()} <= names


def test_no_lock_file_is_kept() -> None:
    """Lock files record where packages were downloaded; pins with hashes say what they are."""
    names = {path.name for path in repository_files()}
    assert names & LOCK_FILES == set()


def test_extras_are_tested() -> None:
    """Everything that an extra of the wheel brings is among what the tests run with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {
        name_of(line) for lines in project["optional-dependencies"].values() for line in lines
    }
    assert extras - pinned(ROOT / "requirements" / "dev.txt") == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path) -> None:
    """Every `make …` that a document names can be typed."""
    assert named_targets(document.read_text("utf-8")) - make_targets() == set()


def test_everything_is_checked_for_every_change() -> None:
    """What `make check` runs, .ci/run runs too, in an order of its own."""
    makefile, ci = (ROOT / "Makefile").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    (checked,) = re.findall(r"^check: (.*?) ##", makefile, re.MULTILINE)
    called = " ".join(re.findall(r"^make (.*)$", ci, re.MULTILINE))
    assert set(checked.split()) - set(called.split()) == set()


def test_unknown_make_targets_are_found() -> None:
    """A target that is not in the Makefile is found in code, and prose is left alone."""
    text = "`make nothing`, to make sure: make no mistake\n\n```text\ncd x && make trouble\n```\n"
    assert named_targets(text) - make_targets() == {"nothing", "trouble"}
    assert {"run", "test", "check"} <= make_targets()
