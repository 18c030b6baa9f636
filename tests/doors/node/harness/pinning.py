"""Writes requirements/node-*.txt anew from the `package.json` files: what `make pins` calls.

May import: standard library, tests.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from tests.doors.node.harness.projects import PROJECTS, Pin, file_of, run_npm


def main() -> None:
    """Let npm choose, and keep places, versions and hashes of what it chose."""
    for project in sorted(PROJECTS.glob("*/package.json")):
        with tempfile.TemporaryDirectory() as made:
            shutil.copy(project, made)
            run_npm("install", "--package-lock-only", "--ignore-scripts", folder=Path(made))
            lock = json.loads((Path(made) / "package-lock.json").read_text("utf-8"))
        pins = sorted(
            str(Pin(place.removeprefix("node_modules/"), entry["version"], entry["integrity"]))
            for place, entry in lock["packages"].items()
            if place
        )
        file_of(project.parent.name).write_text("\n".join(pins) + "\n", "utf-8")


if __name__ == "__main__":
    main()
