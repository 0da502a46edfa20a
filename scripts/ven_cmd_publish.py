#!/usr/bin/env python3
"""Publishes a command to a VEN and shows its ack: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    from ops.host import tools_python

    tools_python.use_tools_python()
    from ops.cli.ven_scripts import publish

    return publish()


if __name__ == "__main__":
    sys.exit(main())
