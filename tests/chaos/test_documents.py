"""What is written about the chaos runs is what they do.

May import: standard library, tests.architecture, tests.chaos.
"""

from __future__ import annotations

from tests.architecture.source_tree import ROOT
from tests.chaos.checker import CLAUSES
from tests.chaos.failpoints import FAILPOINTS
from tests.chaos.faults import WEIGHTS
from tests.chaos.mutants import MUTANTS
from tests.chaos.provider import FAULTS
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.tiers import COMMIT_QUOTAS

PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
NUMBERS = {15: "fifteen", 20: "twenty", 23: "Twenty-three"}


def test_every_clause_is_explained() -> None:
    """The page has a row for each clause."""
    assert [name for name in CLAUSES if f"| {name} |" not in PAGE] == []


def test_every_fault_is_explained() -> None:
    """The page names each fault, and how many there are of what it only counts."""
    assert [name for name in WEIGHTS if name not in PAGE] == []
    assert f"{NUMBERS[len(MUTANTS)]} bugs are planted" in PAGE
    assert f"one of {NUMBERS[len(FAILPOINTS)]} places" in PAGE
    assert f"misbehaves in {NUMBERS[len(FAULTS)]} ways" in " ".join(PAGE.split())


def test_every_planted_bug_can_be_found() -> None:
    """Each has a course of events that is played, and clauses that exist."""
    for name, mutant in MUTANTS.items():
        assert mutant.scenario in SCENARIOS, name
        assert mutant.caught_by, name
        assert set(mutant.caught_by) <= set(CLAUSES), name


def test_the_short_run_sees_every_fault() -> None:
    """Nothing that the long run does is left out of the short one."""
    assert set(COMMIT_QUOTAS) == set(WEIGHTS)
