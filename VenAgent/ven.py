"""One Virtual End Node at work: its rooms wired together, its timers, its commands.

It decides nothing: the engine does (dr/engine.py), and the performer carries out what the engine
wants (runtime/effect_executor.py).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import gevent

from VenAgent.cloud.bus_bridge import BusBridge
from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.cloud.mqtt_link import MqttLink
from VenAgent.cloud.mqtt_settings import MqttSettings
from VenAgent.cloud.outbox import Outbox, OutboxMessage
from VenAgent.cloud.outbox_file import unused_outbox_seq
from VenAgent.cloud.outbox_sender import BacklogPace
from VenAgent.cloud.shadow_client import ShadowClient
from VenAgent.cloud.shadow_desired import ShadowDesired
from VenAgent.config import AgentConfig
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.alerts import Severity
from VenAgent.dr.engine import Engine
from VenAgent.dr.panel import Reading
from VenAgent.reporting import telemetry_builder as report
from VenAgent.reporting.alerts import Alerts
from VenAgent.reporting.bus_publisher import BusPublisher
from VenAgent.reporting.reporter import Reporter
from VenAgent.runtime.effect_executor import EffectExecutor
from VenAgent.runtime.inbound_router import InboundRouter
from VenAgent.runtime.local_page import LocalPage
from VenAgent.runtime.recovery import read_journal, recover
from VenAgent.runtime.remote_updates import RemoteUpdates
from VenAgent.runtime.timers import Timers
from VenAgent.site.actuator import Actuator
from VenAgent.site.failsafe import Failsafe
from VenAgent.site.meter import Meter
from VenAgent.storage.journal import Journal
from VenAgent.storage.power_history import PowerHistory
from VenAgent.version import __version__
from VenAgent.volttron_compat import Calls, agent_data_dir

if TYPE_CHECKING:
    from VenAgent.cloud.tls.credentials import Credentials

_log = logging.getLogger(__name__)

STOP_TRIES = 2
"""Circuits go back through the actuator, and if that does not answer, through the driver."""
HISTORY_GAP_SEC = 90.0
"""A longer time between two readings is a gap in the history, not a constant power."""
SCHEDULE_RESULTS = "devices/actuators/schedule/result"


class Ven:
    """From its first good configuration to the agent's end. `on_change`: health may differ."""

    def __init__(self, agent: Any, config: AgentConfig, on_change: Callable[[], None]) -> None:
        self._agent = agent
        self._on_change = on_change
        self._boot_id = uuid.uuid4().hex
        self._calls = Calls(agent)
        self._telling = BusPublisher(self, agent)
        data = agent_data_dir(agent)
        self._outbox_path = data / "outbox.sqlite"
        self.outbox = Outbox(self._outbox_path, synced=True, first_seq=unused_outbox_seq())
        self._journal, self.journal_damage = Journal.open(data / "journal.sqlite", time.time())
        self.engine = Engine(config.build_panel(), config.ven_id, config.policy())
        self.alerts = Alerts(config.ven_id, self._telling.alert)
        self._clockwork = Timers(self)
        self.performer = EffectExecutor(
            self.engine,
            self._journal,
            self.outbox,
            on_change=self._clockwork.engine_changed.set,
            announce=self._announce,
            alerts=self.alerts,
        )
        self.history = PowerHistory(
            data / "history.sqlite",
            time.time(),
            config.calendar.build(),
            max_gap_sec=HISTORY_GAP_SEC,
        )
        self._shadow_waits = False
        self._closed: dict[str, bool | None] = {}
        """Of the contactors, as the shadow was last told."""
        self.page = LocalPage(
            self, self._journal, agent.health_shown, on_change, data / "curve.json"
        )
        self._online_since = 0.0
        settings = RemoteUpdates(agent.vip.config, lambda: self.config)
        self.inbox = InboundRouter(self.engine, self.performer, settings, self.get)
        self._make_shadow(config)
        self.bridge = self._make_bridge(config)
        self.bridge.start()
        self._install(config)
        self.link = self._make_link()
        self._take_over()
        self._connect()
        agent.vip.pubsub.subscribe("pubsub", SCHEDULE_RESULTS, self._on_schedule_result)
        self.page.apply(config)

    def _take_over(self) -> None:
        """What an earlier process left, before anything is heard of the broker: it delivers a
        command again that killed us, and that is not to begin a second time."""
        self.performer.send_unsent()
        left, damage = read_journal(self._journal)
        self.journal_damage = self.journal_damage or damage
        self.performer.perform(self.engine.resume(left, time.time()))
        self.alerts.set("journal.damaged", Severity.CRITICAL, self.journal_damage)
        if self.journal_damage is not None:
            gevent.spawn(recover, self)

    def apply(self, config: AgentConfig) -> None:
        """Put another configuration in force; events go on, what it changes is made anew."""
        before, read = self.config, self.meter.points
        self.meter.stop()
        self._install(config)
        self.meter.points.adopt(read)
        if before.connection() != config.connection():
            self._disconnect()
            self.link = self._make_link()
            self._connect()
        self.page.apply(config)

    def stop(self) -> None:
        """The building goes back to normal first, then the cloud is told."""
        self._clockwork.stop()
        self.performer.perform(self.engine.stop(time.time()))
        if self.engine.leaves_to_next_start:
            _log.info("stopped in mid-event: the next start goes on with it")
        elif not self.performer.settle(STOP_TRIES * self.config.event.write_timeout_sec):
            _log.warning("stopped before all circuits were restored; done at the next start")
        self.page.stop()
        self.meter.stop()
        self.bridge.stop()
        self._disconnect()
        self._journal.close()
        self.history.close()
        self.outbox.close()

    def _install(self, config: AgentConfig) -> None:
        """Everything that depends on the configuration but the connection."""
        self._clockwork.stop()
        self.config = config
        self.outbox.belong_to(config.ven_id)
        self.outbox.max_bytes = int(config.outbox.max_mb * 1e6)
        self.alerts.ven_id = config.ven_id
        self.history.calendar = config.calendar.build()
        self.engine.reconfigure(config.build_panel(), config.ven_id, config.policy())
        self.meter = Meter(self._agent.vip, self._calls, config, self._on_reading)
        if self.shadow.prefix != config.topic_names().shadow:
            self._make_shadow(config)
        self.shadow.reconfigure(circuit.id for circuit in config.circuits)
        if (self.bridge.config, self.bridge.ven_id) != (config.bus_bridge, config.ven_id):
            self.bridge.stop()
            self.bridge = self._make_bridge(config)
            self.bridge.start()
        self.inbox.install(config, self.desired if config.streams.shadow else None, self.bridge)
        self.reporter = Reporter(
            config, self.engine, self.meter, self.outbox, self._telling.publish, self.shadow
        )
        self.actuation = Actuator(self._calls, config, self._agent.core.identity)
        self.lease = Failsafe(self._calls, config.leases, config.driver_identity)
        self.performer.connect(config, self.meter, self.actuation, self.lease, wake=self.wake_link)
        self.meter.start()
        self._clockwork.start()
        _log.info("configuration in force: %s, %d circuits", config.ven_id, len(config.circuits))

    def _make_shadow(self, config: AgentConfig) -> None:
        """The shadow outlives a configuration, unless that makes us another thing."""
        circuits = [circuit.id for circuit in config.circuits]
        self.shadow = ShadowClient(config.topic_names(), self._boot_id, circuits)
        self.desired = ShadowDesired(
            self.shadow,
            self.inbox.command,
            self._closed_without_event,
            self._put,
            self._report_shadow,
        )

    def _make_bridge(self, config: AgentConfig) -> BusBridge:
        return BusBridge(
            config.bus_bridge,
            config.ven_id,
            self._agent.core.identity,
            self._agent.vip.pubsub,
            self.outbox,
            self._telling.publish_as,
            self.wake_link,
        )

    def _connect(self) -> None:
        if self.credentials is not None:
            self.credentials.start(self.link.reconnect)
        self.link.start(self._on_inbound, self._on_link)

    def _make_link(self) -> MqttLink:
        config = self.config
        self.credentials = self._make_credentials()
        settings = MqttSettings(
            broker=config.broker,
            ven_id=config.ven_id,
            status_topic=config.topic_names().status,
            subscriptions=self.inbox.filters,
            outbox_path=self._outbox_path,
            boot_id=self._boot_id,
            tls=self.credentials,
            pace=BacklogPace(
                messages_per_sec=config.outbox.backlog_per_sec,
                bytes_per_sec=config.outbox.backlog_kib_per_sec * 1024,
            ),
        )
        return MqttLink(settings)

    def _make_credentials(self) -> Credentials | None:
        if self.config.broker.tls is None:
            return None
        from VenAgent.cloud.tls.credentials import credentials_for  # its library takes 11 MB

        return credentials_for(self.config.broker.tls, self._outbox_path.parent)

    def _disconnect(self) -> None:
        if self.credentials is not None:
            self.credentials.stop()
        self.link.stop()

    def _on_link(self) -> None:
        """The link came, went, or has another reason for not being there."""
        self._look_at_link()
        self._telling.publish("link", self.link.state.as_message())
        self._on_change()

    def look(self) -> None:
        """Health may differ."""
        self._on_change()

    def wake_link(self) -> None:
        """The outbox has something new."""
        self.link.wake()

    # ---- what comes in -------------------------------------------------------------------

    def _look_at_link(self) -> None:
        """After each connection the shadow is asked for, before anything that came on it counts."""
        state = self.link.state
        if state.online and state.since_ts != self._online_since:
            self._online_since = state.since_ts
            if self.config.streams.shadow:
                self.desired.connected()

    def _on_inbound(self, inbound: InboundMessage) -> None:
        self._clockwork.look_at_the_clock()
        self._look_at_link()
        self.inbox.receive(inbound, self.link.acknowledge)

    def command(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Obey a command of this platform as if the cloud had sent it; returns its ack."""
        self._clockwork.look_at_the_clock()
        return self.inbox.command(fields)

    def _closed_without_event(self, circuit_id: str) -> bool | None:
        """How a circuit stands, unless an event has a hand in it."""
        if self.engine.running is not None:
            return None
        return self.meter.reading(time.time()).circuit(circuit_id).closed

    def _put(self, messages: Iterable[OutboxMessage]) -> None:
        try:
            self.outbox.put(messages)
        except sqlite3.Error as error:
            _log.error("the shadow could not be put into the outbox: %s", error)
        self.wake_link()

    def opt_out(self, reason: str, duration_sec: float | None = None) -> Mapping[str, Any]:
        """A person at the site ends and refuses participation, for `duration_sec` or until they
        opt in; what is shed goes back."""
        now = time.time()
        until_ts = None if duration_sec is None else now + duration_sec
        event = self.engine.running
        self.performer.perform(self.engine.opt_out(reason, until_ts, now))
        self._on_change()
        return {
            "ok": True,
            "status": AckStatus.OPTED_OUT.value,
            "event_id": None if event is None else event.event_id,
            "until_ts": until_ts,
        }

    def opt_in(self) -> Mapping[str, Any]:
        """The site takes part in events again."""
        self.performer.perform(self.engine.opt_in(time.time()))
        self._on_change()
        return {"ok": True, "status": AckStatus.SUCCESS.value}

    def _on_reading(self, reading: Reading) -> None:
        self._clockwork.look_at_the_clock()
        touched = self.engine.running is not None
        self.history.add(reading.ts, reading.power_kw, touched)
        self.engine.context.intervals = self.history.intervals
        overdue = self.lease.is_overdue
        self.performer.perform(self.engine.reading(reading, time.time(), lease_overdue=overdue))
        self.page.on_reading(reading)
        closed = {name: circuit.closed for name, circuit in reading.circuits.items()}
        if (self._shadow_waits or closed != self._closed) and not self.engine.is_at_work:
            # Between a reading and the writes that follow from it nothing else is done.
            self._shadow_waits, self._closed = False, closed
            self._report_shadow()

    def _on_schedule_result(
        self,
        peer: str,
        sender: str,
        bus: str,
        topic: str,
        headers: Mapping[str, Any],
        message: Any,
    ) -> None:
        """The actuator tells that a task was preempted: it may be ours."""
        lost = self.actuation.schedule_result(headers, message)
        if lost is not None:
            self.performer.perform(self.engine.preempted(*lost, time.time()))

    def _report_shadow(self) -> None:
        try:
            self.reporter.report_shadow()
        except sqlite3.Error as error:
            _log.error("the shadow could not be put into the outbox: %s", error)
        self.wake_link()

    # ---- what goes out -------------------------------------------------------------------

    def _announce(self, event: Mapping[str, Any]) -> None:
        """An event's state changed: the bus follows at once, the shadow with the next reading.

        The engine has the meter read after a change; a shadow made before would report circuits
        as they were.
        """
        self._telling.event(event)
        self._shadow_waits = True
        self.page.changed()
        self._on_change()

    def get(self, what: str) -> Any:
        """`status`, `config`, `loads` or `shadow`, for the `get` command and the RPC exports."""
        if what == "config":
            return json.loads(self.config.model_dump_json())
        telemetry = self.reporter.telemetry()
        if what == "loads":
            return report.loads_snapshot(telemetry).to_wire()["loads"]
        if what == "shadow":
            return self.reporter.shadow(telemetry)
        event = self.engine.running
        return {
            "ven_id": self.config.ven_id,
            "version": __version__,
            "online": self.link.state.online,
            "power_kw": telemetry.used_power_kw,
            "baseline_kw": telemetry.baseline_power_kw,
            "shed_kw": telemetry.shed_power_kw,
            "quality": telemetry.quality.value,
            "certificate_expires_ts": (
                None if self.credentials is None else self.credentials.expires_ts
            ),
            "offline_since_ts": None if self.link.state.online else self.link.state.since_ts,
            "commands_dropped": self.link.dropped,
            "link": self.link.state.as_message(),
            **self._outbox_figures(),
            "refused": dict(self.inbox.refused),
            "shadow_rejected": dict(self.shadow.rejected),
            "bus_bridge": self.bridge.status(),
            "active_event": None if event is None else event.as_record(),
            "scheduled_events": [e.as_record() for e in self.engine.scheduled.values()],
            "opted_out": self.engine.opted_out(time.time()),
            "alerts": self.alerts.active(),
            **self._agent.health_shown(),
        }

    def _outbox_figures(self) -> dict[str, Any]:
        backlog = self.outbox.backlog()
        return {
            "outbox_depth": backlog.messages,
            "outbox_mb": round(backlog.used_mb, 3),
            "outbox_oldest_ts": backlog.oldest_ts,
            "outbox_thinned": backlog.thinned,
        }
