"""The panel itself: contactors, limits, meter and the heartbeat watch. Pure: time is an argument.

Every access goes `advance(moment)` first, then reads or writes. Power is computed when asked for,
so a write is in the very next reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from simulator.appliance_loads import HOUR_SEC
from simulator.heartbeat_watch import HeartbeatWatch
from simulator.moment import Moment
from simulator.panel_loads import PanelLoads
from simulator.simulated_circuit import (
    CIRCUIT_COUNT,
    CIRCUITS,
    SimulatedCircuit,
    SimulatedCircuitControl,
)
from simulator.site_equipment import SiteEquipment

FULL_LIMIT_PERCENT = 100
# Physics moves in steps of one fixed length whatever the polling, so a seed means one history.
STEP_SEC = 1.0


class SimulatedPanelMeter(NamedTuple):
    """One reading of the panel's meter."""

    total_kw: float
    voltage: float
    current_amps: float
    imported_kwh: float
    battery_soc_percent: float
    powers_kw: tuple[float, ...]


class SimulatedPanel:
    """Eight circuits behind one meter.

    `speed` is how many simulated seconds (appliances, energy) pass in a real one.
    """

    def __init__(self, loads: PanelLoads, start: Moment, speed: float = 1.0) -> None:
        self._loads = loads
        self._speed = speed
        self._start_sec = self._now_sec = start.mono_sec
        self._simulated_sec = 0.0
        self._steps_done = 0
        self._imported_kwh = 0.0
        self.contactors_closed = [True] * CIRCUIT_COUNT
        self.limits_percent = [FULL_LIMIT_PERCENT] * CIRCUIT_COUNT
        self.contactor_changed_ts: list[float | None] = [None] * CIRCUIT_COUNT
        self.limit_changed_ts: list[float | None] = [None] * CIRCUIT_COUNT
        self.stuck_contactors: set[int] = set()
        self.limit_shares: dict[int, float] = {}
        """Of a limit that is obeyed in part only: how much of what was asked, 0 to 1."""
        self.natural_overrides_kw: dict[int, float] = {}
        self.equipment: list[SiteEquipment] = []
        """What is behind the meter beside the circuits."""
        self.heartbeat = HeartbeatWatch()
        self.on_watch_fired: Callable[[], None] = lambda: None
        """After all is released: what else lets go, such as BACnet's priority arrays."""
        self.write_count = 0
        self.read_ts: float | None = None
        """When a master read the meter last; epoch seconds."""

    # -- time

    def advance(self, moment: Moment) -> None:
        """Bring everything up to `moment`. A watch that fired in between acts at its own time."""
        deadline_sec = self.heartbeat.deadline_sec
        if deadline_sec is not None and deadline_sec <= moment.mono_sec:
            # A time-out shortened in mid-wait may lie in the past: then it acts now.
            expiry_sec = max(deadline_sec, self._now_sec)
            self._run_until(expiry_sec)
            self.heartbeat.expire()
            self._release_all(moment.wall_ts - (moment.mono_sec - expiry_sec))
            self.on_watch_fired()
        self._run_until(moment.mono_sec)

    def _run_until(self, mono_sec: float) -> None:
        """Let meter and appliances run; the draw is constant between steps and writes."""
        end_sec = (mono_sec - self._start_sec) * self._speed
        while self._simulated_sec < end_sec:
            powers_kw = self.powers_kw()
            imported_kw = max(0.0, self._total_kw(powers_kw))
            step_end_sec = (self._steps_done + 1) * STEP_SEC
            until_sec = min(step_end_sec, end_sec)
            self._imported_kwh += imported_kw * (until_sec - self._simulated_sec) / HOUR_SEC
            self._simulated_sec = until_sec
            if until_sec == step_end_sec:
                self._loads.step(STEP_SEC, powers_kw)
                for equipment in self.equipment:
                    equipment.step(STEP_SEC)
                self._steps_done += 1
        self._now_sec = max(self._now_sec, mono_sec)

    def _release_all(self, wall_ts: float) -> None:
        """What the device does when its master has gone silent: the building comes first."""
        for index in range(CIRCUIT_COUNT):
            self._move_contactor(index, True, wall_ts)
            self._change_limit(index, FULL_LIMIT_PERCENT, wall_ts)

    # -- reading

    def natural_kw(self) -> list[float]:
        """What each circuit would draw in kW, closed and without a limit."""
        natural_kw = list(self._loads.natural_kw())
        for index, power_kw in self.natural_overrides_kw.items():
            natural_kw[index] = power_kw
        return natural_kw

    def powers_kw(self) -> list[float]:
        """What each circuit draws in kW."""
        return [
            self._drawn_kw(index, circuit, natural_kw)
            for index, (circuit, natural_kw) in enumerate(
                zip(CIRCUITS, self.natural_kw(), strict=True)
            )
        ]

    def _drawn_kw(self, index: int, circuit: SimulatedCircuit, natural_kw: float) -> float:
        """Draw in kW. A switch circuit keeps a limit register, but obeys its contactor alone."""
        if not self.contactors_closed[index]:
            return 0.0
        if circuit.control is not SimulatedCircuitControl.LIMIT:
            return natural_kw
        limit_kw = self.limits_percent[index] / 100.0 * circuit.breaker_kw
        limited_kw = min(natural_kw, limit_kw)
        if index in self.limit_shares:
            return natural_kw - self.limit_shares[index] * (natural_kw - limited_kw)
        return limited_kw

    def _total_kw(self, powers_kw: Sequence[float]) -> float:
        """At the meter: the circuits, and the equipment beside them."""
        return sum(powers_kw) + sum(each.power_kw for each in self.equipment)

    def meter(self) -> SimulatedPanelMeter:
        """One coherent reading of everything that is measured."""
        powers_kw = self.powers_kw()
        total_kw = self._total_kw(powers_kw)
        voltage = self._loads.voltage
        return SimulatedPanelMeter(
            total_kw=total_kw,
            voltage=voltage,
            current_amps=total_kw * 1000.0 / voltage,
            imported_kwh=self._imported_kwh,
            battery_soc_percent=self._loads.battery_soc_percent,
            powers_kw=tuple(powers_kw),
        )

    # -- writing

    def write_contactors(self, first: int, closed: Sequence[bool], moment: Moment) -> None:
        """Command contactors from circuit `first` on; a stuck one accepts this and stays."""
        for index, value in enumerate(closed, first):
            self.write_count += 1
            self._move_contactor(index, value, moment.wall_ts)

    def write_limits(self, first: int, percents: Sequence[int], moment: Moment) -> None:
        """Set limits from circuit `first` on, each 0-100 % of the circuit's breaker rating."""
        for index, value in enumerate(percents, first):
            self.write_count += 1
            self._change_limit(index, value, moment.wall_ts)

    def move_by_hand(self, index: int, closed: bool, moment: Moment) -> None:
        """A person at the site moves one contactor; a stuck one stays."""
        self._move_contactor(index, closed, moment.wall_ts)

    def power_up(self, moment: Moment) -> None:
        """What the supply leaves when it comes back: all closed, no limits, the watch disarmed."""
        self.advance(moment)
        self._release_all(moment.wall_ts)
        self.heartbeat.power_up()

    def _move_contactor(self, index: int, closed: bool, wall_ts: float) -> None:
        if index in self.stuck_contactors or self.contactors_closed[index] == closed:
            return
        self.contactors_closed[index] = closed
        self.contactor_changed_ts[index] = wall_ts

    def _change_limit(self, index: int, percent: int, wall_ts: float) -> None:
        if self.limits_percent[index] == percent:
            return
        self.limits_percent[index] = percent
        self.limit_changed_ts[index] = wall_ts

    # -- for the control port

    def state(self, moment: Moment) -> dict[str, Any]:
        """Everything there is to know at `moment`; `changed_ts` null = never changed."""
        self.advance(moment)
        meter = self.meter()
        return {
            "contactors": _by_id(self.contactors_closed),
            "limits_percent": _by_id(self.limits_percent),
            "powers_kw": _by_id(meter.powers_kw),
            "natural_kw": _by_id(self.natural_kw()),
            "total_kw": meter.total_kw,
            "voltage": meter.voltage,
            "current_amps": meter.current_amps,
            "imported_kwh": meter.imported_kwh,
            "battery_soc_percent": meter.battery_soc_percent,
            "changed_ts": {
                "contactors": _by_id(self.contactor_changed_ts),
                "limits": _by_id(self.limit_changed_ts),
            },
            "write_count": self.write_count,
            "read_ts": self.read_ts,
            "heartbeat": self.heartbeat.state(moment.mono_sec),
        }


def _by_id(values: Sequence[Any]) -> dict[str, Any]:
    return {circuit.circuit_id: value for circuit, value in zip(CIRCUITS, values, strict=True)}
