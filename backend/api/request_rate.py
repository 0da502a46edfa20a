"""How often a caller may ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

BURST_SEC = 4.0
MOST_CALLERS = 10_000


class RequestRateLimit:
    """A bucket of tokens for each caller."""

    def __init__(self, per_sec: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_sec = per_sec
        self._most = max(per_sec * BURST_SEC, 1.0)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_sec(self, caller: str) -> float:
        """0 when the request may pass (and takes a token), else how long to wait."""
        now = self._clock()
        tokens, at = self._buckets.pop(caller, (self._most, now))
        tokens = min(self._most, tokens + (now - at) * self._per_sec)
        passes = tokens >= 1
        self._buckets[caller] = (tokens - 1 if passes else tokens, now)
        while len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1 - tokens) / self._per_sec
