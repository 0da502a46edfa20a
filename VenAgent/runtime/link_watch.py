"""What follows from the connection to the cloud: the shadow is fetched, health may differ."""

from __future__ import annotations

import time
from collections.abc import Callable

from VenAgent.cloud.cloud_connection import CloudConnection
from VenAgent.cloud.shadow_desired import ShadowDesired
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.reporting.bus_publisher import BusPublisher
from VenAgent.runtime.effect_executor import EffectExecutor
from VenAgent.runtime.session_backlog import SessionBacklog, machine_run


class LinkWatch:
    """`desired`: the shadow's, None while the configuration has none. `on_change`: health may be
    another."""

    def __init__(
        self,
        cloud: CloudConnection,
        backlog: SessionBacklog,
        executor: EffectExecutor,
        alerts: ActiveAlerts,
        bus: BusPublisher,
        on_change: Callable[[], None],
    ) -> None:
        self.desired: ShadowDesired | None = None
        self._cloud = cloud
        self._backlog = backlog
        self._executor = executor
        self._alerts = alerts
        self._bus = bus
        self._on_change = on_change
        self._online_since = 0.0

    def changed(self) -> None:
        """The connection is another than before."""
        self.check()
        self._bus.publish("link", self._cloud.state.as_message())
        self._on_change()

    def check(self) -> None:
        """After each connection the shadow is fetched, before anything that came on it counts."""
        state = self._cloud.state
        if state.online and state.since_ts != self._online_since:
            self._online_since = state.since_ts
            self._backlog.connected(state.since_ts, time.monotonic(), machine_run())
            if self.desired is not None:
                self.desired.connected()

    def look(self) -> None:
        """With each report: certificates end with time, and health may differ."""
        self.check()
        if self._cloud.state.online:
            noted = self._backlog.note_online(time.time(), time.monotonic(), machine_run())
            if noted:
                self._executor.perform(noted)
        self._cloud.alert_credentials(self._alerts.set)
        self._on_change()
