"""The building of a house in memory: what its circuits draw, what is read and written of it.

The circuits draw what they demand unless a contactor is open or a limit lies below. A test may
break circuits and lose the meter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tests.dr.builders import DRAWS_KW, NOW, house_panel
from VenAgent.dr.panel import Panel, PanelCircuitControl, PanelCircuitReading, PanelReading
from VenAgent.dr.point_write import PointWrite


class HouseBuilding:
    """Nothing in it decides anything: that is the agent's, in `House`."""

    def __init__(
        self, panel: Panel | None = None, draws_kw: Mapping[str, float] | None = None
    ) -> None:
        self.panel = self.configured = panel or house_panel()
        """What is there, and what of it the agent's configuration names."""
        self.now = NOW
        self.demand_kw = dict(draws_kw or DRAWS_KW)
        self.closed = {circuit.id: True for circuit in self.panel.circuits}
        self.limits = {
            circuit.id: 100.0
            for circuit in self.panel.circuits
            if circuit.control is PanelCircuitControl.LIMIT
        }
        # Faults, by circuit: a write that fails; one that fails though the device switches; and one
        # that is confirmed though the device does not switch.
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self.stuck: set[str] = set()
        self.partial: dict[str, float] = {}
        """Limits that are followed in part only, and how much of what was asked."""
        self.meter_works = True
        self.away: set[str] = set()
        """Devices that do not answer."""
        self.meter_lag_sec = 0.0
        self.meter_scale = 1.0
        """What is read, by what is drawn: another than 1 is a wrong configuration."""
        self.written: list[PointWrite] = []
        """All points written, restored ones too."""
        self._shown: tuple[float, dict[str, float]] = (-math.inf, {})

    def drawn_kw(self, circuit_id: str) -> float:
        if not self.closed[circuit_id]:
            return 0.0
        circuit = self.panel.by_id[circuit_id]
        demand_kw = self.demand_kw[circuit_id]
        if circuit.limit is None or circuit_id not in self.limits:
            return demand_kw
        limit = circuit.limit.limit_of(self.limits[circuit_id])
        if circuit.generates:
            return demand_kw if limit is None else max(demand_kw, -circuit.limit.kw_of(limit))
        limited_kw = demand_kw if limit is None else min(demand_kw, circuit.limit.kw_of(limit))
        return demand_kw - self.partial.get(circuit_id, 1.0) * (demand_kw - limited_kw)

    @property
    def power_kw(self) -> float:
        return sum(self.drawn_kw(circuit.id) for circuit in self.panel.circuits)

    @property
    def setting(self) -> dict[str, float | bool]:
        """What every point that can be written holds now."""
        return {
            circuit.id: self.limits.get(circuit.id, self.closed[circuit.id])
            for circuit in self.panel.circuits
        }

    def read(self) -> PanelReading:
        if not self.meter_works:
            return PanelReading(self.now, None, {})
        changed_ts, before = self._shown
        settling = self.now < changed_ts + self.meter_lag_sec
        draws_kw = {
            circuit.id: self.meter_scale
            * (before[circuit.id] if settling else self.drawn_kw(circuit.id))
            for circuit in self.panel.circuits
        }
        circuits = {
            circuit_id: self._read_circuit(circuit_id, draws_kw[circuit_id])
            for circuit_id in draws_kw
            if circuit_id in self.configured.by_id
        }
        return PanelReading(self.now, sum(draws_kw.values()), circuits)

    def _read_circuit(self, circuit_id: str, power_kw: float) -> PanelCircuitReading:
        """With the polarity that the configuration names, which may not be that of the wires."""
        configured, wired = self.configured.by_id[circuit_id], self.panel.by_id[circuit_id]
        if configured.point.rpartition("/")[0] in self.away:
            return PanelCircuitReading()
        closed = self.closed[circuit_id]
        return PanelCircuitReading(
            power_kw,
            closed if configured.inverted == wired.inverted else not closed,
            self.limits.get(circuit_id),
            point=configured.point,
            inverted=configured.inverted,
        )

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        """Write the points; why not, by circuit."""
        self._shown = (self.now, {c.id: self.drawn_kw(c.id) for c in self.panel.circuits})
        failures = {}
        for write in writes:
            circuit = self.panel.by_id[write.circuit_id]
            assert write.point in (circuit.point, circuit.switch_point)
            opens = write.value is False or not isinstance(write.value, bool)
            assert circuit.kept_fraction < 1.0 or not opens, f"{circuit.id} is protected"
            self.written.append(write)
            if circuit.id in self.broken | self.silent:
                failures[circuit.id] = "no answer from the device"
            if circuit.id in self.broken | self.stuck:
                continue
            if write.point != circuit.switch_point:
                assert not isinstance(write.value, bool)
                self.limits[circuit.id] = write.value
            else:
                assert isinstance(write.value, bool)
                is_as_wired = write.inverted == circuit.inverted
                self.closed[circuit.id] = write.value if is_as_wired else not write.value
        return failures

    def opened(self) -> set[str]:
        return {circuit_id for circuit_id, closed in self.closed.items() if not closed}
