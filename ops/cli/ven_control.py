"""`ven_control.sh`: finds the command, and loads no other."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.completion import completion_init
from typer.core import TyperGroup

from ops.cli.command_table import COMMANDS
from ops.cli.quick_commands import VOLTTRON_HOME_OPTION
from ops.host.exit_code import exit_code_of
from ops.host.processes import restore_process_interrupt

COMPLETE_VARIABLE = "_VEN_CONTROL_COMPLETE"
PROGRAM = "ven_control.sh"


class VenControlGroup(TyperGroup):
    """The table of commands; one is loaded when it is called."""

    # Typed as Any where typer uses classes of its own copy of click, which are not public.

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found: Any = getattr(importlib.import_module(f"ops.cli.{entry.module}"), entry.function)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(cmd_name, context_settings=dict(entry.settings))(found)
            found = single
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, _shortened(entry.summary, width)) for name, entry in COMMANDS.items()]
            )

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Names and options of this group; the commands' own are asked of the command."""
        from typer._click.shell_completion import CompletionItem

        named = [
            CompletionItem(name, help=entry.summary)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return named or super().shell_complete(ctx, incomplete)


def _shortened(text: str, width: int) -> str:
    text = text.rstrip(".")
    return text if len(text) <= width else text[: text.rindex(" ", 0, width - 2)] + " …"


app = typer.Typer(
    name=PROGRAM,
    cls=VenControlGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _ven_control(
    volttron_home: Annotated[
        Path | None,
        typer.Option(
            VOLTTRON_HOME_OPTION,
            envvar="VOLTTRON_HOME",
            help="An existing VOLTTRON that is meant, in place of the one of `start`.",
        ),
    ] = None,
) -> None:
    """Brings VenAgent up, watches it, and sends it demand-response events."""


def ven_control() -> None:
    """Runs a command; what an operator can do something about ends it with a message and a code."""
    restore_process_interrupt()
    completion_init()
    options = {"prog_name": PROGRAM, "complete_var": COMPLETE_VARIABLE}
    sys.exit(exit_code_of(lambda: app(**options)))
