"""Waiting until something is so."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for_condition(
    condition: Callable[[], bool], timeout_sec: float, every_sec: float = 0.05
) -> bool:
    """Whether the condition comes true within that time."""
    deadline = time.monotonic() + timeout_sec
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_sec)
    return True
