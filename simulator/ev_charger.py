"""An EV charger of three phases, and the car at it. Pure: no clock, no I/O.

| table   | address | meaning                                                            |
|---------|---------|--------------------------------------------------------------------|
| input   | 0       | power, kW (float32)                                                |
| input   | 2       | energy of this session, kWh (float32)                              |
| input   | 4       | what the car still wants, kWh (float32)                            |
| input   | 6       | 0 = no car, 1 = connected, 2 = charging                            |
| input   | 7-9     | current of each phase, A                                           |
| holding | 0       | most current, A: 0 (pause), or 6 to 16                             |
| holding | 1       | phases to use, 1 or 3                                              |
| coil    | 0       | 1 = charging is allowed, 0 = paused                                |

1 to 5 A and more than 16 A are refused (exception 3), as IEC 61851-1 has no signal below 6 A.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.appliance_loads import HOUR_SEC
from simulator.device_point import DevicePointType
from simulator.register_table import RegisterTable
from simulator.site_equipment import SiteEquipmentPoint, SiteEquipmentSetting

NO_CAR, CONNECTED, CHARGING = 0, 1, 2


class EvCharger:
    """The car takes what it is offered until it has what it wants."""

    LOWEST_AMPS, MOST_AMPS = 6, 16
    PHASES = 3
    VOLTS = 230.0
    """Line to neutral."""

    kind = "charger"

    def __init__(self, wanted_kwh: float = 40.0) -> None:
        self.plugged = True
        self.wanted_kwh = wanted_kwh
        self.session_kwh = 0.0
        self.most_amps = self.MOST_AMPS
        self.phases = self.PHASES
        self.allowed = True
        self.refused_count = 0

    @property
    def status(self) -> int:
        """No car, connected or charging."""
        if not self.plugged:
            return NO_CAR
        offered = self.allowed and self.most_amps > 0
        return CHARGING if offered and self.wanted_kwh > 0.0 else CONNECTED

    @property
    def phase_amps(self) -> tuple[float, ...]:
        """What each phase carries."""
        amps = float(self.most_amps) if self.status == CHARGING else 0.0
        return tuple(amps if phase < self.phases else 0.0 for phase in range(self.PHASES))

    @property
    def power_kw(self) -> float:
        """All phases together."""
        return sum(self.phase_amps) * self.VOLTS / 1000.0

    def step(self, duration_sec: float) -> None:
        """Charge the car."""
        charged_kwh = min(self.wanted_kwh, self.power_kw * duration_sec / HOUR_SEC)
        self.wanted_kwh -= charged_kwh
        self.session_kwh += charged_kwh

    def power_up(self) -> None:
        """All it can, on all phases."""
        self.most_amps = self.MOST_AMPS
        self.phases = self.PHASES
        self.allowed = True

    def set_most_amps(self, amps: float) -> None:
        """Raises ValueError for a current that cannot be signalled to a car."""
        if amps != 0 and not self.LOWEST_AMPS <= amps <= self.MOST_AMPS:
            self.refused_count += 1
            raise ValueError(f"the current is 0, or {self.LOWEST_AMPS} to {self.MOST_AMPS} A")
        self.most_amps = round(amps)

    def set_phases(self, phases: float) -> None:
        """Raises ValueError for two phases, and for none."""
        if phases not in (1, self.PHASES):
            self.refused_count += 1
            raise ValueError("the phases to use are 1 or 3")
        self.phases = int(phases)

    @property
    def points(self) -> Sequence[SiteEquipmentPoint]:
        """Its values, on the wire."""
        table, real, word = RegisterTable.INPUT, DevicePointType.FLOAT32, DevicePointType.UINT16
        return (
            SiteEquipmentPoint("power_kw", table, 0, real, "kilowatts", lambda: self.power_kw),
            SiteEquipmentPoint(
                *("session_kwh", table, 2, real, "kilowattHours"), read=lambda: self.session_kwh
            ),
            SiteEquipmentPoint(
                *("wanted_kwh", table, 4, real, "kilowattHours"), read=lambda: self.wanted_kwh
            ),
            SiteEquipmentPoint("status", table, 6, word, "noUnits", lambda: float(self.status)),
            SiteEquipmentPoint("l1_amps", table, 7, word, "amperes", lambda: self.phase_amps[0]),
            SiteEquipmentPoint("l2_amps", table, 8, word, "amperes", lambda: self.phase_amps[1]),
            SiteEquipmentPoint("l3_amps", table, 9, word, "amperes", lambda: self.phase_amps[2]),
            SiteEquipmentPoint(
                *("most_amps", RegisterTable.HOLDING, 0, word, "amperes"),
                read=lambda: float(self.most_amps),
                write=self.set_most_amps,
                relinquish_default=float(self.MOST_AMPS),
            ),
            SiteEquipmentPoint(
                *("phases", RegisterTable.HOLDING, 1, word, "noUnits"),
                read=lambda: float(self.phases),
                write=self.set_phases,
                relinquish_default=float(self.PHASES),
            ),
            SiteEquipmentPoint(
                *("allowed", RegisterTable.COIL, 0, DevicePointType.COIL, "noUnits"),
                read=lambda: float(self.allowed),
                write=self._set_allowed,
                relinquish_default=1.0,
            ),
        )

    @property
    def settings(self) -> Mapping[str, SiteEquipmentSetting]:
        """The car."""
        return {
            "plugged": SiteEquipmentSetting(self._set_plugged, 0.0, 1.0),
            "wanted_kwh": SiteEquipmentSetting(self._set_wanted, 0.0, 200.0),
        }

    def state(self) -> dict[str, Any]:
        """Everything there is to know, for the control port."""
        return {
            "power_kw": self.power_kw,
            "status": self.status,
            "most_amps": self.most_amps,
            "phases": self.phases,
            "allowed": self.allowed,
            "plugged": self.plugged,
            "session_kwh": self.session_kwh,
            "wanted_kwh": self.wanted_kwh,
            "refused_count": self.refused_count,
        }

    def _set_allowed(self, value: float) -> None:
        self.allowed = bool(value)

    def _set_plugged(self, value: float) -> None:
        if bool(value) != self.plugged:
            self.session_kwh = 0.0
        self.plugged = bool(value)

    def _set_wanted(self, value: float) -> None:
        self.wanted_kwh = value
