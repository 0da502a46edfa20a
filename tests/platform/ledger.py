"""What the tests of faults found, kept for `benchmarks/faults.py`.

Each try is a line of JSON in `$VENAGENT_FAULTS`: the fault, whether the site survived it, and how
long it took to be normal again. Without the variable nothing is kept.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Try:
    """One fault, once. `to_normal_sec`: from when normal was due to when it was."""

    def __init__(self) -> None:
        self.to_normal_sec: float | None = None
        self._due_ts = 0.0

    def struck(self) -> None:
        """The fault has happened: normal is due from now on."""
        self._due_ts = time.time()

    def ends(self, end_ts: float) -> None:
        """Of an event that outlives the fault: normal is not due before its end (epoch s)."""
        self._due_ts = max(self._due_ts, end_ts)

    def normal(self, since_ts: float | None = None) -> None:
        """All is as it should be: now, or as it turned out since `since_ts`."""
        self.to_normal_sec = max(0.0, (since_ts or time.time()) - self._due_ts)


@contextmanager
def fault(name: str) -> Iterator[Try]:
    """A try that counts as survived if the test gets to the end of it."""
    attempt, survived = Try(), False
    try:
        yield attempt
        survived = True
    finally:
        kept = os.environ.get("VENAGENT_FAULTS")
        if kept:
            line = {"fault": name, "survived": survived, "to_normal_sec": attempt.to_normal_sec}
            with Path(kept).open("a") as file:
                file.write(json.dumps(line) + "\n")
