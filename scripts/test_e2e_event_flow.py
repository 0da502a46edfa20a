#!/usr/bin/env python3
"""Runs one event through the whole stack: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    from ops.host import tools_python

    tools_python.use_tools_python()
    from ops.cli import e2e_event_flow as e2e

    return e2e.main()


if __name__ == "__main__":
    sys.exit(main())
