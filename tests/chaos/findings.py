"""What a measurement found, and whether it is as it has to be.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos import checker
from tests.chaos.rig import Rig
from tests.chaos.tiers import evidence_of

BROKEN = "BROKEN"
"""Stands in a result if something did not hold."""
_SETTLE_SECONDS = 60.0
_MOST_TOLD = 5


def spread(values: Sequence[float]) -> str:
    """Say how values are spread."""
    if not values:
        return "no sample"
    ordered = sorted(values)
    marks = {share: ordered[int(len(ordered) * share)] for share in (0.5, 0.95, 0.99)}
    told = ", ".join(f"p{share * 100:.0f} {value:.3f} s" for share, value in marks.items())
    return f"{told}, longest {ordered[-1]:.3f} s, n={len(ordered)}"


@dataclass
class Findings:
    """What was measured, and what did not hold."""

    told: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def require(self, holds: bool, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.broken.append(what)

    async def judge(self, rig: Rig) -> str:
        """Have the checker look at all that is left, and return everything in a line."""
        self.require(await rig.settle(within=_SETTLE_SECONDS), "turns still run")
        found = checker.check(await evidence_of(rig))
        self.broken += [str(violation) for violation in found[:_MOST_TOLD]]
        self.told.append(f"{len(found)} violations of {len(checker.CLAUSES)} clauses")
        verdict = f"{BROKEN}: {'; '.join(self.broken)}" if self.broken else "holds"
        return f"{'; '.join(self.told)}: {verdict}"
