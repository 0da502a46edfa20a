#!/usr/bin/env python3
"""Registers a VEN with the operator's backend: see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> int:
    from ops import tools_python

    tools_python.use()
    from ops.cli_scripts_backend import register_ven

    return register_ven()


if __name__ == "__main__":
    sys.exit(main())
