#!/usr/bin/env python3
"""Follows a VEN's status and telemetry at the backend: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    from ops.host import tools_python

    tools_python.use_tools_python()
    from ops.cli.backend_scripts import monitor_ven

    return monitor_ven()


if __name__ == "__main__":
    sys.exit(main())
