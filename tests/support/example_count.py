"""How many examples a random search tries: all, or as many as a quick run has time for."""

from __future__ import annotations

import os

PERCENT = float(os.environ.get("VENAGENT_TEST_EXAMPLES_PERCENT", "100"))
LEAST = 5


def example_count(full: int = 100) -> int:
    """Of `full`, as many as this run tries."""
    return max(LEAST, round(full * PERCENT / 100.0))
