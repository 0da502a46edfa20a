"""What the site reports: telemetry, loads, shadow, and figures for the bus."""

from __future__ import annotations

from typing import Any

from VenAgent.contract.json_codec import rounded
from VenAgent.contract.shadow import reported_state
from VenAgent.contract.telemetry import (
    Availability,
    AvailabilityState,
    CircuitEntry,
    LoadEntry,
    LoadsSnapshot,
    Quality,
    Telemetry,
)
from VenAgent.dr.circuit_selection import sheddable_kw
from VenAgent.dr.engine import Engine
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Circuit, Control, Reading


def telemetry(
    engine: Engine, reading: Reading, quality: Quality, *, seq: int, now: float
) -> Telemetry:
    """The telemetry of `now` (epoch s) from `reading`."""
    panel, event = engine.panel, engine.shedding
    power_kw = reading.power_kw
    voltage = reading.voltage or panel.voltage  # a dead voltage input says 0
    amps = reading.current_amps
    if amps is None and power_kw is not None:
        amps = power_kw * 1000.0 / (voltage * panel.phase_factor)
    return Telemetry(
        ven_id=engine.ven_id,
        ts=round(now, 3),
        seq=seq,
        used_power_kw=rounded(power_kw),
        shed_power_kw=rounded(_shed_kw(event, power_kw)),
        requested_reduction_kw=rounded(event.request.shed_kw) or 0.0 if event else 0.0,
        event_id=event.event_id if event else None,
        baseline_power_kw=rounded(engine.baseline_kw(now)),
        battery_soc=rounded(reading.battery_soc),
        panel_amperage_rating=round(panel.amperage),
        panel_voltage=round(panel.voltage),
        voltage=rounded(reading.voltage),
        panel_max_kw=panel.max_kw,
        current_amps=rounded(amps),
        panel_utilization_percent=(
            None if amps is None else rounded(100.0 * amps / panel.amperage, 1)
        ),
        quality=quality,
        availability=availability(engine, now),
        circuits=tuple(_circuit_entry(c, reading, voltage / panel.voltage) for c in panel.circuits),
        loads=tuple(
            _load_entry(c, reading, takes_part=engine.opted_out(now) is None)
            for c in panel.circuits
        ),
    )


def availability(engine: Engine, now: float) -> Availability:
    """Whether the site takes part in events now, and until when it does not."""
    opted_out = engine.opted_out(now)
    if opted_out is None:
        return Availability()
    return Availability(
        state=AvailabilityState.OPTED_OUT,
        until_ts=rounded(engine.opted_out_until_ts()),
        reason_code=opted_out.code,
    )


def _shed_kw(event: Event | None, power_kw: float | None) -> float | None:
    """What an event has taken off the meter; None while that is not read, 0.0 without an event."""
    if event is None:
        return 0.0
    return None if power_kw is None else event.shed_at(power_kw)


def loads_snapshot(message: Telemetry) -> LoadsSnapshot:
    """The loads of a telemetry as a message of their own."""
    return LoadsSnapshot(ven_id=message.ven_id, ts=message.ts, loads=message.loads)


def shadow(engine: Engine, message: Telemetry, *, report_interval_sec: float) -> dict[str, Any]:
    """The shadow's reported state that belongs to a telemetry."""
    event = engine.shedding
    return reported_state(
        message,
        available={load.id: load.shed_capability_kw > 0.0 for load in message.loads},
        active_event=(
            None
            if event is None
            else {
                "event_id": event.event_id,
                "shed_kw": rounded(event.request.shed_kw),
                "end_ts": rounded(event.request.end_ts),
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


def figures(engine: Engine, reading: Reading, now: float) -> dict[str, float]:
    """The site's figures for a historian on the bus; what was not read is left out."""
    event = engine.shedding
    values = {
        "power_kw": reading.power_kw,
        "baseline_kw": engine.baseline_kw(now),
        "shed_kw": _shed_kw(event, reading.power_kw),
        "requested_kw": event.request.shed_kw if event else 0.0,
        "predicted_kw": event.predicted_kw if event else 0.0,
    }
    return {name: round(value, 3) for name, value in values.items() if value is not None}


def meter_fault(quality: Quality, up_sec: float, patience_sec: float) -> str | None:
    """What a person should know of the meter's readings; None when they are good, or when none
    can be there yet: the agent has been up for `up_sec`, less than `patience_sec`."""
    is_good = quality is Quality.GOOD
    if is_good or (quality is Quality.MISSING and up_sec < patience_sec):
        return None
    return f"the meter's readings are {quality.value}"


def over_current(telemetry: Telemetry) -> str | None:
    """What draws more than it is rated for; None when nothing does."""
    found = []
    amps, rating = telemetry.current_amps, telemetry.panel_amperage_rating
    if amps is not None and amps > rating:
        found.append(f"the panel draws {amps:.0f} A of {rating:.0f} A")
    found += [
        f"{circuit.name} draws {circuit.current_amps:.0f} A of {circuit.breaker_amps:.0f} A"
        for circuit in telemetry.circuits
        if circuit.current_amps is not None and circuit.current_amps > circuit.breaker_amps
    ]
    return "; ".join(found) or None


def _circuit_entry(circuit: Circuit, reading: Reading, relative_voltage: float) -> CircuitEntry:
    """`relative_voltage`: the panel's, as a part of what it is nominally."""
    read = reading.circuit(circuit.id)
    amp_kw = circuit.voltage * relative_voltage * circuit.phase_factor / 1000.0
    amps = None if read.power_kw is None else read.power_kw / amp_kw
    return CircuitEntry(
        id=circuit.id,
        name=circuit.name,
        breaker_amps=circuit.breaker_amps,
        current_kw=rounded(read.power_kw),
        current_amps=rounded(amps),
        enabled=read.closed,
        critical=circuit.critical,
    )


def _load_entry(circuit: Circuit, reading: Reading, *, takes_part: bool) -> LoadEntry:
    read = reading.circuit(circuit.id)
    usable = (
        takes_part
        and read.closed is not False
        and not (circuit.control is Control.LIMIT and read.limit is None)
    )
    shed_kw = sheddable_kw(circuit, read.power_kw) if usable and read.power_kw else 0.0
    return LoadEntry(
        load_id=circuit.id,
        id=circuit.id,
        name=circuit.name,
        type=circuit.type,
        capacity_kw=circuit.rating_kw,
        current_power_kw=rounded(read.power_kw),
        shed_capability_kw=rounded(shed_kw) or 0.0,
        enabled=read.closed,
        priority=circuit.priority,
    )
