"""`watch`."""

from __future__ import annotations

import typer

from ops.cli import live_picture as watcher
from ops.cli.command_options import VenId, chosen_ven_option
from ops.host import terminal as show
from ops.host.ops_error import OpsError


def watch_command(ven_id: VenId = None) -> None:
    """Power, event, circuits and connection on this terminal, live, until q or Ctrl-C."""
    if not show.out.is_terminal:
        raise OpsError("`watch` needs a terminal", "Without one use `telemetry`.")
    try:
        watcher.watch_live_picture(chosen_ven_option(ven_id), show.out)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
