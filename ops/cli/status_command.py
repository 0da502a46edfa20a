"""`status`."""

from __future__ import annotations

import typer

from ops.cli.command_options import Json
from ops.cli.quick_commands import quick_status_command


def status_command(json: Json = False) -> None:
    """What runs, its health, the power now, the active event and those that wait.

    Exits with 0 when all is up, 3 when stopped, 1 when something is wrong.
    """
    raise typer.Exit(quick_status_command(as_json=json))
