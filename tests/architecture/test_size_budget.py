"""Files, classes and functions stay small; what does not is listed here, with the reason.

May import: standard library, pytest, tests.architecture.

Lines are counted as they stand in the file, comments and blank lines included. In functions and
classes docstrings do not count: those of ports are long on purpose, and nothing should be left
unsaid to fit a number. In files they do. The functions of a migration are no code to be read again
and again but a list of what was done, never edited afterwards: they may be long.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath
from statistics import median

import pytest

from tests.architecture.source_tree import ROOMS, SourceFile, ids_of, source_files

FILE_LINES = 250
TEST_FILE_LINES = 500
FUNCTION_LINES = 30
CLASS_LINES = 150
MEDIAN_FUNCTION_LINES = 10

# What is over the budget: its lines today, and why. It only shrinks: whoever makes one of them
# smaller lowers its number here, and takes the row out as soon as it fits. Nobody adds one lightly.
_FIELDS = "one expression that names every field of a value"
EXCEPTIONS: dict[str, tuple[int, str]] = {
    "adapters/embedded/cluster.py::Cluster": (157, "every step is about the one server process"),
    "adapters/postgres/rows.py::ended_turn": (31, _FIELDS),
}
AIR = 10

Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_COUNTED = (*ROOMS, "benchmarks")
SOURCES = [file for file in source_files(*_COUNTED) if "testing" not in file.path.parts]
TESTS = source_files("chatcore/testing", "tests")


def over_budget(file: SourceFile, *, file_lines: int) -> dict[str, int]:
    """Return what is too long in a file, with its lines."""
    sizes = {str(file.path): (len(file.text.splitlines()), file_lines)}
    is_migration = file.path.match("migrations/versions/*")
    for name, node in () if is_migration else _definitions(file.tree):
        limit = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
        sizes[f"{file.path}::{name}"] = (lines_without_docstrings(node), limit)
    return {name: lines for name, (lines, limit) in sizes.items() if lines > limit}


def lines_without_docstrings(node: Defined) -> int:
    """Return how many lines a definition has, its docstring and those inside it left out."""
    inner = [child for child in ast.walk(node) if isinstance(child, Defined)]
    return _span(node) - sum(_docstring_lines(child) for child in inner)


@pytest.mark.parametrize("file", SOURCES, ids=ids_of(SOURCES))
def test_source_fits(file: SourceFile) -> None:
    """No file, class or function of the rooms is longer than the budget, or than its exception."""
    found = over_budget(file, file_lines=FILE_LINES)
    assert {name: n for name, n in found.items() if n > EXCEPTIONS.get(name, (0, ""))[0]} == {}


@pytest.mark.parametrize("file", TESTS, ids=ids_of(TESTS))
def test_tests_fit(file: SourceFile) -> None:
    """No file of tests is longer than its budget."""
    assert len(file.text.splitlines()) <= TEST_FILE_LINES


def test_median_function_is_short() -> None:
    """Half of all functions have at most ten lines."""
    lengths = [
        lines_without_docstrings(node)
        for file in SOURCES
        for _, node in _definitions(file.tree)
        if not isinstance(node, ast.ClassDef)
    ]
    assert median(lengths) <= MEDIAN_FUNCTION_LINES


def test_exceptions_shrink() -> None:
    """Every exception has a reason, is still needed, and allows hardly more than is used."""
    found: dict[str, int] = {}
    for file in SOURCES:
        found |= over_budget(file, file_lines=FILE_LINES)
    loose = {
        name: found.get(name)
        for name, (allowed, reason) in EXCEPTIONS.items()
        if allowed - found.get(name, 0) > AIR or not reason
    }
    assert loose == {}


def test_counting() -> None:
    """Lines of a definition are counted without any docstring in it, decorators left out."""
    text = '''
@decorated
class Some:
    """One.

    Two.
    """

    def method(self) -> None:
        """One."""
        # A comment counts.

        return None
'''
    file = SourceFile(PurePosixPath("app/some.py"), text)
    lines = {name: lines_without_docstrings(node) for name, node in _definitions(file.tree)}
    assert lines == {"Some": 6, "Some.method": 4}


@pytest.mark.parametrize(
    ("text", "name", "lines"),
    [
        ("#\n" * 251, "app/some.py", 251),
        ("def f():\n" + "    pass\n" * 30, "app/some.py::f", 31),
        ("async def f():\n" + "    pass\n" * 30, "app/some.py::f", 31),
        ("class C:\n    def f(self):\n" + "        pass\n" * 30, "app/some.py::C.f", 31),
        ("class C:\n" + "    x = 1\n" * 150, "app/some.py::C", 151),
    ],
)
def test_too_long_is_found(text: str, name: str, lines: int) -> None:
    """One line too many is reported, by name."""
    file = SourceFile(PurePosixPath("app/some.py"), text)
    assert over_budget(file, file_lines=FILE_LINES) == {name: lines}


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Defined]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Defined):
            yield f"{prefix}{node.name}", node
            yield from _definitions(node, f"{prefix}{node.name}.")
        else:
            yield from _definitions(node, prefix)


def _docstring_lines(node: Defined) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    return _span(node.body[0])


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
