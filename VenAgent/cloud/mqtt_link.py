"""The MQTT link as the agent sees it: its thread, what comes in, and how it stands.

A message is acknowledged to the broker (PUBACK) only after the agent has dealt with it, so that
one that was delivered to a dying process is delivered again.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

import gevent
from gevent.event import Event as GreenEvent
from paho.mqtt.client import topic_matches_sub

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.inbound_queue import InboundQueue
from VenAgent.cloud.link_state import LinkState
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.mqtt_thread import MqttThread
from VenAgent.cloud.thread_handoff import ThreadHandoff

__all__ = ["MqttLink", "topic_matches_sub"]

_log = logging.getLogger(__name__)

TAKEN_AT_ONCE = 50
"""So many are looked at between two turns of others: a glance at each takes 0.05 ms."""
SWITCH_SEC = 0.0005
"""How long one thread may keep the other waiting for the interpreter: Python's 5 ms would stand
between a command and its handling, and between an ack and the wire."""


class MqttLink:
    """One link to one broker, from `start` to `stop`."""

    def __init__(self, settings: MqttSettings) -> None:
        self._handoff = ThreadHandoff()
        self._queue = InboundQueue(settings.command_topic)
        self._connection = MqttThread(settings, self._handoff)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    @property
    def state(self) -> LinkState:
        return self._handoff.state

    @property
    def dropped(self) -> int:
        """Messages that came while too many waited; the broker delivers them again."""
        return self._handoff.dropped

    @property
    def retained(self) -> int:
        """Messages that the broker had kept for later subscribers; none is obeyed."""
        return self._handoff.retained

    def start(
        self, on_message: Callable[[InboundMessage], None], on_state: Callable[[], None]
    ) -> None:
        """Connect, and call `on_message` and `on_state` in a greenlet of the caller's hub.

        `on_message` sees to it that `acknowledge` is called when the message was dealt with.
        """
        sys.setswitchinterval(SWITCH_SEC)
        self._arrived = GreenEvent()
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(self._arrived.set)
        self._handoff.notify = self._watcher.send
        self._reader = gevent.spawn(self._deliver, on_message, on_state, self.state)
        self._thread.start()

    def _deliver(
        self,
        on_message: Callable[[InboundMessage], None],
        on_state: Callable[[], None],
        known: LinkState,
    ) -> None:
        while True:
            self._arrived.wait()
            self._arrived.clear()
            while (message := self._next()) is not None:
                try:
                    on_message(message)
                # One that breaks us must not deafen us to the next.
                except (Exception, gevent.Timeout):  # noqa: BLE001
                    _log.exception(
                        "a message on %s could not be handled: %.200r",
                        message.topic,
                        message.payload,
                    )
                    self.acknowledge(message)
                gevent.sleep(0)  # a thousand may wait: an event's greenlets take their turn
            if self.state is not known:
                known = self.state
                on_state()

    def _next(self) -> InboundMessage | None:
        """What is dealt with next, of all that has come; None if nothing waits."""
        handoff, queue = self._handoff, self._queue
        while handoff.inbound:  # the last of it may have to go first
            for _ in range(min(len(handoff.inbound), TAKEN_AT_ONCE)):
                handoff.queued += 1  # before it leaves there: the thread counts both
                queue.add(handoff.inbound.popleft(), time.time())
            if handoff.inbound:
                gevent.sleep(0)
        if not queue:
            return None
        message = queue.take()
        handoff.queued = len(queue)
        return message

    def acknowledge(self, inbound: InboundMessage) -> None:
        """It is dealt with (a command: journalled): the broker need not deliver it again."""
        self._handoff.acknowledge(inbound)

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._handoff.wake()

    def reconnect(self) -> None:
        """Connect anew, with the credentials that there are now. What is in flight is waited for.

        Safe to call from any thread.
        """
        self._handoff.renew()

    def stop(self, timeout_sec: float = 5.0) -> None:
        """Send what can be sent, say offline, disconnect, and end the thread."""
        deadline = time.monotonic() + timeout_sec
        self._handoff.flush_until = deadline - timeout_sec / 2
        self._handoff.stopping = True
        self.wake()
        while self._thread.is_alive() and time.monotonic() < deadline:
            gevent.sleep(0.02)  # not join(): a greenlet never blocks on a thread
        if self._thread.is_alive():
            _log.warning("the MQTT thread did not end within %g s", timeout_sec)
            return
        self._reader.kill()
        self._watcher.close()
        self._handoff.close()

    def _run(self) -> None:
        self._connection.run()  # a frame of its own: what it holds is freed before the hub goes
        gevent.get_hub().destroy(destroy_loop=True)  # this thread's own, made by its sockets
