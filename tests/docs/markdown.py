"""Reads Markdown as far as the tests of the documents need it: code blocks, links, anchors.

May import: standard library.

How a code block is checked is said in a comment on the line before it, which no reader sees:

    <!-- check: run -->               python, bash, sh: it runs; console: the lines behind `$ ` do
    <!-- check: run, problem -->      bash, sh, console: it runs, and is answered with a problem
    <!-- check: test -->              python: pytest runs it and finds at least one test
    <!-- check: output -->            text, json: what the shell block before it printed
    <!-- check: skip, the reason -->  anything: not checked

Without a comment python runs, json and toml parse, ini and dotenv set known settings to something,
the body of http is JSON if it claims to be, and text and mermaid are only looked at. Anything else
needs a comment. All python of a file shares one namespace, all shell of a file one shell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

PYTHON = "python"
SHELL = frozenset({"bash", "sh", "console"})
OUTPUT = frozenset({"text", "json"})
UNCOMMENTED = frozenset({PYTHON, "json", "toml", "ini", "dotenv", "http", "text", "mermaid"})

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>\S*)\s*(?P<rest>.*)$")
_COMMENT = re.compile(r"^\s*<!--\s*check:\s*(?P<check>\w+)\s*(?:,\s*(?P<detail>.*?)\s*)?-->\s*$")
_LIST_ITEM = re.compile(r"^\s*([-*+]|\d+[.)])\s")
_LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE
)
_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """One fenced code block.

    Attributes:
        line: Of its opening fence, from 1.
        check: The word of its comment; empty without one.
        detail: What follows that word.
        rest: What follows the language on the line of the fence.
    """

    line: int
    language: str
    check: str
    detail: str
    rest: str
    text: str

    @property
    def commands(self) -> str:
        """What a shell is to run."""
        if self.language != "console":
            return self.text
        lines = [line[2:] for line in self.text.splitlines() if line.startswith(("$ ", "> "))]
        return "\n".join(lines) + "\n"

    @property
    def is_run(self) -> bool:
        """Whether it is executed as part of its file."""
        return self.check == "run" or (self.language == PYTHON and not self.check)


@dataclass(frozen=True)
class Document:
    """One Markdown file, read."""

    blocks: tuple[Block, ...]
    faults: tuple[str, ...]
    prose: str

    @property
    def links(self) -> tuple[str, ...]:
        """Targets of all links, as written."""
        text = re.sub(r"`[^`\n]*`", "", self.prose)
        return tuple(found[1] or found[2] for found in _LINK.finditer(text))

    @property
    def anchors(self) -> frozenset[str]:
        """What can stand behind a `#`, made as GitHub makes it."""
        found: dict[str, int] = {}
        names = set(_ANCHOR.findall(self.prose))
        for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", self.prose, re.MULTILINE):
            shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
            slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            names.add(f"{slug}-{found[slug]}" if slug in found else slug)
            found[slug] = found.get(slug, 0) + 1
        return frozenset(names)

    @property
    def code_spans(self) -> tuple[str, ...]:
        """What stands between single backticks."""
        return tuple(re.findall(r"`([^`\n]+)`", self.prose))


def read(text: str) -> Document:
    """Read a document: its blocks, what is wrong with them, and the text around them."""
    blocks, faults, prose = [], [], []
    lines = enumerate(text.splitlines(), start=1)
    before, comment_at = "", 0
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            prose.append(line)
            comment_at = number if _COMMENT.match(line) else comment_at
        else:
            body = _body(opening, lines)
            if body is None:
                faults.append(f"line {number}: the block never ends")
                break
            blocks.append(_block(number, opening, _COMMENT.match(before), body))
            comment_at = 0
        if comment_at and comment_at != number:
            faults.append(f"line {comment_at}: a check that belongs to no block")
            comment_at = 0
        before = line
    faults += [f"line {block.line}: {fault}" for block in blocks for fault in _faults_of(block)]
    faults += [f"line {at}: an indented block; put it into a fence" for at in _indented(text)]
    return Document(tuple(blocks), tuple(faults), "\n".join(prose))


def _body(opening: re.Match[str], lines: Iterator[tuple[int, str]]) -> str | None:
    body: list[str] = []
    for _, line in lines:
        if re.fullmatch(rf"\s*{opening['fence']}{opening['fence'][0]}*\s*", line):
            return dedent("".join(f"{inner}\n" for inner in body))
        body.append(line)
    return None


def _block(line: int, opening: re.Match[str], comment: re.Match[str] | None, text: str) -> Block:
    return Block(
        line=line,
        language=opening["language"],
        check=comment["check"] if comment else "",
        detail=(comment["detail"] or "") if comment else "",
        rest=opening["rest"],
        text=text,
    )


def _faults_of(block: Block) -> Iterator[str]:
    if not block.language:
        yield "a block without a language"
    if block.rest:
        yield f"{block.rest!r} after the language; say it in a comment on the line before"
    wanted = {
        "": block.language in UNCOMMENTED,
        "run": block.language == PYTHON or block.language in SHELL,
        "test": block.language == PYTHON,
        "output": block.language in OUTPUT,
        "skip": True,
    }
    if block.check not in wanted:
        yield f"there is no check {block.check!r}"
    elif not block.check and not wanted[""]:
        yield f"a block of {block.language or 'nothing'} needs a comment that says how to check it"
    elif not wanted[block.check]:
        yield f"the check {block.check!r} does not go with {block.language!r}"
    if block.check == "skip" and len(block.detail) < len("a reason"):
        yield "skipped without a reason"
    if block.check != "skip" and block.detail not in {"", "problem"}:
        yield f"{block.detail!r} means nothing here"


def _indented(text: str) -> Iterator[int]:
    """Find code by indentation alone, which could say nothing about its language."""
    in_list, in_fence, before = False, "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and (not in_fence or fence["fence"].startswith(in_fence)):
            in_fence = "" if in_fence else fence["fence"]
        elif not in_fence and line.strip():
            if _LIST_ITEM.match(line) and (in_list or not line.startswith("    ")):
                in_list = True
            elif not line.startswith(" "):
                in_list = False
            elif line.startswith("    ") and not before.strip() and not in_list:
                yield number
        before = line
