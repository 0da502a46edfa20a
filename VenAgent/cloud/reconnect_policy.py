"""When to connect again, and what a row of short connections means. No I/O, no clock.

The pauses are drawn at random ("full jitter"), so that a fleet does not come back all at once, and
are never shorter than a second: AWS IoT Core takes one CONNECT a second from a client id.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

SHORTEST_SEC = 1.0
LONGEST_SEC = 60.0
FIRST_WINDOW_SEC = 4.0
QUICK_SEC = 30.0
"""A connection that ended sooner says something, if the next came about at once."""
QUICK_ENDS = 3
CONTESTED_PAUSE_SEC = (30.0, 300.0)
LASTING_SEC = 600.0
"""Longer than such a pause: by then whoever contested it would have come back."""


@dataclass(frozen=True)
class ReconnectReason:
    """How a connection ended, or why there was none."""

    why: str
    refused: bool = False
    """The broker answered, and would not have us."""
    online_sec: float | None = None
    """How long it served; None: it never did."""
    hung_up: bool = False
    """The other side closed it, for no reason that we know."""
    unconfirmed: str | None = None
    """The topic of the oldest message that had no PUBACK then."""


class ReconnectPolicy:
    """The memory from one connection to the next."""

    def __init__(
        self, client_id: str, where: str, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._client_id = client_id
        self._where = where
        self._uniform = uniform
        self._tries = 0
        self._quick: list[ReconnectReason] = []
        """The last connections, if all came about at once and were ended soon by the other side."""

    def ended(self, end: ReconnectReason) -> None:
        """One more is over. MQTT 3.1.1 has no word for why a broker hangs up: it is read from the
        row of them."""
        online_sec = end.online_sec
        lasted = online_sec is not None and online_sec >= QUICK_SEC
        self._tries = 0 if lasted else self._tries + 1
        contested_again = self._contested and online_sec is not None and online_sec < LASTING_SEC
        if online_sec is None or not (end.hung_up and (contested_again or not lasted)):
            self._quick.clear()
        else:
            self._quick = [*self._quick, end][-QUICK_ENDS:]

    @property
    def shortest_sec(self) -> float:
        """What is kept to even when there is a reason to connect at once."""
        return SHORTEST_SEC

    @property
    def _contested(self) -> bool:
        return len(self._quick) >= QUICK_ENDS

    def pause_sec(self) -> float:
        """How long to wait before the next try."""
        if self._contested:
            return self._uniform(*CONTESTED_PAUSE_SEC)
        longest = min(LONGEST_SEC, FIRST_WINDOW_SEC * 2.0 ** min(self._tries, 10))
        return self._uniform(SHORTEST_SEC, longest)

    def trouble(self, online_sec: float = 0.0) -> str:
        """What a person should do about the short connections; empty if there is nothing, or if
        the present one has lasted."""
        if not self._contested or online_sec >= LASTING_SEC:
            return ""
        again = f"{self._where} ends each connection soon after it was made"
        topics = {end.unconfirmed for end in self._quick}
        if len(topics) == 1 and None not in topics:
            return (
                f"{again}, with a message on {topics.pop()} not confirmed: "
                f"does the policy (ACL) of {self._client_id} allow to publish there?"
            )
        return (
            f"{again}: another client connects with our id {self._client_id} and takes our place. "
            f"Give each site a ven_id and certificate of its own"
        )
