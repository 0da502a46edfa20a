"""So much a second on average, and so much at once. No clock of its own."""

from __future__ import annotations


class TokenBucket:
    """`rate` tokens a second, at most `capacity`. Times are monotonic seconds.

    Spending may leave a debt, which is waited for: so one that is larger than the bucket passes,
    and the rate holds all the same.
    """

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._tokens = capacity
        self._at = now

    def wait_sec(self, now: float) -> float:
        """How long until something may be spent; 0 if now."""
        self._refill(now)
        return 0.0 if self._tokens > 0 else max(-self._tokens / self._rate, 1e-6)

    def spend(self, amount: float) -> None:
        """Take `amount`, whether it is there or not."""
        self._tokens -= amount

    def take(self, now: float) -> bool:
        """Take one token if there is a whole one; whether there was."""
        self._refill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
            self._at = now
