"""What the site reports: telemetry, loads, shadow, and figures for the bus."""

from __future__ import annotations

import math
from typing import Any

from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import ReasonCode
from VenAgent.contract.shadow_document import reported_shadow_document
from VenAgent.contract.telemetry import (
    Telemetry,
    TelemetryAvailability,
    TelemetryAvailabilityState,
    TelemetryCircuit,
    TelemetryLoad,
    TelemetryLoadsMessage,
    TelemetryQuality,
)
from VenAgent.dr.circuit_selection import circuit_selection_candidate
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelCircuit, PanelReading

MEASURED_BETWEEN = (1.0, math.sqrt(3.0), 1.0 / math.sqrt(3.0), 2.0, 0.5)
"""A voltage as it is named, and between line and neutral in place of two lines, or the other way:
of three phases, or of two that are opposite."""
VOLTAGE_TOLERANCE = 0.13
"""So far a supply is from its nominal voltage at the most: the parts above stay apart."""


def build_telemetry(
    engine: Engine, reading: PanelReading, quality: TelemetryQuality, *, seq: int, now: float
) -> Telemetry:
    """The telemetry of `now` (epoch s) from `reading`."""
    panel, event = engine.panel, engine.shedding
    power_kw = reading.power_kw
    relative_voltage = _relative_voltage(reading.voltage, panel.voltage)
    amps = reading.current_amps
    if amps is None and power_kw is not None:
        amps = power_kw * 1000.0 / (panel.voltage * relative_voltage * panel.phase_factor)
    return Telemetry(
        ven_id=engine.ven_id,
        ts=round(now, 3),
        seq=seq,
        used_power_kw=json_number(power_kw),
        shed_power_kw=json_number(_shed_kw(event, power_kw)),
        requested_reduction_kw=json_number(event.wanted_kw) or 0.0 if event else 0.0,
        event_id=event.event_id if event else None,
        event_test=event is not None and event.request.is_test,
        import_limit_kw=json_number(engine.import_limit_kw(now)),
        export_limit_kw=json_number(engine.export_limit_kw(now)),
        baseline_power_kw=json_number(engine.baseline_kw(now)),
        battery_soc=json_number(reading.battery_soc),
        panel_amperage_rating=round(panel.amperage),
        panel_voltage=round(panel.voltage),
        voltage=json_number(reading.voltage),
        panel_max_kw=panel.max_kw,
        current_amps=json_number(amps),
        panel_utilization_percent=(
            None if amps is None else json_number(100.0 * amps / panel.amperage, 1)
        ),
        quality=quality,
        availability=_build_availability(engine, now),
        circuits=tuple(_circuit_entry(c, reading, relative_voltage) for c in panel.circuits),
        loads=_load_entries(engine, reading, now),
    )


def _build_availability(engine: Engine, now: float) -> TelemetryAvailability:
    """Whether the site takes part in events now, and until when it does not."""
    opted_out = engine.opted_out(now)
    if opted_out is None:
        ahead_ts = engine.opts_out_at_ts(now)
        if ahead_ts is None:
            return TelemetryAvailability()
        return TelemetryAvailability(
            until_ts=json_number(ahead_ts), reason_code=ReasonCode.OPT_SCHEDULE
        )
    return TelemetryAvailability(
        state=TelemetryAvailabilityState.OPTED_OUT,
        until_ts=json_number(engine.opted_out_until_ts(now)),
        reason_code=opted_out.code,
    )


def _shed_kw(event: Event | None, power_kw: float | None) -> float | None:
    """What an event has taken off the meter; None while that is not read, 0.0 without an event."""
    if event is None:
        return 0.0
    if event.is_limit:  # it has no baseline: what it holds off, as planned
        return event.predicted_kw
    return None if power_kw is None else event.shed_at(power_kw)


def build_telemetry_loads_message(message: Telemetry) -> TelemetryLoadsMessage:
    """The loads of a telemetry as a message of their own."""
    return TelemetryLoadsMessage(ven_id=message.ven_id, ts=message.ts, loads=message.loads)


def build_shadow_telemetry(
    engine: Engine, message: Telemetry, *, report_interval_sec: float
) -> dict[str, Any]:
    """The shadow's reported state that belongs to a telemetry."""
    event = engine.shedding
    return reported_shadow_document(
        message,
        available={load.id: load.shed_capability_kw > 0.0 for load in message.loads},
        active_event=(
            None
            if event is None
            else {
                "event_id": event.event_id,
                "shed_kw": json_number(event.wanted_kw),
                "end_ts": json_number(event.end_ts),
                **(
                    {"import_kw": json_number(event.limit_terms.import_kw)}
                    if event.is_limit
                    else {}
                ),
                **({"test": True} if event.request.is_test else {}),
            }
        ),
        report_interval_sec=report_interval_sec,
    )


UNITS = {
    "power_kw": "kW",
    "baseline_kw": "kW",
    "shed_kw": "kW",
    "requested_kw": "kW",
    "predicted_kw": "kW",
}


def build_historian_telemetry(
    engine: Engine, reading: PanelReading, now: float
) -> dict[str, float]:
    """The site's figures for a historian on the bus; what was not read is left out."""
    event = engine.shedding
    values = {
        "power_kw": reading.power_kw,
        "baseline_kw": engine.baseline_kw(now),
        "shed_kw": _shed_kw(event, reading.power_kw),
        "requested_kw": event.wanted_kw if event else 0.0,
        "predicted_kw": event.predicted_kw if event else 0.0,
    }
    return {name: round(value, 3) for name, value in values.items() if value is not None}


def _relative_voltage(read: float | None, nominal: float) -> float:
    """What was read as a part of what it is nominally. A meter may measure between other conductors
    than those that the panel's voltage is of; a dead input says 0."""
    parts = ((read or 0.0) / nominal / between for between in MEASURED_BETWEEN)
    return next((part for part in parts if abs(part - 1.0) <= VOLTAGE_TOLERANCE), 1.0)


def _circuit_entry(
    circuit: PanelCircuit, reading: PanelReading, relative_voltage: float
) -> TelemetryCircuit:
    """`relative_voltage`: the panel's, as a part of what it is nominally."""
    read = reading.circuit(circuit.id)
    amp_kw = circuit.voltage * relative_voltage * circuit.phase_factor / 1000.0
    amps = None if read.power_kw is None else read.power_kw / amp_kw
    return TelemetryCircuit(
        id=circuit.id,
        name=circuit.name,
        breaker_amps=circuit.breaker_amps,
        current_kw=json_number(read.power_kw),
        current_amps=json_number(amps),
        enabled=read.closed,
        critical=circuit.critical,
    )


def _load_entries(engine: Engine, reading: PanelReading, now: float) -> tuple[TelemetryLoad, ...]:
    """What the planner could take now, of an event that is long enough: nothing of a circuit that
    it must not touch, for its minimum on time, its guard, or a switch under way."""
    untouchable = engine.site.unavailable(now + engine.site.policy.max_duration_sec, now)
    believed = engine.site.guards.believed(engine.panel, reading, now)
    takes_part = engine.opted_out(now) is None
    return tuple(
        _load_entry(c, believed, takes_part=takes_part and c.id not in untouchable)
        for c in engine.panel.circuits
    )


def _load_entry(circuit: PanelCircuit, reading: PanelReading, *, takes_part: bool) -> TelemetryLoad:
    read = reading.circuit(circuit.id)
    candidate = circuit_selection_candidate(circuit, read) if takes_part else None
    shed_kw = 0.0 if candidate is None else candidate.max_shed_kw
    return TelemetryLoad(
        load_id=circuit.id,
        id=circuit.id,
        name=circuit.name,
        type=circuit.type,
        capacity_kw=circuit.rating_kw,
        current_power_kw=json_number(read.power_kw),
        shed_capability_kw=json_number(shed_kw) or 0.0,
        enabled=read.closed,
        priority=circuit.priority,
    )
