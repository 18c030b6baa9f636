"""Beside the rooms: `python -m benchmarks run [PART …] | check`.

May import: standard library, benchmarks.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.plan import PARTS, Plan, page
from benchmarks.ratio import LEAST, ROUNDS, SECONDS, check_ratio
from benchmarks.report import put_into
from benchmarks.rig import Rig
from benchmarks.samples import Sample

_ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; 0 if all is well, 1 if a ratio falls short, 2 if nothing can be said.

    The document and the raw figures are written only if no run failed.
    """
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    try:
        if options.out is not None:
            _written(options.out, "")  # It would be sad to learn at the end that it cannot be.
        with Rig() as rig:
            if options.what == "check":
                rounds, seconds = options.rounds or ROUNDS, options.seconds or SECONDS
                is_good = check_ratio(rig, least=options.least, rounds=rounds, seconds=seconds)
                return 0 if is_good else 1
            text = _run(rig, options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if options.out is None:
        print(text)
    else:
        print(f"benchmarks: the report is in {options.out}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("what", choices=("run", "check"), help="the report, or the short check")
    parser.add_argument(
        "parts", nargs="*", type=_part, help=f"of a run: {', '.join(PARTS)}, slow:N; default: all"
    )
    parser.add_argument("--rounds", type=int, help=f"of a run {_ROUNDS}, of the check {ROUNDS}")
    parser.add_argument("--seconds", type=float, help="how long each load lasts")
    parser.add_argument("--least", type=float, default=LEAST, help="ratio that the check wants")
    parser.add_argument("--out", type=Path, help="document with the markers, or a new file")
    parser.add_argument("--raw", type=Path, help="file for every single run, as JSON")
    return parser


def _part(name: str) -> str:
    if name not in PARTS and not re.fullmatch(r"slow:[1-9]\d*", name):
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PARTS)}, slow:N")
    return name


def _run(rig: Rig, options: argparse.Namespace) -> str:
    rounds = options.rounds or _ROUNDS
    plan = Plan(rig, rounds=rounds, seconds=options.seconds)
    for name in options.parts or PARTS:
        plan.run(name)
    command = " ".join(("python -m benchmarks run", *options.parts))
    text = page(plan, rig, command=command, rounds=rounds)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(_written(options.out, text), "utf-8")
    if options.raw is not None:
        _write_raw(options.raw, rig.runs)
    return text


def _written(path: Path, text: str) -> str:
    """Return what a document is to become."""
    return put_into(path.read_text("utf-8"), text) if path.exists() else f"{text}\n"


def _write_raw(path: Path, runs: Sequence[Sample]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(each) for each in runs], indent=1), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
