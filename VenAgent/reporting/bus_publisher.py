"""What a VEN tells its own platform: events, alerts and figures on the message bus."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gevent

from VenAgent.cloud.outbox import OutboxMessage, OutboxRank
from VenAgent.contract.alerts import Severity
from VenAgent.contract.json_codec import encode_json
from VenAgent.volttron_compat import (
    RPC_FAILURES,
    describe_failure,
    format_timestamp,
    get_aware_utc_now,
    raise_health_alert,
)

if TYPE_CHECKING:
    from VenAgent.ven import Ven

_log = logging.getLogger(__name__)


class BusPublisher:
    """Nothing of it is waited for; an alert goes to the cloud too."""

    def __init__(self, ven: Ven, agent: Any) -> None:
        self._ven = ven
        self._agent = agent

    def event(self, event: Mapping[str, Any]) -> None:
        """An event's state changed."""
        _log.info(
            "event %s %s: %s kW asked for, circuits %s",
            event["event_id"],
            event["state"],
            event["requested_kw"],
            ", ".join(str(circuit["circuit_id"]) for circuit in event.get("circuits", ()))
            or "none",
        )
        self.publish("event", dict(event))

    def alert(self, body: Mapping[str, Any]) -> None:
        """An alert begins or ends."""
        _log.warning("alert %s %s: %s", body["severity"], body["code"], body["message"])
        try:
            topic = self._ven.config.topic_names().alerts
            self._ven.outbox.put([OutboxMessage(topic, encode_json(dict(body)), OutboxRank.ACK)])
        except sqlite3.Error as error:
            _log.error("the alert could not be put into the outbox: %s", error)
        else:
            self._ven.wake_link()
        self.publish("alert", dict(body))
        gevent.spawn(self._tell_platform, body)

    def _tell_platform(self, body: Mapping[str, Any]) -> None:
        """The same through VOLTTRON's health system, under the alert's code and subject."""
        subject = body["context"].get("subject")
        key = f"{body['code']}:{subject}" if subject else body["code"]
        is_over = body["severity"] == Severity.CLEARED.value
        try:
            raise_health_alert(self._agent, key, body["message"], is_over=is_over)
        except RPC_FAILURES as failure:
            _log.warning("the alert did not reach VOLTTRON: %s", describe_failure(failure))

    def publish(self, what: str, message: Any) -> None:
        """To `ven/{venId}/…` on the bus, for a historian or another agent."""
        self.publish_as(f"ven/{self._ven.config.ven_id}/{what}", {}, message)

    def publish_as(self, topic: str, headers: Mapping[str, Any], message: Any) -> None:
        now = format_timestamp(get_aware_utc_now())
        self._agent.vip.pubsub.publish(
            "pubsub", topic, headers={"TimeStamp": now, "Date": now, **headers}, message=message
        )
