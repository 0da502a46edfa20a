"""The VOLTTRON agent: lifecycle, configuration, timers, RPC and health.

It wires the rooms together and decides nothing: the engine does (dr/engine.py), and the performer
carries out what the engine wants (performer.py).
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from typing import Any

import gevent
from gevent.event import Event as GreenEvent

from VenAgent.cloud.link import Inbound, Link
from VenAgent.cloud.outbox import Message, Outbox, Rank
from VenAgent.config import AgentConfig, ConfigError
from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import CommandRejected, GetCommand, parse_command
from VenAgent.contract.shadow import update_document
from VenAgent.contract.telemetry import Telemetry, split_by_circuits
from VenAgent.contract.wire import encode
from VenAgent.dr import report
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Reading
from VenAgent.health import Vitals
from VenAgent.journal import Journal
from VenAgent.performer import Performer
from VenAgent.site.actuation import Actuation
from VenAgent.site.meter import Meter
from VenAgent.version import __version__
from VenAgent.volttron_api import (
    RPC,
    STATUS_STARTING,
    Agent,
    Core,
    agent_data_dir,
    ensure_heartbeat,
    format_timestamp,
    get_aware_utc_now,
    load_config,
    run_agent,
    setup_logging,
)

setup_logging()
_log = logging.getLogger(__name__)

IDENTITY = "ven.agent"
RPC_ANSWER_SEC = 30.0
IDLE_SEC = 30.0


class VenAgent(Agent):
    """A demand-response Virtual End Node; see README.md for its configuration."""

    def __init__(self, config_path: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._boot_id = uuid.uuid4().hex
        self._vitals = Vitals()
        self._config: AgentConfig | None = None
        self._default = load_config(config_path) if config_path else {}
        self._engine: Engine | None = None
        self._performer: Performer | None = None
        self._link: Link | None = None
        self._meter: Meter | None = None
        self._timers: list[gevent.Greenlet] = []
        self._engine_changed = GreenEvent()
        self.vip.config.set_default("config", self._default)
        self.vip.config.subscribe(
            self._configured, actions=["NEW", "UPDATE", "DELETE"], pattern="config"
        )

    # ---- lifecycle -----------------------------------------------------------------------

    @Core.receiver("onstart")
    def _on_start(self, sender: Any, **kwargs: Any) -> None:
        ensure_heartbeat(self)
        if self._config is None and not self._vitals.config_error:
            self.vip.health.set_status(STATUS_STARTING, "waiting for its configuration")

    @Core.receiver("onstop")
    def _on_stop(self, sender: Any, **kwargs: Any) -> None:
        """Stopped in order: the building goes back to normal first, then the cloud is told."""
        gevent.killall(self._timers)
        if self._performer is not None and self._engine is not None:
            self._performer.perform(self._engine.stop(time.time()))
            if self._config and not self._performer.settle(self._config.event.write_timeout_sec):
                _log.warning("stopped before all circuits were restored; done at the next start")
        if self._link is not None:
            self._link.stop()

    def _configured(self, name: str, action: str, contents: Any) -> None:
        """The config store has a new `config`. A bad one leaves the last good one running."""
        try:
            if action == "DELETE":
                contents = self._default
            config = AgentConfig.load(contents, os.environ)
        except ConfigError as error:
            kept = "the last good one stays in force" if self._config else "nothing runs yet"
            self._vitals.config_error = f"{error} ({kept})"
            _log.error("configuration refused: %s", self._vitals.config_error)
        else:
            self._vitals.config_error = None
            if config != self._config:
                self._apply(config)
        self._show_health()

    def _apply(self, config: AgentConfig) -> None:
        """Put `config` in force: what it changes is closed and made anew, events go on."""
        before, self._config = self._config, config
        if self._engine is None or self._performer is None:
            self._open(config)
        engine, performer = self._engine, self._performer
        assert engine is not None
        assert performer is not None
        engine.reconfigure(config.build_panel(), config.ven_id)
        performer.connect(
            config,
            self._replace_meter(config),
            Actuation(self.vip, config, self.core.identity),
            wake=self._wake_link,
        )
        if before is None or _link_settings(before) != _link_settings(config):
            self._replace_link(config)
        gevent.killall(self._timers)
        self._timers = [gevent.spawn(self._keep_time), gevent.spawn(self._report_regularly)]
        _log.info("configuration in force: %s, %d circuits", config.ven_id, len(config.circuits))
        if before is None:
            performer.perform(engine.resume(self._unfinished, self._journal.answers(), time.time()))

    def _open(self, config: AgentConfig) -> None:
        """At the start: the durable files, and what an earlier process left in them."""
        data = agent_data_dir(self)
        self._outbox_path = data / "outbox.sqlite"
        self._outbox = Outbox(self._outbox_path, synced=True)
        self._journal, damage = Journal.open(data / "journal.sqlite", time.time())
        self._vitals.journal_damage = damage
        self._unfinished = [Event.from_record(record) for record in self._journal.unfinished()]
        self._engine = Engine(config.build_panel(), config.ven_id)
        self._performer = Performer(
            self._engine,
            self._journal,
            self._outbox,
            on_change=self._engine_changed.set,
            announce=self._announce,
        )

    def _replace_meter(self, config: AgentConfig) -> Meter:
        if self._meter is not None:
            self._meter.stop()
        self._meter = Meter(self.vip, config, self._on_reading)
        self._meter.start()
        gevent.spawn(self._meter.read_now)
        return self._meter

    def _replace_link(self, config: AgentConfig) -> None:
        if self._link is not None:
            self._link.stop()
        self._link = Link(
            config.broker, config.topic_names(), config.ven_id, self._outbox_path, self._boot_id
        )
        self._link.start(self._on_command, self._show_health)

    def _wake_link(self) -> None:
        if self._link is not None:
            self._link.wake()

    # ---- what comes in -------------------------------------------------------------------

    def _on_command(self, inbound: Inbound) -> None:
        """A command from the broker. It is acknowledged there once its record is synced."""
        self._obey(inbound.payload)
        if self._link is not None:
            self._link.acknowledge(inbound)

    def _obey(self, payload: bytes) -> None:
        config, engine, performer = self._config, self._engine, self._performer
        assert config is not None
        assert engine is not None
        assert performer is not None
        now = time.time()
        try:
            command = parse_command(
                payload, ven_id=config.ven_id, limits=config.command_limits(), now=now
            )
        except CommandRejected as rejected:
            performer.perform(engine.refuse(rejected, now))
            return
        if isinstance(command, GetCommand):
            data = self._get(command.what)
            performer.perform([engine.answers.to(command, AckStatus.SUCCESS, now, data=data)])
            return
        performer.perform(engine.command(command, now))

    def _on_reading(self, reading: Reading) -> None:
        if self._engine is not None and self._performer is not None:
            self._performer.perform(self._engine.reading(reading, time.time()))

    # ---- timers --------------------------------------------------------------------------

    def _keep_time(self) -> None:
        """Wake the engine at each of its deadlines, to the millisecond."""
        engine, performer = self._engine, self._performer
        assert engine is not None
        assert performer is not None
        while True:
            self._engine_changed.clear()
            deadline = engine.next_deadline()
            now = time.time()
            if deadline is not None and deadline <= now:
                performer.perform(engine.tick(now))
                continue
            self._engine_changed.wait(
                IDLE_SEC if deadline is None else min(deadline - now, IDLE_SEC)
            )

    def _report_regularly(self) -> None:
        """Telemetry at its cadence; loads and shadow at theirs."""
        config = self._config
        assert config is not None
        count, shadow_due = 0, time.monotonic()
        next_due = time.monotonic()
        while True:
            with_shadow = time.monotonic() >= shadow_due
            self._report(with_loads=count % config.loads_every == 0, with_shadow=with_shadow)
            if with_shadow:
                shadow_due = time.monotonic() + config.shadow_interval_sec - 0.001
            self._show_health()
            count += 1
            next_due = max(next_due + config.report_interval_sec, time.monotonic())
            gevent.sleep(next_due - time.monotonic())

    def _report(self, *, with_loads: bool, with_shadow: bool) -> None:
        """One telemetry with what goes with it, into the outbox in one transaction."""
        config = self._config
        assert config is not None
        topics, streams = config.topic_names(), config.streams
        to_topics = [
            topic
            for topic, wanted in (
                (topics.metering, streams.metering),
                (topics.telemetry, streams.telemetry),
            )
            if wanted
        ]

        def make(seq: int) -> tuple[list[Message], int]:
            telemetry = self._telemetry(seq)
            parts = split_by_circuits(telemetry.to_wire())
            for number, part in enumerate(parts):
                part["seq"] = seq + number
            encoded = [encode(part) for part in parts]
            messages = [Message(topic, payload) for topic in to_topics for payload in encoded]
            if with_loads and streams.loads:
                snapshot = report.loads_snapshot(telemetry).to_wire()
                messages += [
                    Message(topics.loads, encode(part)) for part in split_by_circuits(snapshot)
                ]
            if with_shadow and streams.shadow:
                messages.append(self._shadow_message(telemetry))
            return messages, len(parts)

        self._outbox.put_numbered(make)
        self._wake_link()
        self._publish_figures()

    def _telemetry(self, seq: int) -> Telemetry:
        engine, meter, now = self._engine, self._meter, time.time()
        assert engine is not None
        assert meter is not None
        quality = meter.points.quality(now)
        return report.telemetry(engine, meter.reading(now), quality, seq=seq, now=now)

    def _shadow(self, telemetry: Telemetry) -> dict[str, Any]:
        assert self._engine is not None
        assert self._config is not None
        return report.shadow(
            self._engine, telemetry, report_interval_sec=self._config.report_interval_sec
        )

    def _shadow_message(self, telemetry: Telemetry) -> Message:
        assert self._config is not None
        document = encode(update_document(self._shadow(telemetry)))
        return Message(self._config.topic_names().shadow_update, document, Rank.STATE)

    # ---- the VOLTTRON bus ----------------------------------------------------------------

    def _announce(self, event: Mapping[str, Any]) -> None:
        """An event's state changed: the bus and the shadow follow."""
        assert self._config is not None
        self._publish("event", dict(event))
        if self._config.streams.shadow:
            self._outbox.put([self._shadow_message(self._telemetry(seq=0))])
            self._wake_link()
        self._show_health()

    def _publish_figures(self) -> None:
        assert self._engine is not None
        assert self._meter is not None
        now = time.time()
        values = report.figures(self._engine, self._meter.reading(now), now)
        metadata = {
            name: {"units": report.UNITS[name], "type": "float", "tz": "UTC"} for name in values
        }
        self._publish("all", [values, metadata])

    def _publish(self, what: str, message: Any) -> None:
        """To `ven/{venId}/…`, for a historian or another agent. Not waited for."""
        assert self._config is not None
        topic = f"ven/{self._config.ven_id}/{what}"
        now = format_timestamp(get_aware_utc_now())
        headers = {"TimeStamp": now, "Date": now}
        self.vip.pubsub.publish("pubsub", topic, headers=headers, message=message)

    def _show_health(self) -> None:
        """Health in a sentence for a person; sent only when it changes."""
        changed = self._vitals.look(
            self._config, self._link, self._meter, self._engine, time.time()
        )
        if changed is not None:
            status, sentence = changed
            self.vip.health.set_status(status, sentence)

    # ---- RPC -----------------------------------------------------------------------------

    def _get(self, what: str) -> Any:
        """What the `get` command and the RPC exports show."""
        assert self._config is not None
        if what == "config":
            return json.loads(self._config.model_dump_json())
        telemetry = self._telemetry(seq=0)
        if what == "loads":
            return report.loads_snapshot(telemetry).to_wire()["loads"]
        if what == "shadow":
            return self._shadow(telemetry)
        return self._status(telemetry)

    def _status(self, telemetry: Telemetry) -> dict[str, Any]:
        assert self._engine is not None
        assert self._config is not None
        assert self._link is not None
        event = self._engine.running
        status, sentence = self._vitals.shown
        return {
            "ven_id": self._config.ven_id,
            "version": __version__,
            "health": status,
            "health_context": sentence,
            "online": self._link.state.online,
            "power_kw": telemetry.used_power_kw,
            "baseline_kw": telemetry.baseline_power_kw,
            "shed_kw": telemetry.shed_power_kw,
            "quality": telemetry.quality.value,
            "outbox_depth": self._outbox.depth(),
            "active_event": None if event is None else event.as_record(),
            "scheduled_events": [e.as_record() for e in self._engine.scheduled.values()],
        }

    @RPC.export
    def status(self) -> dict[str, Any]:
        """The agent's state: health, broker, power and shed (kW), active and scheduled events."""
        return self._get("status") if self._config else {"health": self._vitals.shown[0]}

    @RPC.export
    def get_panel(self) -> dict[str, Any]:
        """The panel as the device shadow reports it: totals and circuits (kW, A, V)."""
        return self._get("shadow")

    @RPC.export
    def send_event(
        self, shed_kw: float, duration_sec: float = 3600.0, event_id: str | None = None
    ) -> Mapping[str, Any]:
        """Begin an event here and now, as if the cloud had sent it; returns its ack.

        :param shed_kw: power to shed, kW.
        :param duration_sec: how long, seconds.
        :param event_id: its name; made up if none.
        """
        return self._command(
            {
                "op": "event",
                "shed_kw": shed_kw,
                "duration_sec": duration_sec,
                **({} if event_id is None else {"event_id": event_id}),
            }
        )

    @RPC.export
    def restore(self, event_id: str | None = None) -> Mapping[str, Any]:
        """End the active event (or the one named) and restore its circuits; returns the ack."""
        return self._command(
            {"op": "restore", **({} if event_id is None else {"event_id": event_id})}
        )

    def _command(self, command: dict[str, Any]) -> Mapping[str, Any]:
        """Obey a command of this platform, and wait for its ack."""
        if self._performer is None:
            return {"ok": False, "status": "failed", "reason": self._vitals.shown[1]}
        correlation_id = f"rpc-{uuid.uuid4()}"
        self._performer.expect(correlation_id)
        self._obey(json.dumps({**command, "correlationId": correlation_id}).encode())
        answer = self._performer.answer_of(correlation_id, RPC_ANSWER_SEC)
        return answer or {
            "ok": False,
            "status": "failed",
            "correlationId": correlation_id,
            "reason": f"no answer within {RPC_ANSWER_SEC:g} s; look at status()",
        }


def _link_settings(config: AgentConfig) -> tuple[Any, ...]:
    """What the connection depends on: a change of it makes a new one."""
    return config.broker, config.ven_id, config.topic_names()


def main() -> None:
    """Entry point of the installed agent."""
    run_agent(VenAgent, identity=IDENTITY, version=__version__)


if __name__ == "__main__":
    main()
