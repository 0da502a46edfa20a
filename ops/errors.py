"""The one error an operator sees: what went wrong, what to do about it, and where the log is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class OpsError(Exception):
    """Ends a command with exit code 1. `advice` are sentences, `log` the file that tells more."""

    def __init__(
        self, what: str, *advice: str, log: Path | None = None, output: Sequence[str] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.log = log
        self.output = tuple(output)
        """Lines to show in place of the log's last ones."""
        self.step = ""
        """What was being done, where that is one of several steps."""
