"""The answers to `get`: the agent's state, its configuration, its loads and its shadow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from VenAgent.cloud.link_state import LinkState
from VenAgent.cloud.outbox import OutboxBacklog
from VenAgent.config import AgentConfig
from VenAgent.contract.json_codec import json_number
from VenAgent.dr.engine import Engine
from VenAgent.reporting import telemetry_builder as report
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.reporting.event_view import event_view_for_answer, event_view_next
from VenAgent.reporting.load_flexibility import load_flexibility
from VenAgent.reporting.reporter import Reporter
from VenAgent.version import __version__


@dataclass(frozen=True)
class SiteCloudStatus:
    """How the connection to the cloud stands, and what came of the messages either way."""

    link: LinkState
    host: str
    port: int
    commands_dropped: int
    """Commands dropped while too many waited; the broker delivers them again."""
    commands_retained: int
    """Commands that the broker had kept for later subscribers; none is obeyed."""
    certificate_expires_ts: float | None
    backlog: OutboxBacklog
    """What waits in the outbox."""
    refused: Mapping[str, int]
    """Messages not taken on, by `door.reason`."""
    shadow_rejected: Mapping[str, int]
    bus_bridge: Mapping[str, Any]


class SiteStatus:
    """`cloud`, `health` and `page_url` are asked each time; `health` has `health` and
    `health_context`; `page_url` is None where no page is served."""

    def __init__(
        self,
        config: AgentConfig,
        engine: Engine,
        reporter: Reporter,
        alerts: ActiveAlerts,
        cloud: Callable[[], SiteCloudStatus],
        health: Callable[[], Mapping[str, str]],
        page_url: Callable[[], str | None],
        devices: Callable[[], Mapping[str, Any]],
    ) -> None:
        """`devices`: by device, how long its answers take."""
        self._config = config
        self._engine = engine
        self._reporter = reporter
        self._alerts = alerts
        self._cloud = cloud
        self._health = health
        self._page_url = page_url
        self._devices = devices

    def reconfigure(self, config: AgentConfig) -> None:
        self._config = config

    def _with_flexibility(self, load: dict[str, Any]) -> dict[str, Any]:
        """With what its comfort, battery and setpoint are, where it has them."""
        circuit, latest = self._engine.panel.by_id.get(load["id"]), self._engine.site.latest
        if circuit is None or latest is None:
            return load
        shown = load_flexibility(circuit, latest.circuit(circuit.id))
        return {**load, "flexibility": shown} if shown else load

    def get(self, what: str) -> Any:
        """`status`, `config`, `loads` or `shadow`, for the `get` command and the RPC exports."""
        if what == "config":
            return json.loads(self._config.model_dump_json())
        telemetry = self._reporter.telemetry()
        if what == "loads":
            loads = report.build_telemetry_loads_message(telemetry).to_wire()["loads"]
            return {"loads": [self._with_flexibility(load) for load in loads]}
        if what == "shadow":
            return self._reporter.shadow(telemetry)
        event, cloud = self._engine.running, self._cloud()
        waiting = self._engine.scheduled.values()
        now = time.time()
        opted_out = self._engine.opted_out(now)
        return {
            "ven_id": self._config.ven_id,
            "version": __version__,
            "online": cloud.link.online,
            "power_kw": telemetry.used_power_kw,
            "baseline_kw": telemetry.baseline_power_kw,
            "shed_kw": telemetry.shed_power_kw,
            "quality": telemetry.quality.value,
            "certificate_expires_ts": cloud.certificate_expires_ts,
            "offline_since_ts": None if cloud.link.online else cloud.link.since_ts,
            "commands_dropped": cloud.commands_dropped,
            "commands_retained": cloud.commands_retained,
            "link": cloud.link.as_message(),
            "outbox_depth": cloud.backlog.messages,
            "outbox_mb": round(cloud.backlog.used_mb, 3),
            "outbox_oldest_ts": cloud.backlog.oldest_ts,
            "outbox_thinned": cloud.backlog.thinned,
            "refused": dict(cloud.refused),
            "shadow_rejected": dict(cloud.shadow_rejected),
            "bus_bridge": dict(cloud.bus_bridge),
            "active_event": None if event is None else event_view_for_answer(event),
            "scheduled_events": [event_view_for_answer(e) for e in event_view_next(waiting)],
            "scheduled_count": len(waiting),
            "opted_out": None if opted_out is None else opted_out.text,
            "opted_out_until_ts": json_number(self._engine.opted_out_until_ts(now)),
            "alerts": self._alerts.active(),
            "page_url": self._page_url(),
            "devices": dict(self._devices()),
            **self._health(),
        }
