"""One Virtual End Node at work: its rooms wired together, its timers, its commands.

It decides nothing: the engine does (dr/engine.py), and the performer carries out what the engine
wants (performer.py).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent.event import Event as GreenEvent

from VenAgent.cloud.link import Inbound, Link
from VenAgent.cloud.outbox import Outbox
from VenAgent.config import AgentConfig
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import CommandRejected, GetCommand, parse_command
from VenAgent.dr import report
from VenAgent.dr.effects import Effects
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Reading
from VenAgent.journal import Journal
from VenAgent.performer import Performer
from VenAgent.reporter import Reporter
from VenAgent.site.actuation import Actuation
from VenAgent.site.meter import Meter
from VenAgent.version import __version__
from VenAgent.volttron_api import Calls, agent_data_dir, format_timestamp, get_aware_utc_now

_log = logging.getLogger(__name__)

ANSWER_SEC = 30.0
IDLE_SEC = 30.0


class Ven:
    """From its first good configuration to the agent's end. `on_change`: health may differ."""

    def __init__(self, agent: Any, config: AgentConfig, on_change: Callable[[], None]) -> None:
        self._agent = agent
        self._on_change = on_change
        self._boot_id = uuid.uuid4().hex
        self._calls = Calls(agent)
        data = agent_data_dir(agent)
        self._outbox_path = data / "outbox.sqlite"
        self.outbox = Outbox(self._outbox_path, synced=True)
        self._journal, self.journal_damage = Journal.open(data / "journal.sqlite", time.time())
        self.engine = Engine(config.build_panel(), config.ven_id)
        self._engine_changed = GreenEvent()
        self.performer = Performer(
            self.engine,
            self._journal,
            self.outbox,
            on_change=self._engine_changed.set,
            announce=self._announce,
        )
        self._timers: list[gevent.Greenlet] = []
        self._shadow_waits = False
        self._closed: dict[str, bool | None] = {}
        """Of the contactors, as the shadow was last told."""
        self._install(config)
        self.link = self._connect()
        self.performer.send_unsent()
        self.performer.perform(
            self.engine.resume(self._unfinished(), self._journal.answers(), time.time())
        )

    def _unfinished(self) -> list[Event]:
        """The events that an earlier process left; one that cannot be read is reported."""
        events = []
        for record in self._journal.unfinished():
            try:
                events.append(Event.from_record(record))
            except (KeyError, TypeError, ValueError) as error:
                name = record.get("event_id") if isinstance(record, dict) else record
                self.journal_damage = (
                    f"event {name} of the journal cannot be read ({error}): "
                    f"look whether its circuits are as they should be"
                )
                _log.error("%s", self.journal_damage)
        return events

    def apply(self, config: AgentConfig) -> None:
        """Put another configuration in force; events go on, what it changes is made anew."""
        before, read = self.config, self.meter.points
        self.meter.stop()
        self._install(config)
        self.meter.points.adopt(read)
        if _link_settings(before) != _link_settings(config):
            self.link.stop()
            self.link = self._connect()

    def stop(self) -> None:
        """The building goes back to normal first, then the cloud is told."""
        gevent.killall(self._timers)
        self.performer.perform(self.engine.stop(time.time()))
        if not self.performer.settle(self.config.event.write_timeout_sec):
            _log.warning("stopped before all circuits were restored; done at the next start")
        self.meter.stop()
        self.link.stop()
        self._journal.close()
        self.outbox.close()

    def _install(self, config: AgentConfig) -> None:
        """Everything that depends on the configuration but the connection."""
        gevent.killall(self._timers)
        self.config = config
        self.engine.reconfigure(config.build_panel(), config.ven_id)
        self.meter = Meter(self._agent.vip, self._calls, config, self._on_reading)
        self.reporter = Reporter(config, self.engine, self.meter, self.outbox, self._publish)
        actuation = Actuation(self._calls, config, self._agent.core.identity)
        self.performer.connect(config, self.meter, actuation, wake=self._wake_link)
        self.meter.start()
        self._timers = [
            gevent.spawn(self.meter.read_now),
            gevent.spawn(self._keep_time),
            gevent.spawn(self._report_regularly),
        ]
        _log.info("configuration in force: %s, %d circuits", config.ven_id, len(config.circuits))

    def _connect(self) -> Link:
        config = self.config
        link = Link(
            config.broker, config.topic_names(), config.ven_id, self._outbox_path, self._boot_id
        )
        link.start(self._on_command, self._on_change)
        return link

    def _wake_link(self) -> None:
        self.link.wake()

    # ---- what comes in -------------------------------------------------------------------

    def _on_command(self, inbound: Inbound) -> None:
        """A command from the broker, acknowledged there once its record is synced."""
        self._obey(inbound.payload)
        self.link.acknowledge(inbound)

    def _obey(self, payload: bytes) -> None:
        now = time.time()
        try:
            command = parse_command(
                payload, ven_id=self.config.ven_id, limits=self.config.command_limits(), now=now
            )
        except CommandRejected as rejected:
            self.performer.perform(self.engine.refuse(rejected, now))
            return
        if isinstance(command, GetCommand):
            self.performer.perform(self._answer_get(command, now))
        else:
            self.performer.perform(self.engine.command(command, now))

    def _answer_get(self, command: GetCommand, now: float) -> Effects:
        answers = self.engine.answers
        repeated = answers.repeat(command.correlation_id)
        if repeated is not None:
            return repeated
        return [answers.to(command, AckStatus.SUCCESS, now, data=self.get(command.what))]

    def command(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Obey a command of this platform as if the cloud had sent it; returns its ack."""
        correlation_id = f"rpc-{uuid.uuid4()}"
        self.performer.expect(correlation_id)
        self._obey(json.dumps({**fields, "correlationId": correlation_id}).encode())
        answer = self.performer.answer_of(correlation_id, ANSWER_SEC)
        return answer or {
            "ok": False,
            "status": "failed",
            "correlationId": correlation_id,
            "reason": f"no answer within {ANSWER_SEC:g} s; look at status()",
        }

    def _on_reading(self, reading: Reading) -> None:
        self.performer.perform(self.engine.reading(reading, time.time()))
        closed = {name: circuit.closed for name, circuit in reading.circuits.items()}
        if self._shadow_waits or closed != self._closed:
            self._shadow_waits, self._closed = False, closed
            self._report_shadow()

    def _report_shadow(self) -> None:
        try:
            self.reporter.report_shadow()
        except sqlite3.Error as error:
            _log.error("the shadow could not be put into the outbox: %s", error)
        self._wake_link()

    # ---- timers --------------------------------------------------------------------------

    def _keep_time(self) -> None:
        """Wake the engine at each of its deadlines, to the millisecond."""
        while True:
            self._engine_changed.clear()
            deadline = self.engine.next_deadline()
            now = time.time()
            if deadline is not None and deadline <= now:
                self.performer.perform(self.engine.tick(now))
                continue
            wait_sec = IDLE_SEC if deadline is None else min(deadline - now, IDLE_SEC)
            self._engine_changed.wait(wait_sec)

    def _report(self) -> None:
        """One telemetry with what goes with it. A full disk must not silence us for good."""
        try:
            self.reporter.report()
        except sqlite3.Error as error:
            _log.error("the telemetry could not be put into the outbox: %s", error)
        self._wake_link()

    def _report_regularly(self) -> None:
        due = time.monotonic()
        while True:
            self._report()
            self._on_change()
            due = max(due + self.config.report_interval_sec, time.monotonic())
            gevent.sleep(due - time.monotonic())

    # ---- what goes out -------------------------------------------------------------------

    def _announce(self, event: Mapping[str, Any]) -> None:
        """An event's state changed: the bus follows at once, the shadow with the next reading.

        The engine has the meter read after a change; a shadow made before would report circuits
        as they were.
        """
        self._publish("event", dict(event))
        self._shadow_waits = True
        self._on_change()

    def _publish(self, what: str, message: Any) -> None:
        """To `ven/{venId}/…` on the bus, for a historian or another agent. Not waited for."""
        now = format_timestamp(get_aware_utc_now())
        self._agent.vip.pubsub.publish(
            "pubsub",
            f"ven/{self.config.ven_id}/{what}",
            headers={"TimeStamp": now, "Date": now},
            message=message,
        )

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
            "offline_since_ts": None if self.link.state.online else self.link.state.since_ts,
            "commands_dropped": self.link.dropped,
            "outbox_depth": self.outbox.depth(),
            "active_event": None if event is None else event.as_record(),
            "scheduled_events": [e.as_record() for e in self.engine.scheduled.values()],
            **self._agent.health_shown(),
        }


def _link_settings(config: AgentConfig) -> tuple[Any, ...]:
    """What the connection depends on: a change of it makes a new one."""
    return config.broker, config.ven_id, config.topic_names()
