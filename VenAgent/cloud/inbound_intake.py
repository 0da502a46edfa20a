"""What comes on the MQTT thread, until it was dealt with: unacknowledged at the broker, or kept.

As long as the agent keeps pace, a message is acknowledged when it was dealt with, and the broker
keeps it until then. When commands wait for their turn, all that are not dealt with are written to
the inbox and acknowledged, so that the broker hands out what comes behind them.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.inbox import Inbox
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.thread_handoff import INBOX_BYTES, INBOX_KEPT, ThreadHandoff

_log = logging.getLogger(__name__)

KEPT_FROM = 8
"""So many commands may wait before they are kept: a broker hands out 20 at once or more."""
KEPT_AT_ONCE = 100
KEPT_WITHIN_SEC = 0.02
"""So long may more be waited for, to keep it in the same turn: a stream may have no end."""


class InboundIntake:
    """Of one link, over its connections; used by the MQTT thread only."""

    def __init__(self, settings: MqttSettings, handoff: ThreadHandoff) -> None:
        self._settings = settings
        self._handoff = handoff
        self._inbox: Inbox | None = None
        self._kept: dict[int, tuple[int, InboundMessage]] = {}
        """The number in the inbox of each message, by its identity."""
        self._kept_bytes = 0
        self._connection = 0
        self._acknowledge: Callable[[int], object] = lambda mid: None
        self._unacknowledged: dict[int, InboundMessage] = {}
        """Handed on, by the broker's number for it on this connection."""
        self._coming: list[InboundMessage] = []
        """Not handed on yet: they are to be kept first."""

    def begin(self) -> None:
        """Hand on what an earlier process left."""
        if not self._settings.command_topic or not self._settings.inbox_path.exists():
            return
        try:
            for number, inbound in self._opened().left():
                self._note_kept(number, inbound)
                self._handoff.hand_on(inbound)
        except sqlite3.Error as error:
            _log.error("the inbox cannot be read: %s", error)

    def connected(self, connection: int, acknowledge: Callable[[int], object]) -> None:
        """A connection begins. What came on the one before is delivered again by the broker, unless
        it is kept. `acknowledge` takes the broker's number of a message."""
        self._connection, self._acknowledge = connection, acknowledge
        self._unacknowledged.clear()
        self._coming.clear()

    def disconnected(self) -> None:
        """The connection is over: nothing of it is held any more."""
        self._connection, self._acknowledge = 0, lambda mid: None
        self._unacknowledged.clear()
        self._coming.clear()

    def take(self, inbound: InboundMessage) -> None:
        """A message has come."""
        is_command = inbound.topic == self._settings.command_topic and bool(inbound.mid)
        if is_command and (self._coming or self._handoff.waiting >= KEPT_FROM) and self._has_room:
            self._coming.append(inbound)
            return
        self._offer(inbound)

    def _offer(self, inbound: InboundMessage) -> None:
        if inbound.mid:
            self._unacknowledged[inbound.mid] = inbound
        self._handoff.offer(inbound)

    @property
    def is_coming(self) -> bool:
        """Whether something is to be kept when nothing more comes at the moment."""
        return bool(self._coming)

    @property
    def is_due(self) -> bool:
        """Whether it is to be kept although more comes."""
        coming = self._coming
        if not coming:
            return False
        age_sec = time.monotonic() - coming[0].came_at
        return len(coming) >= KEPT_AT_ONCE or age_sec >= KEPT_WITHIN_SEC

    @property
    def _has_room(self) -> bool:
        return len(self._kept) < INBOX_KEPT and self._kept_bytes < INBOX_BYTES

    def keep(self) -> None:
        """Write down what came, and what came before it and still waits; acknowledge all of it."""
        coming, self._coming = self._coming, []
        topic = self._settings.command_topic
        earlier = [each for each in self._unacknowledged.values() if each.topic == topic]
        messages = [*earlier, *coming]
        try:
            numbers = self._opened().keep(messages)
        except sqlite3.Error as error:  # the broker keeps them, as it does without an inbox
            _log.error("the inbox cannot be written: %s", error)
            for inbound in coming:
                self._offer(inbound)
            return
        for number, inbound in zip(numbers, messages, strict=True):
            self._note_kept(number, inbound)
            self._unacknowledged.pop(inbound.mid, None)
            self._acknowledge(inbound.mid)
        for inbound in coming:
            self._handoff.hand_on(inbound)

    def settle(self) -> None:
        """Acknowledge or delete what was dealt with. Of what came on an earlier connection and was
        not kept nothing is said: the broker delivers it again."""
        done = []
        for inbound in self._handoff.acknowledged():
            number, _ = self._kept.pop(id(inbound), (None, None))
            if number is not None:
                self._kept_bytes -= len(inbound.payload)
                done.append(number)
            elif inbound.connection == self._connection:
                self._unacknowledged.pop(inbound.mid, None)
                self._acknowledge(inbound.mid)
        if done:
            try:
                self._opened().delete(done)
            except sqlite3.Error as error:  # they come again at the next start, with the same acks
                _log.error("the inbox cannot be written: %s", error)

    def _note_kept(self, number: int, inbound: InboundMessage) -> None:
        self._kept[id(inbound)] = (number, inbound)
        self._kept_bytes += len(inbound.payload)

    def _opened(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self._settings.inbox_path)
        return self._inbox

    def close(self) -> None:
        """The thread ends."""
        self.settle()
        if self._inbox is not None:
            self._inbox.close()
