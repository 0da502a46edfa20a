"""What the site tells about itself: telemetry, loads and shadow, and figures for the bus."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from VenAgent.cloud.outbox import Outbox, OutboxMessage
from VenAgent.cloud.shadow_client import ShadowClient
from VenAgent.config import AgentConfig
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.telemetry import Telemetry, split_by_circuits
from VenAgent.dr.engine import Engine
from VenAgent.reporting import telemetry_builder as report
from VenAgent.site.meter import Meter


class Reporter:
    """Makes the messages of one configuration. `publish(what, message)` goes to the bus."""

    def __init__(
        self,
        config: AgentConfig,
        engine: Engine,
        meter: Meter,
        outbox: Outbox,
        publish: Callable[[str, Any], None],
        shadow: ShadowClient,
    ) -> None:
        self._config = config
        self._topics = config.topic_names()
        self._engine = engine
        self._meter = meter
        self._outbox = outbox
        self._publish = publish
        self._shadow = shadow
        self._count = 0
        self._shadow_due = 0.0

    def telemetry(self, seq: int = 0) -> Telemetry:
        """The site as it is now."""
        now = time.time()
        quality = self._meter.points.quality(now)
        return report.telemetry(self._engine, self._meter.reading(now), quality, seq=seq, now=now)

    def shadow(self, telemetry: Telemetry) -> dict[str, Any]:
        """The shadow's reported state."""
        interval_sec = self._config.report_interval_sec
        return report.shadow(self._engine, telemetry, report_interval_sec=interval_sec)

    def report(self) -> None:
        """One telemetry, with the loads and the shadow when they are due, in one transaction."""
        self._outbox.put_numbered(self._messages)
        now = time.time()
        values = report.figures(self._engine, self._meter.reading(now), now)
        units = {
            name: {"units": report.UNITS[name], "type": "float", "tz": "UTC"} for name in values
        }
        self._publish("all", [values, units])

    def report_shadow(self) -> None:
        """The shadow alone: something in it changed."""
        if self._config.streams.shadow:
            self._outbox.put(self._shadow_messages(self.telemetry()))

    def _messages(self, seq: int) -> tuple[list[OutboxMessage], int]:
        """The messages of one report, and how many numbers from `seq` on they use."""
        streams = self._config.streams
        telemetry = self.telemetry(seq)
        parts = split_by_circuits(telemetry.to_wire())
        encoded = [encode_json({**part, "seq": seq + n}) for n, part in enumerate(parts)]
        messages = []
        if streams.metering:
            messages += [OutboxMessage(self._topics.metering, payload) for payload in encoded]
        if streams.telemetry:
            messages += [OutboxMessage(self._topics.telemetry, payload) for payload in encoded]
        if streams.loads and self._count % self._config.loads_every == 0:
            snapshot = split_by_circuits(report.loads_snapshot(telemetry).to_wire())
            messages += [OutboxMessage(self._topics.loads, encode_json(part)) for part in snapshot]
        if streams.shadow and time.monotonic() >= self._shadow_due:
            messages += self._shadow_messages(telemetry)
        self._count += 1
        return messages, len(parts)

    def _shadow_messages(self, telemetry: Telemetry) -> list[OutboxMessage]:
        self._shadow_due = time.monotonic() + self._config.shadow_interval_sec
        return self._shadow.report(self.shadow(telemetry), time.monotonic())
