"""`logs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.log_entry import LEVELS, readable_log_entries
from ops.host import terminal
from ops.host.log_tail import follow_log_tail, log_tail
from ops.host.ops_error import OpsError
from ops.host.paths import Paths

_NAMES = ("broker", "panel", "backend-api", "backend-ingest", "backend-openadr")


def logs_command(
    of: Annotated[
        str,
        typer.Argument(
            help="platform (VOLTTRON and its agents), broker, panel, environment, "
            "backend-api, backend-ingest, backend-openadr"
        ),
    ] = "platform",
    lines: Annotated[int, typer.Option("--lines", "-n", help="Of the past.", min=0)] = 40,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Until Ctrl-C.")] = True,
    level: Annotated[
        str, typer.Option(help=f"The platform's log from here up: {', '.join(LEVELS)}.")
    ] = "info",
    raw: Annotated[bool, typer.Option("--raw", help="The platform's log as it is.")] = False,
) -> None:
    """Follow a log until Ctrl-C; VOLTTRON's as short lines, without banners and repetitions."""
    if level not in LEVELS:
        raise OpsError(f"there is no level {level!r}", f"There are: {', '.join(LEVELS)}.")
    paths = Paths.from_environment()
    files = {
        "platform": paths.platform_log,
        "environment": paths.environment_log,
        **{name: paths.output_log(name) for name in _NAMES},
    }
    if of not in files:
        raise OpsError(f"there is no log {of!r}", f"There are: {', '.join(files)}.")
    path = files[of]
    if not path.exists() and paths.existing is not None:
        raise _no_log_of_theirs(of, path)
    if not path.exists():
        raise OpsError(f"there is no log yet at {path}", "`start` makes it.")
    try:
        found = follow_log_tail(path, lines) if follow else log_tail(path, lines)
        if of == "platform" and not raw:
            for entry in readable_log_entries(found, level):
                terminal.out.print(entry, soft_wrap=True)
            return
        for line in found:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _no_log_of_theirs(of: str, path: Path) -> OpsError:
    """Of a VOLTTRON that `start` did not make."""
    if of == "platform":
        return OpsError(f"there is no log at {path}", f"Start VOLTTRON with `-l {path}`.")
    return OpsError(f"`logs {of}` is of what `start` runs", "`logs` alone shows your VOLTTRON's.")
