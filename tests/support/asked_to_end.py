"""Programs that a test ends."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from typing import Any


def asked_to_end(process: subprocess.Popen[Any]) -> None:
    """Until it has ended. mosquitto 2.0 loses a SIGTERM that comes between its listening and its
    loop, so it is asked again and again; after a minute it is killed."""
    deadline = time.monotonic() + 60.0
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        else:
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
