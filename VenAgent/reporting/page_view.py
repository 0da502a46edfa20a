"""What the local page shows of the site: a `PageSource`, and the curve of the last hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.event_request import STOP
from VenAgent.dr.event_state import EventState
from VenAgent.dr.panel import PanelCircuit, PanelCircuitControl, PanelCircuitReading, PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.reporting.active_alerts import ActiveAlerts
from VenAgent.reporting.event_view import event_view_for_page, event_view_next
from VenAgent.reporting.load_flexibility import load_flexibility
from VenAgent.reporting.page_archive import PageArchive
from VenAgent.reporting.power_curve import PowerCurve, PowerCurveFile
from VenAgent.reporting.reporter import Reporter
from VenAgent.reporting.site_status import SiteCloudStatus
from VenAgent.storage.event_record import from_event_record
from VenAgent.storage.journal import Journal
from VenAgent.storage.minute_power import MinutePower
from VenAgent.storage.power_history import PowerHistory
from VenAgent.version import __version__

if TYPE_CHECKING:
    from VenAgent.site.meter import Meter

Json = Mapping[str, Any]
EVENTS_KEPT_READ = 20
EVENTS_AT_ONCE = 4
"""So many are made ready before others take their turn: an event that begins waits for no list."""
READ_AGAIN_SEC = 30.0
"""What is added to an event that is over, its rebound, is seen as late as this."""


class _CommandDoor(Protocol):
    """Where what a person does at the page goes; each returns its ack."""

    def command(self, fields: Json) -> Json: ...

    def opt_out(self, reason: str, duration_sec: float | None) -> Json: ...

    def opt_in(self) -> Json: ...


class PageView:
    """One site, read only when it is asked. `cloud` and `health` (what `vctl status` shows) are
    asked each time; `data`: the folder where the page's curves are kept; `pause`: lets the agent's
    other greenlets have a turn."""

    def __init__(
        self,
        engine: Engine,
        meter: Meter,
        reporter: Reporter,
        alerts: ActiveAlerts,
        journal: Journal,
        door: _CommandDoor,
        cloud: Callable[[], SiteCloudStatus],
        health: Callable[[], Mapping[str, str]],
        data: Path,
        history: PowerHistory,
        clock: Callable[[], float] = time.time,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._meter = meter
        self._reporter = reporter
        self._alerts = alerts
        self._journal = journal
        self._door = door
        self._cloud_status = cloud
        self._health = health
        self._clock = clock
        self._pause = pause
        self._curve = PowerCurve()
        self._curve_file = PowerCurveFile(
            data / "curve.json", self._curve, engine.panel.measured_by
        )
        self._curve_file.load(clock())
        self._minutes = MinutePower(data / "minutes.sqlite")
        self._archive = PageArchive(engine, journal, history, self._minutes, pause)
        self._finished: list[dict[str, Any]] | None = None
        self._finished_at = 0.0
        self._changes = 0

    # ---- what is -------------------------------------------------------------------------

    def status(self) -> Json:
        now, engine = self._clock(), self._engine
        telemetry, event = self._reporter.telemetry(), engine.running
        age_sec, refusal = self._meter.points.age_sec(now), engine.opted_out(now)
        waiting = engine.scheduled.values()
        return {
            "ven_id": engine.ven_id,
            "version": __version__,
            "ts": round(now, 3),
            **self._health(),
            "power_kw": telemetry.used_power_kw,
            "baseline_kw": telemetry.baseline_power_kw,
            "target_kw": json_number(_target_kw(event)),
            "shed_kw": telemetry.shed_power_kw,
            "panel_max_kw": telemetry.panel_max_kw,
            "panel_amperage": telemetry.panel_amperage_rating,
            "voltage": telemetry.voltage,
            "current_amps": telemetry.current_amps,
            "utilization_percent": telemetry.panel_utilization_percent,
            "battery_soc_percent": telemetry.battery_soc,
            "quality": telemetry.quality.value,
            "meter_age_sec": None if age_sec is None else round(max(0.0, age_sec), 1),
            "event": None if event is None else event_view_for_page(event),
            "scheduled": [event_view_for_page(e) for e in event_view_next(waiting)],
            "scheduled_count": len(waiting),
            "availability": telemetry.availability.model_dump(mode="json"),
            "opted_out": refusal
            and {"reason": refusal.text, "until_ts": json_number(engine.opted_out_until_ts(now))},
            "cloud": self._cloud(),
        }

    def _cloud(self) -> Json:
        cloud = self._cloud_status()
        return {
            "online": cloud.link.online,
            "since_ts": round(cloud.link.since_ts, 3),
            "why": cloud.link.why,
            "host": cloud.host,
            "port": cloud.port,
            "outbox_depth": cloud.backlog.messages,
            "commands_dropped": cloud.commands_dropped,
            "certificate_expiry_ts": cloud.certificate_expires_ts,
        }

    def circuits(self) -> Sequence[Json]:
        now, engine = self._clock(), self._engine
        reading, event = self._meter.reading(now), engine.running
        spared = engine.reasons_spared(now)
        capability = {load.id: load for load in self._reporter.telemetry().loads}
        held = {} if event is None else {c.circuit_id: c for c in event.held() if c.counts}
        return [
            {
                **_circuit(circuit, reading, held.get(circuit.id)),
                "shed_capability_kw": capability[circuit.id].shed_capability_kw,
                "flexibility": load_flexibility(
                    circuit, reading.circuit(circuit.id), is_shed=circuit.id in held
                ),
                "reason": _reason(
                    circuit, held.get(circuit.id), spared, self._idle_word(circuit, reading, now)
                ),
            }
            for circuit in engine.panel.circuits
        ]

    def _idle_word(self, circuit: PanelCircuit, reading: PanelReading, now: float) -> str:
        """What is said of a circuit that nothing keeps from being shed; empty in an event."""
        if self._engine.running is not None:
            return ""
        if reading.circuit(circuit.id).power_kw is None:
            return "not read: it cannot be shed"
        if self._engine.opted_out(now) is not None:
            return "not shed: the site has opted out"
        return "ready to be shed"

    def events(self, limit: int) -> Sequence[Json]:
        running = self._engine.running
        is_sent = running is not None and running.request.op != STOP
        now = [event_view_for_page(running)] if running is not None and is_sent else []
        return [*now, *self._past(limit)][:limit]

    def _past(self, limit: int) -> list[dict[str, Any]]:
        """The events that are over. The latest few are read once, until something changes."""
        if limit > EVENTS_KEPT_READ:
            return _over(self._journal.latest(limit), self._pause)
        now = self._clock()
        if self._finished is not None and abs(now - self._finished_at) <= READ_AGAIN_SEC:
            return self._finished
        known = self._changes
        finished = _over(self._journal.latest(EVENTS_KEPT_READ), self._pause)
        if self._changes == known:  # nothing changed during a pause
            self._finished, self._finished_at = finished, now
        return finished

    def forget_events(self) -> None:
        self._finished = None
        self._changes += 1

    def alerts(self) -> Json:
        return {"active": self._alerts.active(), "recent": self._alerts.recent()}

    def history(self) -> Json:
        return self._curve.columns(self._clock())

    def event_in_full(self, event_id: str) -> Json | None:
        return self._archive.event(event_id)

    def interval_power(self, start_ts: float, count: int) -> Json:
        return self._archive.interval_power(start_ts, count)

    def minute_power(self, circuit_id: str | None, start_ts: float, minutes: int) -> Json:
        return self._archive.minute_power(circuit_id, start_ts, minutes)

    def remember(self, reading: PanelReading) -> None:
        """One more point of the curve."""
        engine = self._engine
        baseline_kw, target_kw = engine.baseline_kw(self._clock()), _target_kw(engine.running)
        self._curve_file.measure_by(engine.panel.measured_by)
        self._curve.add(reading.ts, reading.power_kw, baseline_kw, target_kw)
        circuits = {each.id: reading.circuit(each.id).power_kw for each in engine.panel.circuits}
        self._minutes.add(reading.ts, reading.power_kw, baseline_kw, target_kw, circuits)
        self._curve_file.save_if_due(self._clock())

    def close(self) -> None:
        self._curve_file.save(self._clock())
        self._minutes.close()

    # ---- what is to be -------------------------------------------------------------------

    def command(self, fields: Json) -> Json:
        return self._door.command(fields)

    def opt_out(self, reason: str, duration_sec: float | None) -> Json:
        return self._door.opt_out(reason, duration_sec)

    def opt_in(self) -> Json:
        return self._door.opt_in()


def _target_kw(event: Event | None) -> float | None:
    """The power that the event aims at, while it sheds."""
    if event is not None and event.is_limit and event.state is not EventState.RESTORING:
        fed_in_kw = event.limit_terms.export_kw
        is_alone = event.limit_terms.import_kw is None and fed_in_kw is not None
        return -fed_in_kw if is_alone and fed_in_kw is not None else event.limit_terms.import_kw
    if event is None or event.baseline_kw is None or event.state is EventState.RESTORING:
        return None
    return event.baseline_kw - event.wanted_kw


def _over(records: Iterable[Mapping[str, Any]], pause: Callable[[], None]) -> list[dict[str, Any]]:
    """Those of the journal that are over, newest first; one that cannot be read is not shown."""
    events = []
    for number, record in enumerate(records, start=1):
        if number % EVENTS_AT_ONCE == 0:
            pause()
        try:
            event = from_event_record(record)
        except (KeyError, TypeError, ValueError):
            continue
        if event.state.over and event.request.op != STOP:
            events.append(event_view_for_page(event))
    return sorted(events, key=lambda event: -event["start_ts"])


def _circuit(
    circuit: PanelCircuit, reading: PanelReading, shed: ShedCircuit | None
) -> dict[str, Any]:
    read = reading.circuit(circuit.id)
    return {
        "id": circuit.id,
        "name": circuit.name,
        "type": circuit.type,
        "breaker_amps": circuit.breaker_amps,
        "capacity_kw": json_number(circuit.rating_kw),
        "priority": circuit.priority,
        "critical": circuit.critical,
        "control": circuit.control.value,
        "switchable": bool(circuit.switch_point)
        and not (circuit.critical and read.closed is not False),
        "enabled": read.closed,
        "power_kw": json_number(read.power_kw),
        "state": _state(circuit, read, shed),
        "shed": shed
        and {
            "original_kw": json_number(shed.original_kw),
            "final_kw": json_number(shed.final_kw),
            "shed_kw": json_number(shed.shed_kw),
        },
    }


def _state(circuit: PanelCircuit, read: PanelCircuitReading, shed: ShedCircuit | None) -> str:
    if shed is not None:
        return "shed" if shed.is_switch else "limited"
    if read.closed is False:
        return "off"
    return "unread" if read.power_kw is None else "on"


def _reason(
    circuit: PanelCircuit, shed: ShedCircuit | None, spared: Mapping[str, Reason], idle_word: str
) -> str:
    """Why it is shed or spared; without an event, what one would find."""
    if shed is None:
        why = spared.get(circuit.id)
        if why is None:
            return ""
        return idle_word if idle_word and why.code is ReasonCode.NOT_NEEDED else why.text
    way = "switched off" if shed.is_switch else f"limited to {shed.final_kw:.1f} kW"
    if circuit.control is PanelCircuitControl.POWER and shed.final_kw < 0.0:
        way = f"discharges {-shed.final_kw:.1f} kW"
    if circuit.control is PanelCircuitControl.SETPOINT:
        way = f"setpoint moved from {float(shed.before):g} to {float(shed.value):g}"
        if shed.responded is None:
            return f"{way}, about {shed.shed_kw:.1f} kW less to come: priority {shed.priority}"
    if shed.shed_kw < 0.0:
        way = f"raised to {shed.final_kw:.1f} kW"
        return f"{way}, {-shed.shed_kw:.1f} kW more: priority {shed.priority}"
    return f"{way}, {shed.shed_kw:.1f} kW less: priority {shed.priority}"
