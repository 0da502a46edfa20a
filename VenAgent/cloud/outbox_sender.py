"""What goes out: from the outbox to the broker, and out of the outbox when the broker has it.

Acks and alerts go at once, live telemetry at its cadence. What waited while the broker was away is
sent beside them, oldest first and paced. AWS IoT Core takes 100 messages and 512 KiB a second from
a connection and discards what is beyond: all of it together keeps below that, a night's acks too.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from VenAgent.cloud.outbox import CHECKPOINT_SEC, Outbox, OutboxWaitingMessage
from VenAgent.cloud.token_bucket import TokenBucket

BACKLOG_WINDOW, LIVE_WINDOW, URGENT_WINDOW = 20, 30, 40
"""Up to how many messages in flight each kind may add to; AWS IoT Core allows 100. An ack finds
room however much telemetry is on its way."""
IDLE_SEC = 1.0
BURST_SEC = 0.25
"""What was not sent for so long may be caught up at once."""
WAIT_SEC = 0.1
"""The backlog goes in small lots, not by waking for each message."""
LIVE_SEC = 30.0
"""Telemetry that could not be handed over for so long, on a slow link, belongs to the backlog."""
MARK_EVERY_SEC = 5.0
MOST_MESSAGES_PER_SEC, MOST_AT_ONCE = 75.0, 20.0
MOST_BYTES_PER_SEC, MOST_BYTES_AT_ONCE = 384 * 1024.0, 24 * 1024.0
"""Of everything, whatever its rank: with one more message of 100 KB it is below AWS's limits in any
second. A faster pace, for a broker that takes it, raises them."""
SHRINK_PAGES = 64
"""A quarter of a megabyte, each time there is nothing else to do."""

Publish = Callable[[OutboxWaitingMessage], int]
"""Hands a message to the client; returns the number that its PUBACK will have."""


@dataclass(frozen=True)
class OutboxSenderPace:
    """How fast the backlog may go."""

    messages_per_sec: float = 50.0
    bytes_per_sec: float = 256 * 1024.0


@dataclass(frozen=True)
class _InFlight:
    """A message that was handed over `at` (monotonic s) and has no PUBACK yet."""

    row: int
    topic: str
    at: float


class OutboxSender:
    """Of one connection: what was in flight on the last one is in the outbox still.

    Times are monotonic seconds. It may be called as often as one likes.
    """

    def __init__(
        self, outbox: Outbox, publish: Publish, pace: OutboxSenderPace, now: float
    ) -> None:
        self._outbox = outbox
        self._publish = publish
        self._in_flight: dict[int, _InFlight] = {}
        self._confirmed: list[int] = []
        self._messages = TokenBucket(pace.messages_per_sec, pace.messages_per_sec * BURST_SEC, now)
        self._bytes = TokenBucket(pace.bytes_per_sec, pace.bytes_per_sec * BURST_SEC, now)
        self._all_messages = TokenBucket(
            max(pace.messages_per_sec, MOST_MESSAGES_PER_SEC),
            max(pace.messages_per_sec * BURST_SEC, MOST_AT_ONCE),
            now,
        )
        self._all_bytes = TokenBucket(
            max(pace.bytes_per_sec, MOST_BYTES_PER_SEC),
            max((pace.bytes_per_sec - MOST_BYTES_PER_SEC) * BURST_SEC, MOST_BYTES_AT_ONCE),
            now,
        )
        self._backlog_upto = outbox.newest()
        """Telemetry up to this number is backlog, the rest is live."""
        self._marks: deque[tuple[float, int]] = deque()
        self._tidied_at = now
        self.held_back = False
        """Whether acks or live telemetry wait for what all together may send."""

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def oldest(self) -> _InFlight | None:
        """The message that has waited longest for its PUBACK."""
        return next(iter(self._in_flight.values()), None)

    def confirmed(self, mid: int) -> None:
        """PUBACK. (Birth and goodbye have no row in the outbox.)"""
        in_flight = self._in_flight.pop(mid, None)
        if in_flight is not None:
            self._confirmed.append(in_flight.row)

    def settle(self) -> None:
        """Delete what was confirmed."""
        if self._confirmed:
            self._outbox.delete(self._confirmed)
            self._confirmed.clear()

    def pump(self, now: float) -> float:
        """Settle, and hand over what may go; how long nothing more is due (s)."""
        self.settle()
        self._mark(now)
        self.held_back = False
        wait_sec = self._send(self._outbox.urgent, URGENT_WINDOW, now)
        wait_sec = min(wait_sec, self._send(self._live, LIVE_WINDOW, now))
        wait_sec = min(wait_sec, self._send_backlog(now))
        self._send_bulk(now)
        if not self._in_flight and wait_sec >= IDLE_SEC:
            self._tidy(now)
        return wait_sec

    def _tidy(self, now: float) -> None:
        self._outbox.shrink(SHRINK_PAGES)
        if now - self._tidied_at >= CHECKPOINT_SEC:
            self._tidied_at = now
            self._outbox.checkpoint()

    def _live(self, limit: int, skip: list[int]) -> list[OutboxWaitingMessage]:
        return self._outbox.telemetry(limit, skip, after=self._backlog_upto)

    def _send(
        self,
        source: Callable[[int, list[int]], list[OutboxWaitingMessage]],
        window: int,
        now: float,
    ) -> float:
        room = window - len(self._in_flight)
        if room > 0:
            for waiting in source(room, self._rows_in_flight()):
                wait_sec = self._wait_for_all_sec(now)
                if wait_sec > 0:
                    self.held_back = True
                    return min(wait_sec, IDLE_SEC)
                self._hand_over(waiting, now)
        return IDLE_SEC

    def _send_backlog(self, now: float) -> float:
        """The backlog pays for all that was sent: together they keep the pace."""
        room = BACKLOG_WINDOW - len(self._in_flight)
        if room <= 0:
            return IDLE_SEC  # a PUBACK comes first
        wait_sec = self._wait_sec(now)
        if wait_sec > 0:
            return min(max(wait_sec, WAIT_SEC), IDLE_SEC)
        rows = self._outbox.telemetry(room, self._rows_in_flight(), upto=self._backlog_upto)
        for waiting in rows:
            if self._wait_sec(now) > 0:
                return WAIT_SEC
            self._hand_over(waiting, now)
        return IDLE_SEC

    def _send_bulk(self, now: float) -> None:
        """What may be late goes when all else has gone, one after the other, at the same pace."""
        if len(self._in_flight) < BACKLOG_WINDOW and self._wait_sec(now) <= 0:
            for waiting in self._outbox.bulk(1, self._rows_in_flight()):
                self._hand_over(waiting, now)

    def _wait_sec(self, now: float) -> float:
        pace_sec = max(self._messages.wait_sec(now), self._bytes.wait_sec(now))
        return max(pace_sec, self._wait_for_all_sec(now))

    def _wait_for_all_sec(self, now: float) -> float:
        return max(self._all_messages.wait_sec(now), self._all_bytes.wait_sec(now))

    def _hand_over(self, waiting: OutboxWaitingMessage, now: float) -> None:
        size = len(waiting.payload) + len(waiting.topic)
        for bucket, amount in (
            (self._messages, 1),
            (self._bytes, size),
            (self._all_messages, 1),
            (self._all_bytes, size),
        ):
            bucket.spend(amount)
        self._in_flight[self._publish(waiting)] = _InFlight(waiting.id, waiting.topic, now)

    def _rows_in_flight(self) -> list[int]:
        return [in_flight.row for in_flight in self._in_flight.values()]

    def _mark(self, now: float) -> None:
        """Telemetry that was put in long ago is live no more."""
        if not self._marks or now - self._marks[-1][0] >= MARK_EVERY_SEC:
            if not self._outbox.is_current():
                raise sqlite3.OperationalError("it was damaged, and another one was begun")
            self._marks.append((now, self._outbox.newest()))
        while now - self._marks[0][0] >= LIVE_SEC:
            self._backlog_upto = self._marks.popleft()[1]
