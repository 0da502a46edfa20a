"""What a load's comfort, battery and setpoint are now: for the page and for `get loads`."""

from __future__ import annotations

import math
from typing import Any

from VenAgent.contract.json_codec import json_number
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.learned_shed import LearnedShed
from VenAgent.dr.panel import PanelCircuit, PanelCircuitReading
from VenAgent.dr.setpoint_control import SetpointControl
from VenAgent.dr.storage_control import StorageControl

_SIGNS = {"celsius": "°C", "fahrenheit": "°F", "percent": "%"}


def load_flexibility(
    circuit: PanelCircuit, read: PanelCircuitReading, *, is_shed: bool = False
) -> dict[str, Any]:
    """Empty for a load that has neither guard nor battery nor setpoint; null where nothing was
    read. `text` is a line for a person; of one that is shed, without what a shed would bring."""
    shown: dict[str, Any] = {}
    lines = []
    if circuit.setpoint is not None:
        shown["setpoint"] = _setpoint(circuit.setpoint, read)
        lines += [] if is_shed else [_setpoint_text(circuit.setpoint, read)]
    if circuit.guard is not None:
        shown["comfort"] = _comfort(circuit.guard, read.guard)
        lines.append(_comfort_text(circuit.guard, read.guard))
    if circuit.storage is not None:
        shown["battery"] = _battery(circuit.storage, read.soc_percent)
        lines.append(_battery_text(circuit.storage, read.soc_percent))
    return {**shown, "text": "; ".join(lines)} if shown else {}


def _setpoint(control: SetpointControl, read: PanelCircuitReading) -> dict[str, Any]:
    return {
        "value": json_number(read.limit),
        "minimum": json_number(control.minimum),
        "maximum": json_number(control.maximum),
        "counted_on_kw": json_number(control.expected_kw(read.power_kw)),
        "configured_kw": json_number(control.configured_kw),
        "learned": _learned(control.learned, "sheds"),
        "learned_rise": _learned(control.learned_rise, "rises"),
    }


def _learned(known: LearnedShed | None, counted: str) -> dict[str, Any] | None:
    if known is None:
        return None
    return {
        counted: known.sheds,
        "mean_kw": json_number(known.mean_kw),
        "spread_kw": json_number(known.spread_kw),
        "in_use": known.is_enough,
    }


def _setpoint_text(control: SetpointControl, read: PanelCircuitReading) -> str:
    stands = "not read" if read.limit is None else f"at {read.limit:g}"
    learned, kilowatts = control.learned, control.expected_kw(read.power_kw)
    brings = f"setpoint {stands}, brings about {kilowatts:.1f} kW"
    more = ""
    if control.learned_rise is not None:
        more = f", draws more the other way ({_learned_text(control.learned_rise, 'rise')})"
    if learned is None:
        return f"{brings} (not learned yet){more}"
    return f"{brings} ({_learned_text(learned, 'shed')}){more}"


def _learned_text(known: LearnedShed, what: str) -> str:
    times = f"1 {what}" if known.sheds == 1 else f"{known.sheds} {what}s"
    return f"{times}: {known.mean_kw:.1f} ± {known.spread_kw:.1f} kW"


def _comfort(guard: ComfortGuard, value: float | None) -> dict[str, Any]:
    return {
        "value": json_number(value),
        "minimum": json_number(guard.minimum) if math.isfinite(guard.minimum) else None,
        "maximum": json_number(guard.maximum) if math.isfinite(guard.maximum) else None,
        "reserve": None if value is None else json_number(guard.comfort_reserve(value)),
        "unit": guard.unit,
    }


def _comfort_text(guard: ComfortGuard, value: float | None) -> str:
    unit = _SIGNS.get(guard.unit.lower(), guard.unit)
    bounds = guard.bound_text().removesuffix(f" {guard.unit}")
    reads = "not read" if value is None else f"{value:.1f} {unit}"
    past = value is not None and guard.is_passed(value)
    return f"comfort {reads}, {'must be ' if past else ''}{bounds}"


def _battery(storage: StorageControl, soc_percent: float | None) -> dict[str, Any]:
    spare = None if soc_percent is None else max(0.0, soc_percent - storage.reserve_soc_percent)
    energy_kwh = None if spare is None else spare / 100.0 * storage.capacity_kwh
    return {
        "soc_percent": json_number(soc_percent, 1),
        "reserve_soc_percent": json_number(storage.reserve_soc_percent),
        "above_reserve_kwh": json_number(energy_kwh),
        "max_discharge_kw": json_number(storage.most_discharge_kw),
    }


def _battery_text(storage: StorageControl, soc_percent: float | None) -> str:
    charge = "charge not read" if soc_percent is None else f"charge {soc_percent:.0f} %"
    return f"{charge}, reserve {storage.reserve_soc_percent:g} %"
