"""`python -m tests.documents.sweep FOLDER`: ends what `start` left running below it; 1 if any."""

from __future__ import annotations

import sys
from pathlib import Path

from ops.host.ops_error import OpsError
from ops.host.paths import Paths
from ops.host.processes import GENTLY, end_processes


def sweep(folder: Path) -> list[str]:
    """Names of what was still running."""
    left = []
    for record in folder.rglob("run/*.json"):
        paths = Paths(folder, record.parent.parent, "")
        try:
            if end_processes(paths, record.stem, GENTLY):
                left.append(record.stem)
        except OpsError:
            continue  # not a process's record
    return left


if __name__ == "__main__":
    remains = sweep(Path(sys.argv[1]))
    if remains:
        print(f"error: the tests left these running, ended now: {remains}", file=sys.stderr)
        sys.exit(1)
