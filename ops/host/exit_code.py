"""How a command ends: its exit code, and what is shown of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ops.host.ops_error import OpsError, ops_error_of_system


def exit_code_of(command: Callable[[], int], interrupted: int = 130) -> int:
    """A command's result; what an operator can do something about is shown, and ends it with 1.

    `interrupted` is the result of one that Ctrl-C ended: 0 where that is how it ends.
    """
    try:
        return command()
    except OpsError as problem:
        return _shown(problem)
    except KeyboardInterrupt:
        return interrupted
    except BrokenPipeError:  # `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as refused:
        told = ops_error_of_system(refused)
        if told is None:
            raise
        return _shown(told)


def _shown(problem: OpsError) -> int:
    from ops.host import terminal  # its library takes 0.06 s, which `--help` does not need

    terminal.print_error(problem)
    return problem.exit_code
