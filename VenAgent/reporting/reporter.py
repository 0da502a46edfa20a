"""What the site reports: telemetry, loads and shadow to the cloud, and figures to the bus."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from VenAgent.cloud.outbox import Outbox, OutboxMessage
from VenAgent.cloud.shadow_client import ShadowClient
from VenAgent.config import AgentConfig
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.telemetry import Telemetry, TelemetryQuality, split_telemetry
from VenAgent.dr.engine import Engine
from VenAgent.dr.panel import PanelReading
from VenAgent.reporting import telemetry_builder as report

if TYPE_CHECKING:
    from VenAgent.site.meter import Meter

_log = logging.getLogger(__name__)


class Reporter:
    """`publish(what, message)` goes to the bus; `wake_link`: the outbox has something new."""

    def __init__(
        self,
        config: AgentConfig,
        engine: Engine,
        meter: Meter,
        outbox: Outbox,
        shadow: ShadowClient,
        publish: Callable[[str, Any], None],
        wake_link: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._meter = meter
        self._outbox = outbox
        self._publish = publish
        self._wake_link = wake_link
        self._event_changed = False
        self._closed: dict[str, bool | None] = {}
        """Of the contactors, as the shadow was last reported."""
        self.reconfigure(config, shadow)

    def reconfigure(self, config: AgentConfig, shadow: ShadowClient) -> None:
        """A new configuration: loads and shadow go with the next report."""
        self._config = config
        self._topics = config.topic_names()
        self._shadow = shadow
        self._count = 0
        self._shadow_due = 0.0

    def telemetry(self, seq: int = 0) -> Telemetry:
        """The site as it is now."""
        now = time.time()
        quality = self._meter.points.quality(now)
        if self._engine.is_meter_frozen and quality is TelemetryQuality.GOOD:
            quality = TelemetryQuality.STALE
        reading = self._engine.believed(self._meter.reading(now))
        return report.build_telemetry(self._engine, reading, quality, seq=seq, now=now)

    def shadow(self, telemetry: Telemetry) -> dict[str, Any]:
        """The shadow's reported state."""
        interval_sec = self._config.report_interval_sec
        return report.build_shadow_telemetry(
            self._engine, telemetry, report_interval_sec=interval_sec
        )

    def report(self) -> None:
        """One telemetry, with the loads and the shadow when they are due, in one transaction.

        Raises sqlite3.Error if the outbox does not take it.
        """
        try:
            self._outbox.put_numbered(self._messages)
        finally:
            self._wake_link()
        now = time.time()
        reading = self._engine.believed(self._meter.reading(now))
        values = report.build_historian_telemetry(self._engine, reading, now)
        units = {
            name: {"units": report.UNITS[name], "type": "float", "tz": "UTC"} for name in values
        }
        self._publish("all", [values, units])

    def event_changed(self) -> None:
        """An event's state changed: the shadow follows with the next reading.

        The engine has the meter read after a change; a shadow made before would report circuits
        as they were.
        """
        self._event_changed = True

    def reading(self, reading: PanelReading) -> None:
        """A new reading: report the shadow if an event's state or a contactor has changed since.

        Between a reading and the writes that follow from it nothing else is done.
        """
        closed = {name: circuit.closed for name, circuit in reading.circuits.items()}
        if (self._event_changed or closed != self._closed) and not self._engine.is_at_work:
            self._event_changed, self._closed = False, closed
            self.report_shadow()

    def report_shadow(self) -> None:
        """The shadow alone: something in it changed."""
        if self._config.streams.shadow:
            self.send_shadow(self._shadow_messages(self.telemetry()))

    def send_shadow(self, messages: Iterable[OutboxMessage]) -> None:
        """Send messages of the shadow; without room for them the next report makes up for it."""
        try:
            self._outbox.put(messages)
        except sqlite3.Error as error:
            _log.error("the shadow could not be put into the outbox: %s", error)
        self._wake_link()

    def _messages(self, seq: int) -> tuple[list[OutboxMessage], int]:
        """The messages of one report, and how many numbers from `seq` on they use."""
        streams = self._config.streams
        telemetry = self.telemetry(seq)
        parts = split_telemetry(telemetry.to_wire())
        encoded = [encode_json({**part, "seq": seq + n}) for n, part in enumerate(parts)]
        messages = []
        if streams.metering:
            messages += [OutboxMessage(self._topics.metering, payload) for payload in encoded]
        if streams.telemetry:
            messages += [OutboxMessage(self._topics.telemetry, payload) for payload in encoded]
        if streams.loads and self._count % self._config.loads_every == 0:
            snapshot = split_telemetry(report.build_telemetry_loads_message(telemetry).to_wire())
            messages += [OutboxMessage(self._topics.loads, encode_json(part)) for part in snapshot]
        if streams.shadow and time.monotonic() >= self._shadow_due:
            messages += self._shadow_messages(telemetry)
        self._count += 1
        return messages, len(parts)

    def _shadow_messages(self, telemetry: Telemetry) -> list[OutboxMessage]:
        self._shadow_due = time.monotonic() + self._config.shadow_interval_sec
        return self._shadow.report(self.shadow(telemetry), time.monotonic())
