"""A house with thermostats: rooftop units whose power follows their setpoint slowly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.dr.builders import NOW, VOLTAGE, house_panel
from tests.dr.house import House
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.panel import Panel, PanelCircuit, PanelCircuitControl, PanelCircuitReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.policy import Policy
from VenAgent.dr.setpoint_control import SetpointControl

OWN_SETPOINT_C = 22.0
SETTLE_SEC = 300.0
ZONE_MAX_C = 26.0


def cooling(**changed: Any) -> SetpointControl:
    """A thermostat that cools: shed by two degrees more."""
    made = SetpointControl(
        minimum=18.0,
        maximum=26.0,
        rises=True,
        offset=2.0,
        step=0.5,
        settle_sec=SETTLE_SEC,
        configured_kw=2.0,
    )
    return replace(made, **changed)


def thermostat(
    circuit_id: str,
    setpoint: SetpointControl | None = None,
    *,
    priority: int = 5,
    guard: ComfortGuard | None = None,
    **fields: Any,
) -> PanelCircuit:
    return PanelCircuit(
        id=circuit_id,
        name=circuit_id.title(),
        type="hvac",
        breaker_amps=30.0,
        voltage=VOLTAGE,
        priority=priority,
        control=PanelCircuitControl.SETPOINT,
        point=f"site/{circuit_id}/setpoint",
        setpoint=setpoint or cooling(),
        guard=guard,
        **fields,
    )


def zone_guard(margin: float = 0.5) -> ComfortGuard:
    return ComfortGuard(maximum=ZONE_MAX_C, margin=margin, unit="celsius")


def shop_panel(*circuits: PanelCircuit) -> Panel:
    """These beside the circuits of the house, without its most flexible ones."""
    house = [c for c in house_panel().circuits if c.id in ("range1", "outlets1", "fridge1")]
    return replace(house_panel(), circuits=(*circuits, *house))


class FlexibleHouse(House):
    """`effects_kw`: what each thermostat's power falls by, `lag_sec` after its setpoint moved."""

    def __init__(
        self,
        panel: Panel,
        draws_kw: Mapping[str, float],
        effects_kw: Mapping[str, float],
        policy: Policy | None = None,
    ) -> None:
        super().__init__(panel, draws_kw, policy)
        self.effects_kw = dict(effects_kw)
        self.lag_sec = SETTLE_SEC - 60.0
        self.values: dict[str, float | None] = {}
        """What the guard points read."""
        self.relinquished: set[str] = set()
        self.is_bacnet = False
        """Setpoints are commandable objects: ours stands over the building's own."""
        self.own: dict[str, float] = {}
        """What the building's own control has the setpoints at."""
        self._moved_ts: dict[str, float] = {}
        for circuit in panel.circuits:
            if circuit.setpoint is not None:
                self.limits[circuit.id] = self.own[circuit.id] = OWN_SETPOINT_C
            if circuit.guard is not None:
                self.values[circuit.id] = OWN_SETPOINT_C + 1.0

    def drawn_kw(self, circuit_id: str) -> float:
        circuit = self.panel.by_id[circuit_id]
        power_kw = super().drawn_kw(circuit_id)
        if circuit.setpoint is None:
            return power_kw
        moved = self.limits[circuit_id] - OWN_SETPOINT_C
        is_less = moved > 0.0 if circuit.setpoint.rises else moved < 0.0
        since_ts = self._moved_ts.get(circuit_id, NOW - 1e9)
        if is_less and self.now >= since_ts + self.lag_sec:
            power_kw -= self.effects_kw.get(circuit_id, 0.0)
        return max(0.0, power_kw)

    def _read_circuit(self, circuit_id: str, power_kw: float) -> PanelCircuitReading:
        read = super()._read_circuit(circuit_id, power_kw)
        circuit = self.panel.by_id[circuit_id]
        if circuit.guard is not None and circuit.point.rpartition("/")[0] not in self.away:
            read = replace(read, guard=self.values.get(circuit_id))
        relinquish = self.is_bacnet and circuit.setpoint is not None
        return replace(read, relinquish=relinquish)

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        for write in writes:
            circuit = self.panel.by_id[write.circuit_id]
            if circuit.setpoint is not None:
                self._moved_ts[circuit.id] = self.now
                if not write.relinquish:
                    assert circuit.setpoint.minimum <= float(write.value)
                    assert float(write.value) <= circuit.setpoint.maximum
        failures = super()._write(
            tuple(
                replace(w, value=self.own[w.circuit_id], relinquish=False) if w.relinquish else w
                for w in writes
            )
        )
        self.relinquished |= {w.circuit_id for w in writes if w.relinquish} - set(failures)
        return failures

    def moved(self) -> dict[str, float]:
        """The setpoints that are not as they were."""
        return {
            name: self.limits[name] for name, own in self.own.items() if self.limits[name] != own
        }
