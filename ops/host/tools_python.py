"""For scripts that are run by themselves: continue in the Python that has what they need."""

from __future__ import annotations

import importlib.util
import os
import sys

from ops.host.paths import Paths

NEEDED = ("paho", "pydantic", "rich", "typer")


def use_tools_python() -> None:
    """Run this script again in the tools' environment when something is missing here."""
    if all(importlib.util.find_spec(name) for name in NEEDED):
        return
    python = Paths.from_environment().tools_python
    if not python.exists():
        sys.exit(
            "error: the commands' environment is not installed yet.\n"
            "       Run scripts/ven_control.sh status, which installs it, and try again."
        )
    if os.path.realpath(sys.prefix) == os.path.realpath(python.parent.parent):
        sys.exit(f"error: {python.parent.parent} is incomplete. Remove it and try again.")
    os.execv(python, [str(python), *sys.argv])
