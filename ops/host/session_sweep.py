"""`python -m ops.host.session_sweep SESSION`: ends what is left in it; 1 if there was anything.

scripts/test.sh runs the platform tests in a session of their own, and looks after them.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from ops.host.processes import ProcessRecord, _boot_id, end_process, processes_of_session


def _command_line(pid: int) -> str:
    """What a process was started with."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "(gone)"


def sweep_session(session: int) -> list[str]:
    """End all of the session; what they were."""
    left = processes_of_session(ProcessRecord("test", session, 0, _boot_id()))
    found = [f"{process.pid} {_command_line(process.pid)}" for process in left]
    for process in left:
        end_process(process, ((signal.SIGKILL, 5.0),))
    return found


if __name__ == "__main__":
    remains = sweep_session(int(sys.argv[1]))
    if remains:
        print("error: the tests left these processes, ended now:", file=sys.stderr)
        print("\n".join(remains), file=sys.stderr)
        sys.exit(1)
