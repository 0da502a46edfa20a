"""The one error an operator sees: what went wrong, what to do about it, and where the log is."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path


class OpsError(Exception):
    """Ends a command with `exit_code` (1 if none is set).

    `advice` are sentences, `log` the file that tells more.
    """

    def __init__(
        self, what: str, *advice: str, log: Path | None = None, output: Sequence[str] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.log = log
        self.output = tuple(output)
        """Lines to show in place of the log's last ones."""
        self.exit_code = 1
        self.step = ""
        """What was being done, where that is one of several steps."""


def ops_error_of_system(error: OSError) -> OpsError | None:
    """What the system refused, for an operator; None where it may be a fault of ours."""
    advice = {
        errno.EACCES: "Run this as the user that ran `start` (with sudo if that was root), or set "
        "VENAGENT_HOME to a folder of your own.",
        errno.ENOSPC: "The disk is full: free some space, and do it again.",
        errno.EDQUOT: "Your quota is used up: free some space, and do it again.",
        errno.EROFS: "That disk is mounted read-only: look into the system's log why.",
        errno.ENOMEM: "End other programs, or give this machine more memory.",
        errno.EMFILE: "Allow more open files: ulimit -n 4096",
    }
    advice[errno.EPERM] = advice[errno.EACCES]
    if error.errno not in advice:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return OpsError(f"{where}{error.strerror}", advice[error.errno])


def unreachable_words(error: OSError) -> str:
    """Why an address does not answer, without the names that Python has for it."""
    reason = getattr(error, "reason", error)
    code = getattr(error, "code", None)  # it answers, and refuses
    if code is not None:
        return f"HTTP {code} {reason}"
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    said = reason.strerror if isinstance(reason, OSError) else None
    return str(said or reason)
