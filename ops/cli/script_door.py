"""What the scripts of scripts/*.py share: their way in, and their options."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from ops.host.tools_python import use_tools_python

_EPILOG = "What is not given is taken from the environment, then from the last `start`."


def run_script_door(module: str) -> None:
    """Run `<module>_script` of ops.cli.<module> as a program, in the tools' Python."""
    use_tools_python()
    import typer  # which another Python than the tools' may not have

    from ops.host.exit_code import exit_code_of

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(epilog=_EPILOG)(_script_of(module))
    sys.exit(exit_code_of(lambda: _result(app), interrupted=0))


def _script_of(module: str) -> Callable[..., None]:
    found: Callable[..., None] = getattr(
        importlib.import_module(f"ops.cli.{module}"), f"{module}_script"
    )
    return found


def _result(app: Callable[..., Any]) -> int:
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
