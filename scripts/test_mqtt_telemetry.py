#!/usr/bin/env python3
"""Checks the broker and a VEN's telemetry: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    from ops.host import tools_python

    tools_python.use_tools_python()
    from ops.cli.backend_scripts import check_telemetry

    return check_telemetry()


if __name__ == "__main__":
    sys.exit(main())
