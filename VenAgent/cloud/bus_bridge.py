"""The bridge between the VOLTTRON bus and MQTT: chosen topics, both ways, bounded.

Events come first. What comes from the bus waits in a bounded queue and goes out as one message an
interval, below all else in the outbox and never more than a few there. A flood on the bus is not
read on: the bridge leaves the topics for a while, so that the platform does not deliver them.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from VenAgent.cloud.bus_batches import BusBatches
from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.cloud.token_bucket import TokenBucket
from VenAgent.config.bus_bridge_config import BusBridgeConfig
from VenAgent.contract.json_codec import decode_json
from VenAgent.contract.message_refused import MessageRefused
from VenAgent.contract.reasons import ReasonCode
from VenAgent.contract.topics import bus_out_topic

_log = logging.getLogger(__name__)

IN_OUTBOX = 3
"""Batches that may wait in the outbox; while they do, the queue in memory fills and drops."""
YIELD_EVERY = 20
MAX_TOPIC_LENGTH = 255

Publish = Callable[[str, Mapping[str, Any], Any], None]


class BusBridge:
    """One configuration's bridge, from `start` to `stop`. `publish(topic, headers, message)`
    goes onto the bus; `pubsub` is the agent's `vip.pubsub`."""

    def __init__(
        self,
        config: BusBridgeConfig,
        ven_id: str,
        identity: str,
        pubsub: Any,
        outbox: Outbox,
        publish: Publish,
        wake: Callable[[], None],
    ) -> None:
        self.config = config
        self.ven_id = ven_id
        self._identity = identity
        self._pubsub = pubsub
        self._outbox = outbox
        self._publish = publish
        self._wake = wake
        self._topic = bus_out_topic(ven_id)
        self._accepted = config.accepted(ven_id)
        self.batches = BusBatches(ven_id, config.queue_length)
        self.published = 0
        self.floods = 0
        """How often the bridge stopped listening because too much came."""
        self._listening = False
        self._second = 0
        self._came = 0
        self._limit = _per_second(config.max_published_per_sec)
        self._greenlets: list[gevent.Greenlet] = []

    @property
    def filters(self) -> tuple[str, ...]:
        """MQTT topics to subscribe to."""
        return tuple(f"{prefix}/#" for prefix in self._accepted)

    def start(self) -> None:
        if self._heard():
            self._listen()
            self._greenlets.append(gevent.spawn(self._send_regularly))

    def stop(self) -> None:
        gevent.killall(self._greenlets)
        self._greenlets.clear()
        if self._listening:
            self._leave()
        for prefix in self._heard():
            self._pubsub.unsubscribe("pubsub", prefix, _pass_over)

    def status(self) -> dict[str, Any]:
        return {
            "listening": self._listening,
            "forwarded": self.batches.forwarded,
            "waiting": len(self.batches),
            "dropped": self.batches.dropped,
            "unfit": self.batches.unfit,
            "floods": self.floods,
            "published": self.published,
        }

    # ---- from the bus to MQTT --------------------------------------------------------------

    def _listen(self) -> None:
        self._listening = True
        for prefix in self._heard():
            self._pubsub.subscribe("pubsub", prefix, self._on_bus)
            # What is still on its way when we leave must find someone: without, VOLTTRON's
            # client answers each such message with a list of all its subscriptions.
            self._pubsub.subscribe("pubsub", prefix, _pass_over)

    def _leave(self) -> None:
        self._listening = False
        for prefix in self._heard():
            self._pubsub.unsubscribe("pubsub", prefix, self._on_bus)

    def _heard(self) -> list[str]:
        """What we subscribe to: each prefix but its last letter.

        VOLTTRON matches any beginning of a topic, and ends all of an agent's subscriptions to the
        same text at once: under the text of our own meter (`devices/…/`) or of the actuator's
        announcements, we would deafen ourselves.
        """
        if not self.config.enabled:
            return []
        return [prefix[:-1].rstrip("/") for prefix in self.config.forward]

    def _on_bus(
        self, peer: str, sender: str, bus: str, topic: str, headers: Mapping[str, Any], message: Any
    ) -> None:
        """One message of the bus. It may be one of very many: nothing here may be slow."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._came = second, 0
        self._came += 1
        if not self._listening:
            return
        if self._came > self.config.flood_per_sec:
            self._pause()
            return
        if sender != self._identity and _is_below(topic, self.config.forward):
            self.batches.add(topic, now, headers, message)

    def _pause(self) -> None:
        self.floods += 1
        pause_sec = self.config.flood_pause_sec
        _log.warning(
            "bus bridge: more than %g messages in a second: not listening for %g s",
            self.config.flood_per_sec,
            pause_sec,
        )
        self._leave()
        self._greenlets = [greenlet for greenlet in self._greenlets if not greenlet.dead]
        self._greenlets.append(gevent.spawn_later(pause_sec, self._listen))

    def _send_regularly(self) -> None:
        while True:
            gevent.sleep(self.config.interval_sec)
            try:
                self._send_batch()
            except sqlite3.Error as error:
                _log.error("bus bridge: a batch could not be put into the outbox: %s", error)

    def _send_batch(self) -> None:
        if self._outbox.bulk_waits(self._topic) >= IN_OUTBOX:
            return
        limit = max(int(self.config.max_forwarded_per_sec * self.config.interval_sec), 1)
        for number, payload in enumerate(self.batches.take(limit)):
            if payload is not None:
                self._outbox.put([OutboxMessage(self._topic, payload, OutboxRank.BULK)])
                self._wake()
            elif number % YIELD_EVERY == 0:
                gevent.sleep(0)

    # ---- from MQTT to the bus --------------------------------------------------------------

    def receive(self, topic: str, payload: bytes) -> None:
        """Publish what came on MQTT. Raises MessageRefused for what may not be."""
        if not self._limit.take(time.monotonic()):
            raise MessageRefused(
                ReasonCode.TOO_MANY,
                f"more than {self.config.max_published_per_sec:g} messages a second",
            )
        body = decode_json(payload)
        bus_topic = self._bus_topic(topic, body)
        headers = body.get("headers", {})
        if "message" not in body or not isinstance(headers, dict):
            raise MessageRefused(
                ReasonCode.BAD_FIELD,
                'must be {"message": …}, and "headers" an object if there are any',
                body,
            )
        self._publish(bus_topic, headers, body["message"])
        self.published += 1

    def _bus_topic(self, topic: str, body: dict[str, Any]) -> str:
        prefix = next((p for p in self._accepted if topic.startswith(f"{p}/")), None)
        rest = topic[len(prefix) + 1 :] if prefix is not None else ""
        levels = rest.split("/")
        clean = rest.isprintable() and all(level.strip() == level != "" for level in levels)
        if not clean or len(rest) > MAX_TOPIC_LENGTH:
            raise MessageRefused(
                ReasonCode.BAD_TOPIC, f"{rest[:64]!r} is no topic of the bus", body
            )
        if not _is_below(rest, self.config.publish):
            allowed = ", ".join(self.config.publish)
            raise MessageRefused(
                ReasonCode.BAD_TOPIC,
                f"{rest[:64]!r} is not below a prefix that may be published: {allowed}",
                body,
            )
        return rest


def _is_below(topic: str, prefixes: tuple[str, ...]) -> bool:
    return any(topic == prefix or topic.startswith(f"{prefix}/") for prefix in prefixes)


def _pass_over(*_: Any) -> None:
    """A subscriber that wants nothing."""


def _per_second(rate: float) -> TokenBucket:
    """As many at once as in a second, and at least one."""
    return TokenBucket(rate, max(rate, 1.0), time.monotonic())
