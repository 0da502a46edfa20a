"""What the local page shows of a `Ven`: a `PageSource`, and the curve of the last hour."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from VenAgent.contract.json_codec import rounded
from VenAgent.dr.event import Event, EventState
from VenAgent.dr.panel import Circuit, CircuitReading, Control, Reading
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.storage.journal import Journal
from VenAgent.version import __version__
from VenAgent.web.page_source import Json
from VenAgent.web.power_curve import PowerCurve, PowerCurveFile

if TYPE_CHECKING:
    from VenAgent.ven import Ven

EVENTS_KEPT_READ = 20
EVENTS_AT_ONCE = 20
"""So many are made ready before others take their turn: an event that begins waits for no list."""
READ_AGAIN_SEC = 30.0
"""What is added to an event that is over, its rebound, is seen as late as this."""
NOT_NEEDED = "not needed"
OPTED_OUT = "opted out at the site: "
"""What the engine's sentence begins with; the page says so itself."""


class PageView:
    """One Ven, read only when it is asked. `health`: what `vctl status` shows; `curve_path`: where
    the curve of the last hour is kept; `pause`: lets the agent's other greenlets have a turn."""

    def __init__(
        self,
        ven: Ven,
        journal: Journal,
        health: Callable[[], Mapping[str, str]],
        curve_path: Path,
        clock: Callable[[], float] = time.time,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._ven = ven
        self._journal = journal
        self._health = health
        self._clock = clock
        self._pause = pause
        self._curve = PowerCurve()
        self._curve_file = PowerCurveFile(curve_path, self._curve)
        self._curve_file.load(clock())
        self._finished: list[dict[str, Any]] | None = None
        self._finished_at = 0.0

    # ---- what is -------------------------------------------------------------------------

    def status(self) -> Json:
        now, ven = self._clock(), self._ven
        engine, points = ven.engine, ven.meter.points
        telemetry, event = ven.reporter.telemetry(), engine.running
        age_sec, refusal = points.age_sec(now), engine.opted_out(now)
        return {
            "ven_id": ven.config.ven_id,
            "version": __version__,
            "ts": round(now, 3),
            **self._health(),
            "power_kw": telemetry.used_power_kw,
            "baseline_kw": telemetry.baseline_power_kw,
            "target_kw": rounded(_target_kw(event)),
            "shed_kw": telemetry.shed_power_kw,
            "panel_max_kw": telemetry.panel_max_kw,
            "panel_amperage": telemetry.panel_amperage_rating,
            "voltage": telemetry.panel_voltage,
            "current_amps": telemetry.current_amps,
            "utilization_percent": telemetry.panel_utilization_percent,
            "battery_soc_percent": telemetry.battery_soc,
            "quality": telemetry.quality.value,
            "meter_age_sec": None if age_sec is None else round(max(0.0, age_sec), 1),
            "event": None if event is None else _event(event),
            "scheduled": [
                _event(waiting)
                for waiting in sorted(engine.scheduled.values(), key=lambda e: e.start_ts)
            ],
            "opted_out": None if refusal is None else {"reason": refusal.removeprefix(OPTED_OUT)},
            "cloud": self._cloud(),
        }

    def _cloud(self) -> Json:
        ven = self._ven
        state, broker = ven.link.state, ven.config.broker
        return {
            "online": state.online,
            "since_ts": round(state.since_ts, 3),
            "why": state.why,
            "host": broker.host,
            "port": broker.port,
            "outbox_depth": ven.outbox.depth(),
            "commands_dropped": ven.link.dropped,
            "certificate_expiry_ts": (
                None if ven.credentials is None else ven.credentials.expires_ts
            ),
        }

    def circuits(self) -> Sequence[Json]:
        now, ven = self._clock(), self._ven
        reading, event = ven.meter.reading(now), ven.engine.running
        spared = ven.engine.reasons_spared(now)
        capability = {load.id: load for load in ven.reporter.telemetry().loads}
        held = {} if event is None else {c.circuit_id: c for c in event.held() if c.counts}
        return [
            {
                **_circuit(circuit, reading, held.get(circuit.id)),
                "shed_capability_kw": capability[circuit.id].shed_capability_kw,
                "reason": _reason(circuit, held.get(circuit.id), spared, event),
            }
            for circuit in ven.engine.panel.circuits
        ]

    def events(self, limit: int) -> Sequence[Json]:
        running = self._ven.engine.running
        now = [] if running is None else [_event(running)]
        return [*now, *self._past(limit)][:limit]

    def _past(self, limit: int) -> list[dict[str, Any]]:
        """The events that are over. The latest few are read once, until something changes."""
        if limit > EVENTS_KEPT_READ:
            return _over(self._journal.latest(limit), self._pause)
        now = self._clock()
        if self._finished is None or abs(now - self._finished_at) > READ_AGAIN_SEC:
            self._finished = _over(self._journal.latest(EVENTS_KEPT_READ), lambda: None)
            self._finished_at = now
        return self._finished

    def forget_events(self) -> None:
        self._finished = None

    def alerts(self) -> Json:
        alerts = self._ven.alerts
        return {"active": alerts.active(), "recent": alerts.recent()}

    def history(self) -> Json:
        return self._curve.columns(self._clock())

    def remember(self, reading: Reading) -> None:
        """One more point of the curve."""
        engine = self._ven.engine
        baseline_kw = engine.baseline_kw(self._clock())
        self._curve.add(reading.ts, reading.power_kw, baseline_kw, _target_kw(engine.running))
        self._curve_file.keep(self._clock())

    def close(self) -> None:
        self._curve_file.write(self._clock())

    # ---- what is to be -------------------------------------------------------------------

    def command(self, fields: Json) -> Json:
        return self._ven.command(fields)

    def opt_out(self, reason: str) -> Json:
        return self._ven.opt_out(reason)

    def opt_in(self) -> Json:
        return self._ven.opt_in()


def _target_kw(event: Event | None) -> float | None:
    """The power that the event aims at, while it sheds."""
    if event is None or event.baseline_kw is None or event.state is EventState.RESTORING:
        return None
    return event.baseline_kw - event.requested_kw


def _event(event: Event) -> dict[str, Any]:
    began = event.active_ts is not None
    over = event.state.over
    return {
        "event_id": event.event_id,
        "state": event.state.value,
        "start_ts": rounded(event.start_ts),
        "end_ts": rounded(event.ended_ts if over and event.ended_ts else event.end_ts),
        "requested_kw": rounded(event.requested_kw),
        "predicted_kw": rounded(event.predicted_kw) if began else None,
        "measured_kw": rounded(event.measured_kw),
        "baseline_kw": rounded(event.baseline_kw),
        "circuits": [circuit.circuit_id for circuit in event.circuits if circuit.confirmed],
        "reason": event.left_out() if began else None,
        "summary": event.summary() if over and began else None,
    }


def _over(records: Iterable[Mapping[str, Any]], pause: Callable[[], None]) -> list[dict[str, Any]]:
    """Those of the journal that are over, newest first; one that cannot be read is not shown."""
    events = []
    for number, record in enumerate(records, start=1):
        if number % EVENTS_AT_ONCE == 0:
            pause()
        try:
            event = Event.from_record(record)
        except (KeyError, TypeError, ValueError):
            continue
        if event.state.over:
            events.append(_event(event))
    return sorted(events, key=lambda event: -event["start_ts"])


def _circuit(circuit: Circuit, reading: Reading, shed: ShedCircuit | None) -> dict[str, Any]:
    read = reading.circuit(circuit.id)
    return {
        "id": circuit.id,
        "name": circuit.name,
        "type": circuit.type,
        "breaker_amps": circuit.breaker_amps,
        "capacity_kw": rounded(circuit.rating_kw),
        "priority": circuit.priority,
        "critical": circuit.critical,
        "control": circuit.control.value,
        "switchable": bool(circuit.switch_point)
        and not (circuit.critical and read.closed is not False),
        "enabled": read.closed,
        "power_kw": rounded(read.power_kw),
        "state": _state(circuit, read, shed),
        "shed": shed
        and {
            "original_kw": rounded(shed.original_kw),
            "final_kw": rounded(shed.final_kw),
            "shed_kw": rounded(shed.shed_kw),
        },
    }


def _state(circuit: Circuit, read: CircuitReading, shed: ShedCircuit | None) -> str:
    if shed is not None:
        return "limited" if circuit.control is Control.LIMIT else "shed"
    if read.closed is False:
        return "off"
    return "unread" if read.power_kw is None else "on"


def _reason(
    circuit: Circuit, shed: ShedCircuit | None, spared: Mapping[str, str], event: Event | None
) -> str:
    """Why it is shed or spared; without an event, what one would find."""
    if shed is None:
        why = spared.get(circuit.id, "")
        return "ready to be shed" if event is None and why == NOT_NEEDED else why
    way = "switched off" if shed.is_switch else f"limited to {shed.final_kw:.1f} kW"
    return f"{way}, {shed.shed_kw:.1f} kW less: priority {shed.priority}"
