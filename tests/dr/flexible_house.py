"""A house with thermostats, whose power follows their setpoint slowly, and with batteries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.dr.builders import NOW, VOLTAGE, house_panel
from tests.dr.house import House
from VenAgent.dr.comfort_guard import ComfortGuard
from VenAgent.dr.panel import (
    Panel,
    PanelCircuit,
    PanelCircuitControl,
    PanelCircuitReading,
    PanelLimitScale,
    PanelLimitUnit,
    PanelReading,
)
from VenAgent.dr.point_write import PointWrite
from VenAgent.dr.policy import Policy
from VenAgent.dr.setpoint_control import SetpointControl
from VenAgent.dr.storage_control import StorageControl

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


def storage(**changed: Any) -> StorageControl:
    made = StorageControl(
        most_discharge_kw=5.0, most_charge_kw=5.0, capacity_kwh=13.5, reserve_soc_percent=20.0
    )
    return replace(made, **changed)


def battery(
    circuit_id: str = "battery1", control: StorageControl | None = None, *, priority: int = 5
) -> PanelCircuit:
    return PanelCircuit(
        id=circuit_id,
        name=circuit_id.title(),
        type="battery",
        breaker_amps=30.0,
        voltage=VOLTAGE,
        priority=priority,
        control=PanelCircuitControl.POWER,
        point=f"site/{circuit_id}/setpoint_kw",
        storage=control or storage(),
    )


def inverter(circuit_id: str = "pv", rating_kw: float = 10.0, **changed: Any) -> PanelCircuit:
    """Its limit is percent of its rating; it is on a breaker that carries that."""
    made = PanelCircuit(
        id=circuit_id,
        name=circuit_id.title(),
        type="solar",
        breaker_amps=50.0,
        voltage=VOLTAGE,
        control=PanelCircuitControl.LIMIT,
        limit=PanelLimitScale(PanelLimitUnit.PERCENT, rating_kw, VOLTAGE),
        point=f"site/{circuit_id}/limit",
        switch_point=f"site/{circuit_id}/switch",
        generates=True,
    )
    return replace(made, **changed)


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
        self.raised_kw: dict[str, float] = {}
        """What each one's power rises by when its setpoint is moved the other way."""
        self.lag_sec = SETTLE_SEC - 60.0
        self.values: dict[str, float | None] = {}
        """What the guard points read."""
        self.relinquished: set[str] = set()
        self.is_bacnet = False
        """Setpoints are commandable objects: ours stands over the building's own."""
        self.own: dict[str, float] = {}
        """What the building's own control has the setpoints at."""
        self._moved_ts: dict[str, float] = {}
        self.soc_percent: dict[str, float] = {}
        self.told_soc: dict[str, float | None] = {}
        """What a battery says instead of its true charge."""
        self.remote: dict[str, bool] = {}
        """Whether a battery follows its commanded power; else its own programme, the demand."""
        self.lowest_soc: dict[str, float] = {}
        """The least that each was discharged to while it was commanded."""
        self.highest_soc: dict[str, float] = {}
        """The most that each was charged to while it was."""
        self._stepped_ts = self.now
        for circuit in panel.circuits:
            if circuit.storage is not None:
                self.limits[circuit.id], self.remote[circuit.id] = 0.0, False
                self.soc_percent[circuit.id] = 60.0
            if circuit.setpoint is not None:
                self.limits[circuit.id] = self.own[circuit.id] = OWN_SETPOINT_C
            if circuit.guard is not None:
                self.values[circuit.id] = OWN_SETPOINT_C + 1.0

    def drawn_kw(self, circuit_id: str) -> float:
        circuit = self.panel.by_id[circuit_id]
        if circuit.storage is not None and circuit_id in self.remote:
            register_kw = circuit.storage.kw_of(self.limits[circuit_id])
            return register_kw if self.remote[circuit_id] else self.demand_kw[circuit_id]
        power_kw = super().drawn_kw(circuit_id)
        if circuit.setpoint is None:
            return power_kw
        moved = self.limits[circuit_id] - OWN_SETPOINT_C
        is_less = moved > 0.0 if circuit.setpoint.rises else moved < 0.0
        since_ts = self._moved_ts.get(circuit_id, NOW - 1e9)
        if is_less and self.now >= since_ts + self.lag_sec:
            power_kw -= self.effects_kw.get(circuit_id, 0.0)
        is_more = moved < 0.0 if circuit.setpoint.rises else moved > 0.0
        if is_more and self.now >= since_ts + self.lag_sec:
            power_kw += self.raised_kw.get(circuit_id, 0.0)
        return max(0.0, power_kw)

    def step_storage(self) -> None:
        """Charge and discharge for the time that has passed, with the power as it is."""
        hours = (self.now - self._stepped_ts) / 3600.0
        self._stepped_ts = self.now
        for name in self.soc_percent:
            control = self.panel.by_id[name].storage
            assert control is not None
            one_way = control.round_trip_efficiency**0.5
            power_kw = self.drawn_kw(name)
            stored_kw = power_kw * one_way if power_kw > 0.0 else power_kw / one_way
            percent = self.soc_percent[name] + 100.0 * stored_kw * hours / control.capacity_kwh
            self.soc_percent[name] = min(100.0, max(0.0, percent))
            if self.remote[name] and power_kw < 0.0 and hours > 0.0:
                lowest = self.lowest_soc.get(name, 100.0)
                self.lowest_soc[name] = min(lowest, self.soc_percent[name])
            if self.remote[name] and power_kw > 0.0 and hours > 0.0:
                highest = self.highest_soc.get(name, 0.0)
                self.highest_soc[name] = max(highest, self.soc_percent[name])

    def read(self) -> PanelReading:
        self.step_storage()
        return super().read()

    def _read_circuit(self, circuit_id: str, power_kw: float) -> PanelCircuitReading:
        read = super()._read_circuit(circuit_id, power_kw)
        circuit = self.panel.by_id[circuit_id]
        if circuit.guard is not None and circuit.point.rpartition("/")[0] not in self.away:
            read = replace(read, guard=self.values.get(circuit_id))
        is_away = circuit.point.rpartition("/")[0] in self.away
        if circuit.storage is not None and not is_away and circuit_id in self.remote:
            charge = self.told_soc.get(circuit_id, self.soc_percent[circuit_id])
            remote = self.remote[circuit_id]
            return replace(read, soc_percent=charge, is_commanded=remote, relinquish=not remote)
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
        self.step_storage()
        failures = super()._write(
            tuple(
                replace(w, value=self.own.get(w.circuit_id, w.value), relinquish=False)
                if w.relinquish
                else w
                for w in writes
            )
        )
        for write in writes:
            if write.circuit_id in self.remote:
                done = write.circuit_id not in self.broken | self.stuck
                self.remote[write.circuit_id] ^= done and (
                    self.remote[write.circuit_id] is write.relinquish
                )
        self.relinquished |= {w.circuit_id for w in writes if w.relinquish} - set(failures)
        return failures

    def move_clock(self, step_sec: float) -> None:
        """Only the clock moves: nothing is charged or discharged by that."""
        self.step_storage()
        super().move_clock(step_sec)
        self._stepped_ts += step_sec
        self._moved_ts = {name: ts + step_sec for name, ts in self._moved_ts.items()}

    def go_back_by_themselves(self) -> None:
        self.step_storage()
        super().go_back_by_themselves()
        for held in self.engine.running.held() if self.engine.running else ():
            if held.relinquish and held.circuit_id in self.remote:
                self.remote[held.circuit_id] = False

    def moved(self) -> dict[str, float]:
        """The setpoints that are not as they were."""
        return {
            name: self.limits[name] for name, own in self.own.items() if self.limits[name] != own
        }
