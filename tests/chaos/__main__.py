"""`python -m tests.chaos commit | release | measure | judge`.

May import: standard library, tests.chaos.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.evidence import gather_again
from tests.chaos.findings import BROKEN
from tests.chaos.measure import run_measure
from tests.chaos.tiers import run_commit, run_release


def main() -> int:
    """Run what is asked for; the exit code tells whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("tier", choices=("commit", "release", "measure", "judge"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0, help="of a release run")
    parser.add_argument("--only", default=None, help="part of the name of a measurement")
    parser.add_argument("--out", type=Path, default=None, help="below which the evidence goes")
    parser.add_argument("--of", type=Path, default=None, help="a segment's folder, to judge again")
    arguments = parser.parse_args()
    if arguments.tier == "judge":
        found = check(gather_again(arguments.of))
        print("\n".join(map(str, found)) or "nothing found")  # noqa: T201
        return 1 if found else 0
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    # Every run has a folder of its own: evidence is never mixed.
    folder = Path(tempfile.mkdtemp(prefix=f"{arguments.tier}-", dir=arguments.out))
    began = time.monotonic()
    if arguments.tier == "measure":
        results = asyncio.run(run_measure(folder, only=arguments.only))
        return int(any(BROKEN in result for result in results.values()))
    if arguments.tier == "commit":
        summary = asyncio.run(run_commit(folder, seed=arguments.seed))
    else:
        summary = asyncio.run(run_release(folder, seed=arguments.seed, minutes=arguments.minutes))
    print((folder / "report.md").read_text(encoding="utf-8"))  # noqa: T201
    took = time.monotonic() - began
    print(f"{took:.0f} seconds; evidence in {folder}")  # noqa: T201
    if arguments.out is None and summary.is_good:
        shutil.rmtree(folder)
    return 0 if summary.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
