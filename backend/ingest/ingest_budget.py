"""How much may come of what nobody asked for: refused messages that are kept, and new VENs.

Without bounds one client fills the disk: 20 s of garbage were 19 MB of dead letters, and 30,000
invented names as many VENs. Pure: the clock is the caller's.
"""

from __future__ import annotations

from collections import OrderedDict

MOST_CLIENTS = 10_000


class IngestBudget:
    """Tokens that come back with time: `burst` at once, then `per_sec`."""

    def __init__(self, *, burst: float, per_sec: float) -> None:
        self._burst, self._per_sec = burst, per_sec
        self._tokens, self._at = burst, float("-inf")

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` are let through at `now` (seconds, of any clock)."""
        if now > self._at:
            gained = (now - self._at) * self._per_sec
            self._tokens = min(self._burst, self._tokens + gained)
            self._at = now
        taken = min(wanted, int(self._tokens))
        self._tokens -= taken
        return taken


class DeadLetterBudget:
    """Of each client (its topic) so many at once, and of all together; then one a second."""

    def __init__(self, *, per_client: int = 120, in_all: int = 600) -> None:
        self._per_client = per_client
        self._all = IngestBudget(burst=in_all, per_sec=1.0)
        self._clients: OrderedDict[str, IngestBudget] = OrderedDict()

    def allows(self, client: str, now: float) -> bool:
        budget = self._clients.pop(client, None)
        if budget is None:
            budget = IngestBudget(burst=self._per_client, per_sec=1.0)
        self._clients[client] = budget
        while len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return budget.take(1, now) == 1 and self._all.take(1, now) == 1
