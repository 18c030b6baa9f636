"""The checks of the documents find what they are there for.

May import: standard library, pytest, tests.architecture, tests.docs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.docs import markdown, running
from tests.docs.markdown import Block
from tests.docs.test_docs import dead_links, fault_in

PROBLEM = '{"type":"urn:chatcore:problem:session_not_found"}'


def one(text: str) -> Block:
    """Read a document that has one good block."""
    document = markdown.read(text)
    assert document.faults == ()
    (block,) = document.blocks
    return block


def shell(folder: Path, *texts: str) -> list[str]:
    """Run blocks of shell as one document would."""
    blocks = [one(text) for text in texts]
    return running.run_shell(blocks, folder=folder, environment={})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```\nx\n```", "without a language"),
        ("```bash\nmake run\n```", "needs a comment"),
        ("```sql\nSELECT 1\n```", "needs a comment"),
        ("```python no-run\nx\n```", "after the language"),
        ("<!-- check: skip -->\n```bash\nx\n```", "without a reason"),
        ("<!-- check: skip, no -->\n```bash\nx\n```", "without a reason"),
        ("<!-- check: maybe -->\n```bash\nx\n```", "there is no check 'maybe'"),
        ("<!-- check: run -->\n```json\n{}\n```", "does not go with 'json'"),
        ("<!-- check: test -->\n```bash\nx\n```", "does not go with 'bash'"),
        ("<!-- check: output -->\n```python\nx\n```", "does not go with 'python'"),
        ("<!-- check: run, fast -->\n```bash\nx\n```", "'fast' means nothing"),
        ("<!-- check: run -->\n\n```bash\nx\n```", "belongs to no block"),
        ("<!-- check: run -->\n\ntext", "belongs to no block"),
        ("```python\nx", "never ends"),
        ("text\n\n    make run\n", "an indented block"),
        ("- item\n\ntext\n\n    make run\n", "an indented block"),
        ("````text\n```bash\n````\n\n```bash\nx\n```", "line 5: a block of bash needs"),
    ],
)
def test_unchecked_code_is_found(text: str, fault: str) -> None:
    """A block that could rot unnoticed is reported."""
    assert fault in "; ".join(markdown.read(text).faults)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx\n```",
        "```json\n{}\n```",
        "~~~text\nx\n~~~",
        "- item\n\n      continued\n\n  ```text\n  x\n  ```",
        "1. item\n\n   <!-- check: skip, for a reason -->\n   ```bash\n   make run\n   ```",
        "<!-- check: run, problem -->\n```console\n$ x\n```",
        "````text\n```bash\nmake run\n```\n````",
    ],
)
def test_checked_code_is_left_alone(text: str) -> None:
    """A block that says how it is checked, or needs not, is not reported."""
    assert markdown.read(text).faults == ()


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"a": 1,}\n```',
        "```toml\na = \n```",
        "```ini\nPORTS=1\n```",
        "```dotenv\nnot a setting\n```",
        '```http\nPOST /chat\nContent-Type: application/json\n\n{"message"}\n```',
    ],
)
def test_data_that_cannot_be_read_is_found(text: str) -> None:
    """Data with a slip in it is reported."""
    assert fault_in(one(text)) != ""


def test_python_that_fails(tmp_path: Path) -> None:
    """An exception, or a warning, is reported with its line in the document."""
    for failing in ("1 / 0", "import warnings; warnings.warn('old')"):
        block = one(f"text\n\n```python\n{failing}\n```")
        said = running.run_python("a.md", [block], [], folder=tmp_path, environment={})
        assert 'File "a.md", line 4' in said


def test_python_shares_a_namespace(tmp_path: Path) -> None:
    """What one block defines the next one sees, also in annotations that are looked up later."""
    first = one("```python\nfrom __future__ import annotations\nx = 1\nclass A: ...\n```")
    second = one(
        "```python\nfrom typing import get_type_hints\nclass B:\n    a: 'A'\n"
        "assert get_type_hints(B)['a'] is A\nassert x == 1\n```"
    )
    run = running.run_python("a.md", [first, second], [], folder=tmp_path, environment={})
    assert run == ""


def test_tests_that_fail_or_are_missing(tmp_path: Path) -> None:
    """A block for pytest whose test fails, or that has none, is reported."""
    for text, found in (("async def test_x(): assert not 1", "1 failed"), ("x = 1", "no tests")):
        block = one(f"<!-- check: test -->\n```python\n{text}\n```")
        assert found in running.run_tests(block, [], folder=tmp_path)
    passing = one("<!-- check: test -->\n```python\nasync def test_x(): assert 1\n```")
    assert running.run_tests(passing, [], folder=tmp_path) == ""


def test_shell_that_fails(tmp_path: Path) -> None:
    """A command that fails is reported by its block, also inside a pipe."""
    good = "<!-- check: run -->\n```bash\nX=1\n```"
    bad = "\n\n<!-- check: run -->\n```bash\nfalse | cat\n```"
    (fault,) = shell(tmp_path, good, bad)
    assert fault.startswith("line 4: exit code 1")


def test_shell_shares_its_variables(tmp_path: Path) -> None:
    """What one block sets the next one sees; only lines with a prompt are run in a console."""
    console = "<!-- check: run -->\n```console\n$ test \\\n>   $X = 1\nno command\n```"
    assert shell(tmp_path, "<!-- check: run -->\n```bash\nX=1\n```", console) == []


def test_problems_nobody_announced(tmp_path: Path) -> None:
    """An answer that is a problem is reported unless it is expected, and then its absence is."""
    refused = f"```bash\necho '{PROBLEM}'\n```"
    assert shell(tmp_path, f"<!-- check: run, problem -->\n{refused}") == []
    assert "no problem is expected" in shell(tmp_path, f"<!-- check: run -->\n{refused}")[0]
    fine = "<!-- check: run, problem -->\n```bash\necho '{}'\n```"
    assert "a problem is expected" in shell(tmp_path, fine)[0]


@pytest.mark.parametrize(
    ("language", "shown", "is_right"),
    [
        ("json", '{"a": "other", "b": [{"c": 2}]}', True),
        ("json", '{"a": "other"}', False),
        ("json", '{"a": null, "b": [{"c": 2}]}', False),
        ("json", '{"a": "x", "b": [{"d": 2}]}', False),
        ("text", '{"a": "x", …}', True),
        ("text", '{"a": "y", …}', False),
    ],
)
def test_output_that_is_shown(tmp_path: Path, language: str, shown: str, is_right: bool) -> None:
    """Shown output is compared with the printed one: JSON by shape, text up to its gaps."""
    command = """<!-- check: run -->\n```bash\necho '{"a": "x", "b": [{"c": 1}]}'\n```"""
    output = f"<!-- check: output -->\n```{language}\n{shown}\n```"
    assert (shell(tmp_path, command, output) == []) is is_right


@pytest.mark.parametrize(
    ("link", "is_dead"),
    [
        ("[a](README.md)", False),
        ("[a](docs/)", False),
        ("[a](#a-heading-with-code)", False),
        ("[a](#one-1)", False),
        ("[a](#named)", False),
        ("[a]: README.md", False),
        ("`[a](nowhere.md)`", False),
        ("[a](mailto:somebody)", False),
        ("[a](nowhere.md)", True),
        ("[a]: nowhere.md", True),
        ("![a](nowhere.png)", True),
        ("[a](#nowhere)", True),
        ("[a](README.md#nowhere)", True),
        ("[a](/README.md)", True),
        ("[a](../README.md)", True),
    ],
)
def test_dead_links_are_found(link: str, is_dead: bool) -> None:
    """A link to a file or heading that is not there is reported."""
    headings = '# A heading, with `code`!\n\n## One\n\n## One\n\n<a id="named"></a>\n\n'
    document = markdown.read(headings + link)
    assert bool(dead_links(ROOT / "a.md", document)) is is_dead
