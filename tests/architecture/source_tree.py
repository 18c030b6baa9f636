"""The project's source files as text and syntax trees, for the tests that read them.

May import: standard library.
"""

from __future__ import annotations

import ast
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("chatcore", "adapters", "app", "migrations")
STANDARD_LIBRARY = "standard library"

_COPIED = (*ROOMS, "tests", "pyproject.toml", "README.md", "LICENSE", "alembic.ini")
_LISTED = re.compile(r"[a-z_][\w.]*|" + STANDARD_LIBRARY)


@dataclass(frozen=True)
class Import:
    """One imported module: `chatcore` for `from chatcore import ChatError`.

    Attributes:
        target: The module, always absolute.
        line: Where it stands.
        is_relative: Whether it was written with leading dots.
    """

    target: str
    line: int
    is_relative: bool = False

    def is_in(self, module: str) -> bool:
        """Tell whether it is this module or one below it."""
        return self.target == module or self.target.startswith(f"{module}.")


@dataclass(frozen=True)
class SourceFile:
    """One Python file; `path` is relative to the project and need not exist."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """The folder at the top, such as `chatcore`."""
        return self.path.parts[0]

    @property
    def module(self) -> str:
        """Its dotted name."""
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import in it: inside functions and for the type checker alone as well."""
        found: list[Import] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [Import(alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found.append(self._import_from(node))
        return tuple(found)

    @property
    def docstring(self) -> str:
        """The docstring of the module, or nothing."""
        return ast.get_docstring(self.tree) or ""

    @property
    def may_import(self) -> tuple[str, ...] | None:
        """What the paragraph `May import: …` lists; None if there is no such paragraph."""
        for paragraph in self.docstring.split("\n\n"):
            text = " ".join(paragraph.split())
            if text.startswith("May import: ") and text.endswith("."):
                names = text.removeprefix("May import: ").removesuffix(".").split(", ")
                return tuple(names) if all(map(_LISTED.fullmatch, names)) else None
        return None

    def _import_from(self, node: ast.ImportFrom) -> Import:
        target = node.module or ""
        if node.level:
            inside = self.path.parent.parts
            package = inside[: len(inside) - node.level + 1]
            target = ".".join((*package, target)).rstrip(".")
        return Import(target, node.lineno, is_relative=node.level > 0)


def source_files(*folders: str) -> list[SourceFile]:
    """Return every Python file below these folders, in order."""
    return [
        SourceFile(PurePosixPath(path.relative_to(ROOT)), path.read_text("utf-8"))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def ids_of(files: list[SourceFile]) -> list[str]:
    """Return the paths, as names for parametrised tests."""
    return [str(file.path) for file in files]


def copy_tree(target: Path) -> Path:
    """Copy all that builds and checks read into an empty folder, and return that folder."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=unwanted)
        elif source.exists():
            shutil.copy2(source, target / name)
    return target
