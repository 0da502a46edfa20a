"""One Virtual End Node at work: the composition root, which only wires its rooms.

It decides nothing: the engine does (dr/engine.py), and the executor carries out what the engine
wants (runtime/effect_executor.py). Each part is handed what it uses, never this object.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from VenAgent.cloud.bus_bridge import BusBridge
from VenAgent.cloud.cloud_connection import CloudConnection
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.shadow_client import ShadowClient
from VenAgent.cloud.shadow_desired import ShadowDesired
from VenAgent.config import AgentConfig
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.health import SiteHealthCondition
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.reporting.bus_publisher import BusPublisher
from VenAgent.reporting.page_view import PageView
from VenAgent.reporting.reporter import Reporter
from VenAgent.reporting.site_status import SiteCloudStatus, SiteStatus
from VenAgent.runtime.data_folder import DataFolder
from VenAgent.runtime.effect_executor import EffectExecutor
from VenAgent.runtime.inbound_router import InboundRouter
from VenAgent.runtime.link_watch import LinkWatch
from VenAgent.runtime.recovery import recover_site
from VenAgent.runtime.remote_updates import RemoteUpdates
from VenAgent.runtime.timers import Timers
from VenAgent.site.building import Building
from VenAgent.web.page_server import PageServer, page_server_yields_to_event

_log = logging.getLogger(__name__)

STOP_TRIES = 2
"""Circuits go back through the actuator, and if that does not answer, through the driver."""
STOP_MOST_SEC = 40.0
"""So long it is tried while the driver runs: VOLTTRON ends an agent that does not stop in 60 s."""
SCHEDULE_RESULTS = "devices/actuators/schedule/result"


class Ven:
    """From its first good configuration to the agent's end.

    `health` is what `vctl status` shows now; `on_change`: it may be another.
    """

    def __init__(
        self,
        agent: Any,
        config: AgentConfig,
        health: Callable[[], Mapping[str, str]],
        on_change: Callable[[], None],
    ) -> None:
        self.config = config
        self._on_change = on_change
        self._identity = agent.core.identity
        self._pubsub = agent.vip.pubsub
        self._boot_id = uuid.uuid4().hex

        # ---- what is kept on the disk, the core, and the building
        self._data = data = DataFolder(agent, config, time.time())
        self._outbox, self._history = data.outbox, data.history
        self._engine = Engine(config.build_panel(), config.ven_id, config.policy())
        self._building = Building(agent, config, self._on_reading)
        self._meter, self._actuator = self._building.meter, self._building.actuator
        self._failsafe = self._building.failsafe

        # ---- what goes out
        self._cloud = CloudConnection(
            data.outbox_file, self._boot_id, self._on_inbound, lambda: self._link.changed()
        )
        topics, wake_link = config.topic_names(), self._cloud.wake
        self._bus = BusPublisher(agent, self._outbox, config.ven_id, topics.alerts, wake_link)
        self._alerts = ActiveAlerts(config.ven_id, self._bus.alert)
        self._shadow = self._make_shadow(config)
        self._reporter = Reporter(
            config,
            self._engine,
            self._meter,
            self._outbox,
            self._shadow,
            self._bus.publish,
            wake_link,
        )
        self._executor = EffectExecutor(
            self._engine,
            data.journal,
            data.ended,
            self._outbox,
            self._meter,
            self._actuator,
            self._failsafe,
            self._alerts,
            topics.ack,
            self._on_event_change,
            wake_link,
        )
        self._timers = Timers(
            self._engine,
            self._executor,
            self._meter,
            self._failsafe,
            self._reporter,
            self._alerts,
            on_look=lambda: self._link.look(),
        )

        # ---- what comes in
        self.status = SiteStatus(
            config,
            self._engine,
            self._reporter,
            self._alerts,
            self._cloud_status,
            health,
            page_url=lambda: self._page_server.url,
            devices=self._building.device_answers,
        )
        self.inbound = InboundRouter(
            self._engine,
            self._executor,
            RemoteUpdates(agent.vip.config, lambda: self.config),
            self.status.get,
            self._timers.check_clock,
            on_change,
        )
        self._link = LinkWatch(
            *(self._cloud, self.inbound.backlog, self._executor, self._alerts, self._bus),
            on_change,
        )
        self._bridge = self._make_bridge(config)
        self._page_view = PageView(
            self._engine,
            self._meter,
            self._reporter,
            self._alerts,
            data.journal,
            self.inbound,
            self._cloud_status,
            health,
            data.path,
            self._history,
            pause=lambda: page_server_yields_to_event(self._is_at_work),
        )
        self._page_server = PageServer(self._page_view, on_change, self._is_at_work)
        self._begin(config)

    def _is_at_work(self) -> bool:
        return self._engine.is_at_work

    def _begin(self, config: AgentConfig) -> None:
        self._bridge.start()
        self._building.start()
        self._put_in_force(config)
        # Before anything is heard of the broker: it delivers a command again that killed us, and
        # that is not to begin a second time.
        recover_site(
            *(self._engine, self._executor, self._data, self.inbound.backlog, self._alerts),
            *(self._actuator, self._meter),
        )
        self._cloud.start(config, self.inbound.filters)
        self._pubsub.subscribe("pubsub", SCHEDULE_RESULTS, self._on_schedule_result)
        self._show_page(config)

    def apply(self, config: AgentConfig) -> None:
        """Put another configuration in force; events go on, what it changes is made anew."""
        before, topics = self.config, config.topic_names()
        self._timers.stop()
        self.config = config
        self._engine.reconfigure(config.build_panel(), config.ven_id, config.policy())
        self._data.reconfigure(config)
        self._alerts.ven_id = config.ven_id
        self._bus.reconfigure(config.ven_id, topics.alerts)
        self._executor.ack_topic = topics.ack
        if topics.shadow != before.topic_names().shadow:
            self._shadow = self._make_shadow(config)
        if (before.bus_bridge, before.ven_id) != (config.bus_bridge, config.ven_id):
            self._bridge.stop()
            self._bridge = self._make_bridge(config)
            self._bridge.start()
        self._reporter.reconfigure(config, self._shadow)
        self.status.reconfigure(config)
        self._building.reconfigure(config)
        self._put_in_force(config)
        if before.connection() != config.connection():
            self._cloud.stop()
            self._cloud.start(config, self.inbound.filters)
        self._show_page(config)

    def _put_in_force(self, config: AgentConfig) -> None:
        """Everything of the configuration that begins with it, the first one's too."""
        self._data.send_as(config)
        self._shadow.reconfigure(circuit.id for circuit in config.circuits)
        self._link.desired = self._desired if config.streams.shadow else None
        self.inbound.reconfigure(config, self._link.desired, self._bridge)
        self._timers.start(config.report_interval_sec, config.stale_after_sec)
        _log.info("configuration in force: %s, %d circuits", config.ven_id, len(config.circuits))

    def stop(self) -> None:
        """The building goes back to normal first, then the connection to the cloud ends."""
        self._executor.perform(self._engine.stop(time.time()))
        if self._engine.leaves_to_next_start:
            _log.info("stopped in mid-event: the next start goes on with it")
        elif not self._is_restored_at_stop():
            _log.warning("stopped before all circuits were restored; done at the next start")
        self._timers.stop()  # until then they have what failed written again
        self._page_server.stop()
        self._page_view.close()
        self._building.stop()
        self._bridge.stop()
        self._cloud.stop()
        self._data.close()

    def _is_restored_at_stop(self) -> bool:
        within_sec = STOP_TRIES * self.config.event.write_timeout_sec
        if self._executor.settle(within_sec):
            return True
        if not self._building.has_driver():  # the platform stops, and it was stopped before us
            return False
        return self._executor.settle(STOP_MOST_SEC - within_sec)

    # ---- parts that a configuration may replace --------------------------------------------

    def _make_shadow(self, config: AgentConfig) -> ShadowClient:
        """The shadow outlives a configuration, unless that makes us another thing."""
        circuits = [circuit.id for circuit in config.circuits]
        shadow = ShadowClient(config.topic_names(), self._boot_id, circuits)
        self._desired = ShadowDesired(
            shadow,
            lambda fields, correlation_id: self.inbound.command(fields, correlation_id),
            self._closed_without_event,
            lambda messages: self._reporter.send_shadow(messages),
            lambda: self._reporter.report_shadow(),
        )
        return shadow

    def _make_bridge(self, config: AgentConfig) -> BusBridge:
        return BusBridge(
            config.bus_bridge,
            config.ven_id,
            self._identity,
            self._pubsub,
            self._outbox,
            self._bus.publish_as,
            self._cloud.wake,
        )

    def _show_page(self, config: AgentConfig) -> None:
        self._page_server.apply(config.web)
        self._refresh_page()

    def _refresh_page(self) -> None:
        """An event's state, the configuration or the connection is another than before."""
        self._page_view.forget_events()
        self._page_server.touch()

    # ---- what one part sends to the others ------------------------------------------------

    def _on_inbound(self, inbound: InboundMessage) -> None:
        self._timers.check_clock()
        self._link.check()
        self.inbound.receive(inbound, self._cloud.acknowledge)

    def _on_reading(self, reading: PanelReading) -> None:
        now = self._timers.check_clock()
        engine = self._engine
        self._history.max_gap_sec = engine.gap_limit_sec
        self._history.add(reading.ts, reading.power_kw, engine.is_curtailed)
        engine.site.intervals = self._history.intervals
        self._executor.perform(
            engine.reading(reading, now, lease_overdue=self._failsafe.is_overdue)
        )
        self._page_view.remember(reading)
        self._page_server.touch()
        self._reporter.reading(reading)

    def _on_event_change(self, event: Event) -> None:
        self._bus.event(event)
        self._reporter.event_changed()
        self._refresh_page()
        self._on_change()

    def _on_schedule_result(
        self, peer: str, sender: str, bus: str, topic: str, headers: Any, message: Any
    ) -> None:
        """The actuator publishes that a task was preempted: it may be ours."""
        lost = self._actuator.schedule_result(headers, message)
        if lost is not None:
            self._executor.perform(self._engine.preempted(*lost, time.time()))

    def _closed_without_event(self, circuit_id: str) -> bool | None:
        """How a circuit stands, unless an event has a hand in it."""
        if self._engine.is_curtailed:
            return None
        return self._meter.reading(time.time()).circuit(circuit_id).closed

    # ---- how it stands -------------------------------------------------------------------

    def _cloud_status(self) -> SiteCloudStatus:
        return SiteCloudStatus(
            link=self._cloud.state,
            host=self.config.broker.host,
            port=self.config.broker.port,
            commands_dropped=self._cloud.dropped,
            commands_retained=self._cloud.retained,
            certificate_expires_ts=self._cloud.certificate_expires_ts,
            backlog=self._outbox.backlog(),
            refused=self.inbound.refused,
            shadow_rejected=self._shadow.rejected,
            bus_bridge=self._bridge.status(),
        )

    def condition(self) -> SiteHealthCondition:
        """What health is made of."""
        now, engine, points = time.time(), self._engine, self._meter.points
        return SiteHealthCondition(
            broker=f"{self.config.broker.host}:{self.config.broker.port}",
            link=self._cloud.state,
            credentials=self._cloud.credential_findings(),
            event=engine.running,
            opted_out=engine.opted_out(now),
            trouble=engine.trouble(),
            storage=(
                *self._data.troubles(),
                self._executor.storage_failure,
                self._outbox.damage,
            ),
            outbox_full_mb=self.config.outbox.max_mb if self._outbox.full else None,
            shadow_trouble=self._shadow.trouble,
            page_failure=self._page_server.failure,
            page_moved=self._page_server.moved,
            devices_unread=points.unread(),
            points_stale=points.stale(now),
            points_suspect=points.suspects(),
            meter_failure=self._meter.failure,
            points_missing=points.missing(now),
            without_lease=self.config.without_lease(),
            polled_too_fast=[str(pace) for pace in self._building.polling_paces()],
        )
