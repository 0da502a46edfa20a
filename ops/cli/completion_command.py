"""`completion`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script

from ops.cli.ven_control import COMPLETE_VARIABLE, PROGRAM
from ops.host.ops_error import OpsError


def completion_command(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish")] = "bash",
) -> None:
    """Print tab completion for a shell.

    eval "$(./scripts/ven_control.sh completion bash)"
    """
    if shell not in ("bash", "zsh", "fish"):
        raise OpsError(f"there is no completion for {shell!r}", "There are: bash, zsh, fish.")
    sys.stdout.write(completion_script(shell) + "\n")


def completion_script(shell: str) -> str:
    return get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, shell=shell)
