"""`python -m ops COMMAND`: what scripts/ven_control.sh runs."""

import os
import sys

try:
    from ops.cli.quick_commands import quick_command, quick_command_arguments
    from ops.host.exit_code import exit_code_of

    def take_volttron_home() -> int:
        sys.argv[1:] = quick_command_arguments(sys.argv[1:], os.environ)
        return 0

    if refused := exit_code_of(take_volttron_home):
        sys.exit(refused)
    quick = quick_command(sys.argv[1:])
    if quick is not None and "_VEN_CONTROL_COMPLETE" not in os.environ:
        sys.exit(exit_code_of(quick))

    from ops.cli.ven_control import ven_control

    ven_control()
except KeyboardInterrupt:  # already while the commands are loaded
    sys.exit(130)
