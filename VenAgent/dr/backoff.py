"""When to try again what failed: further and further apart, without end."""

from __future__ import annotations

from dataclasses import dataclass

RETRY_SEC = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@dataclass
class Backoff:
    """`due_ts`: when to try again (epoch s); None while nothing has failed."""

    due_ts: float | None = None
    tries: int = 0
    first_ts: float | None = None
    """When it failed first."""

    def failed(self, now: float) -> None:
        self.first_ts = now if self.first_ts is None else self.first_ts
        self.due_ts = now + RETRY_SEC[min(self.tries, len(RETRY_SEC) - 1)]
        self.tries += 1

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        if self.due_ts is not None:
            self.due_ts += step_sec
        if self.first_ts is not None:
            self.first_ts += step_sec
