"""Where the MQTT thread and the agent's greenlets meet, and what passes between them.

Inside a VOLTTRON agent sockets and TLS are gevent's, threads are not. So neither side waits on a
lock of the other: what came in lies in a bounded queue and the agent's hub is woken by `async_`;
what goes out lies in the outbox and the thread is woken through a pipe.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.link_state import LinkPhase, LinkState

INBOUND_KEPT = 1_000
INBOX_KEPT = 20_000
INBOX_BYTES = 32_000_000


class ThreadHandoff:
    """One link's. Deques are safe between threads; each method says whose it is."""

    def __init__(self) -> None:
        self.state = LinkState(LinkPhase.CONNECTING, time.time())
        self.inbound: deque[InboundMessage] = deque()
        self.queued = 0
        """How many the agent has taken from there and not yet begun with; the agent writes it."""
        self.dropped = 0
        """Messages that came while the queue was full."""
        self.retained = 0
        """Messages that the broker had kept for later subscribers; none is obeyed."""
        self.missed = False
        """One of them had a guarantee: the broker delivers it again on another connection."""
        self.stopping = False
        self.renewing = False
        """The connection is to be made anew, with other credentials."""
        self.flush_until = 0.0
        """How long (monotonic) to go on sending while stopping."""
        self.notify: Callable[[], None] = lambda: None
        """Wakes the agent's hub; safe to call from the thread."""
        self._closed = False
        self._acknowledged: deque[InboundMessage] = deque()
        self.wake_read, self._wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(self._wake_write, False)

    # ---- the agent's side: greenlets ----------------------------------------------------

    def acknowledge(self, inbound: InboundMessage) -> None:
        if inbound.mid or inbound.kept_ts is not None:
            self._acknowledged.append(inbound)
            self.wake()

    def wake(self) -> None:
        if self._closed:
            return
        with suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._wake_write, b"x")

    def renew(self) -> None:
        """Safe to call from any thread."""
        self.renewing = True
        self.wake()

    def close(self) -> None:
        """After the thread has ended."""
        self._closed = True
        os.close(self.wake_read)
        os.close(self._wake_write)

    # ---- the thread's side ---------------------------------------------------------------

    @property
    def has_room_again(self) -> bool:
        """For what was missed: all that had found room was handed on."""
        return self.missed and not self.waiting

    @property
    def waiting(self) -> int:
        """How many have come and the agent has not begun with."""
        return len(self.inbound) + self.queued

    def offer(self, inbound: InboundMessage) -> None:
        """What comes without a guarantee (QoS 0) leaves half of the room to what has one."""
        room = INBOUND_KEPT if inbound.mid else INBOUND_KEPT // 2
        if self.waiting >= room:
            self.dropped += 1
            self.missed = self.missed or bool(inbound.mid)
            return
        self.hand_on(inbound)

    def hand_on(self, inbound: InboundMessage) -> None:
        """What is in the inbox, and so has found its room."""
        self.inbound.append(inbound)
        self.notify()

    def acknowledged(self) -> Iterator[InboundMessage]:
        """What was dealt with since the last call."""
        while self._acknowledged:
            yield self._acknowledged.popleft()

    def set_state(self, phase: LinkPhase, why: str = "") -> bool:
        """Set the state and tell the agent; whether anything changed."""
        before = self.state
        if (phase, why) == (before.phase, before.why):
            return False
        same = (phase is LinkPhase.ONLINE) == before.online
        self.state = LinkState(phase, before.since_ts if same else time.time(), why)
        self.notify()
        return True

    def drain_wakes(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.wake_read, 65_536)
