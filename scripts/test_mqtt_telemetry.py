#!/usr/bin/env python3
"""Checks the broker and a VEN's telemetry: see --help."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from ops.cli.script_door import run_script_door

    run_script_door("mqtt_telemetry_check")
