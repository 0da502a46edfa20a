"""What a VEN publishes on its own platform's message bus: events, alerts and figures."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

import gevent

from VenAgent.cloud.outbox import Outbox, OutboxMessage, OutboxRank
from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.json_codec import encode_json
from VenAgent.dr.event import Event
from VenAgent.reporting.event_view import event_view_for_bus
from VenAgent.volttron_compat import (
    RPC_FAILURES,
    format_timestamp,
    get_aware_utc_now,
    raise_volttron_compat_alert,
    volttron_compat_failure_text,
)

_log = logging.getLogger(__name__)


class BusPublisher:
    """Nothing of it is waited for; an alert goes to the cloud too.

    `wake_link`: the outbox has something new.
    """

    def __init__(
        self,
        agent: Any,
        outbox: Outbox,
        ven_id: str,
        alerts_topic: str,
        wake_link: Callable[[], None],
    ) -> None:
        self._agent = agent
        self._outbox = outbox
        self._wake_link = wake_link
        self.reconfigure(ven_id, alerts_topic)

    def reconfigure(self, ven_id: str, alerts_topic: str) -> None:
        """Whose messages these are, and the cloud's topic for alerts."""
        self._ven_id = ven_id
        self._alerts_topic = alerts_topic

    def event(self, event: Event) -> None:
        """An event's state changed."""
        _log.info(
            "event %s %s: %s kW asked for, circuits %s",
            event.event_id,
            event.state.value,
            event.wanted_kw,
            ", ".join(circuit.circuit_id for circuit in event.circuits) or "none",
        )
        self.publish("event", event_view_for_bus(event))

    def alert(self, body: Mapping[str, Any]) -> None:
        """An alert begins or ends."""
        _log.warning("alert %s %s: %s", body["severity"], body["code"], body["message"])
        try:
            self._outbox.put(
                [OutboxMessage(self._alerts_topic, encode_json(dict(body)), OutboxRank.ACK)]
            )
        except sqlite3.Error as error:
            _log.error("the alert could not be put into the outbox: %s", error)
        else:
            self._wake_link()
        self.publish("alert", dict(body))
        gevent.spawn(self._raise_on_platform, body)

    def _raise_on_platform(self, body: Mapping[str, Any]) -> None:
        """The same through VOLTTRON's health system, under the alert's code and subject."""
        subject = body["context"].get("subject")
        key = f"{body['code']}:{subject}" if subject else body["code"]
        is_over = body["severity"] == AlertSeverity.CLEARED.value
        try:
            raise_volttron_compat_alert(self._agent, key, body["message"], is_over=is_over)
        except RPC_FAILURES as failure:
            _log.warning(
                "the alert did not reach VOLTTRON: %s", volttron_compat_failure_text(failure)
            )

    def publish(self, what: str, message: Any) -> None:
        """To `ven/{venId}/…` on the bus, for a historian or another agent."""
        self.publish_as(f"ven/{self._ven_id}/{what}", {}, message)

    def publish_as(self, topic: str, headers: Mapping[str, Any], message: Any) -> None:
        """To any topic of the bus, stamped with the time."""
        now = format_timestamp(get_aware_utc_now())
        self._agent.vip.pubsub.publish(
            "pubsub", topic, headers={"TimeStamp": now, "Date": now, **headers}, message=message
        )
