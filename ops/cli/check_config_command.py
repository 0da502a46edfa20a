"""`check-config`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from ops.check_config import config_check as checker
from ops.cli.command_options import Json
from ops.host import terminal as show
from ops.host.paths import Paths


def check_config_command(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Files or folders; all of MeterDriverConfigs/ if none."),
    ] = None,
    json: Json = False,
) -> None:
    """Check driver configurations, registries and an agent's configuration.

    Names file, line and remedy of all that VOLTTRON or VenAgent would stumble over. Exits with 1
    if there is anything. Nothing has to run.
    """
    found, checked = checker.check_config_files(Paths.from_environment(), files or [])
    if json:
        show.print_json({"checked": checked, "findings": [each.as_json() for each in found]})
    else:
        for each in found:
            show.out.print(Text.assemble(("✗ ", "bold red"), str(each)), soft_wrap=True)
        mark = ("✗ ", "bold red") if found else ("✓ ", "bold green")
        result = f"{len(found)} to correct" if found else "nothing to correct"
        show.out.print(Text.assemble(mark, f"{len(checked)} checked, {result}"))
    raise typer.Exit(1 if found else 0)
