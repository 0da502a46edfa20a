"""A battery with its inverter. Pure: no clock, no I/O.

| table   | address | meaning                                                            |
|---------|---------|--------------------------------------------------------------------|
| input   | 0       | power at the meter, kW; positive charges, negative feeds in        |
| input   | 2       | state of charge, %                                                 |
| input   | 4       | what it can charge with now, kW                                    |
| input   | 6       | what it can discharge with now, kW                                 |
| holding | 0       | setpoint, kW, signed as the power                                  |
| coil    | 0       | 1 = the setpoint rules; 0 = its own programme does                 |

All but the coil are float32, two registers each, high word first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.appliance_loads import HOUR_SEC
from simulator.device_point import DevicePointType
from simulator.register_table import RegisterTable
from simulator.site_equipment import SiteEquipmentPoint, SiteEquipmentSetting


class BatteryStorage:
    """Stores less than it takes and gives less than it stored: half of the loss each way.

    Its own programme is a constant power, `own_kw`: what it did before anybody commanded it.
    """

    CAPACITY_KWH = 13.5
    MOST_KW = 5.0
    ROUND_TRIP_EFFICIENCY = 0.9
    LOWEST_SOC_PERCENT = 5.0
    """It does not discharge below."""

    kind = "battery"

    def __init__(self, soc_percent: float = 60.0) -> None:
        self.stored_kwh = self.CAPACITY_KWH * soc_percent / 100.0
        self.own_kw = 0.0
        self.setpoint_kw = 0.0
        self.remote = False
        self.watchdog_sec = 0.0
        """After so long without a write its own programme rules again; 0: never."""
        self._unwritten_sec = 0.0
        self._remote_sec = 0.0

    @property
    def soc_percent(self) -> float:
        """State of charge."""
        return 100.0 * self.stored_kwh / self.CAPACITY_KWH

    @property
    def most_charge_kw(self) -> float:
        """What it can take now: nothing when it is full."""
        return self.MOST_KW if self.stored_kwh < self.CAPACITY_KWH else 0.0

    @property
    def most_discharge_kw(self) -> float:
        """What it can give now: nothing at its lowest state of charge."""
        return self.MOST_KW if self.soc_percent > self.LOWEST_SOC_PERCENT else 0.0

    @property
    def power_kw(self) -> float:
        """At the meter; positive charges."""
        wanted_kw = self.setpoint_kw if self.remote else self.own_kw
        return min(self.most_charge_kw, max(-self.most_discharge_kw, wanted_kw))

    def step(self, duration_sec: float) -> None:
        """Charge or discharge with the power as it is; it stops where it is full or empty. Its
        watchdog looks afterwards."""
        one_way = math.sqrt(self.ROUND_TRIP_EFFICIENCY)
        power_kw = self.power_kw
        gained_kw = power_kw * one_way if power_kw > 0.0 else power_kw / one_way
        lowest_kwh = self.CAPACITY_KWH * self.LOWEST_SOC_PERCENT / 100.0
        stored_kwh = self.stored_kwh + gained_kw * duration_sec / HOUR_SEC
        if gained_kw > 0.0:
            self.stored_kwh = min(self.CAPACITY_KWH, stored_kwh)
        elif gained_kw < 0.0:
            self.stored_kwh = max(lowest_kwh, stored_kwh)
        self._unwritten_sec += duration_sec
        self._remote_sec = self._remote_sec + duration_sec if self.remote else 0.0
        if self.watchdog_sec and self._unwritten_sec >= self.watchdog_sec:
            self.remote = False

    def power_up(self) -> None:
        """Its own programme rules again."""
        self.setpoint_kw = 0.0
        self.remote = False

    def set_setpoint(self, setpoint_kw: float) -> None:
        """Raises ValueError beyond what the inverter is built for."""
        if not -self.MOST_KW <= setpoint_kw <= self.MOST_KW:
            raise ValueError(f"the setpoint is from {-self.MOST_KW:g} to {self.MOST_KW:g} kW")
        self.setpoint_kw = setpoint_kw
        self._unwritten_sec = 0.0

    @property
    def points(self) -> Sequence[SiteEquipmentPoint]:
        """Its values, on the wire."""
        table, kind = RegisterTable.INPUT, DevicePointType.FLOAT32
        return (
            SiteEquipmentPoint("power_kw", table, 0, kind, "kilowatts", lambda: self.power_kw),
            SiteEquipmentPoint("soc_percent", table, 2, kind, "percent", lambda: self.soc_percent),
            SiteEquipmentPoint(
                *("most_charge_kw", table, 4, kind, "kilowatts"), read=lambda: self.most_charge_kw
            ),
            SiteEquipmentPoint(
                *("most_discharge_kw", table, 6, kind, "kilowatts"),
                read=lambda: self.most_discharge_kw,
            ),
            SiteEquipmentPoint(
                *("setpoint_kw", RegisterTable.HOLDING, 0, kind, "kilowatts"),
                read=lambda: self.setpoint_kw,
                write=self.set_setpoint,
            ),
            SiteEquipmentPoint(
                *("remote", RegisterTable.COIL, 0, DevicePointType.COIL, "noUnits"),
                read=lambda: float(self.remote),
                write=self._set_remote,
            ),
        )

    @property
    def settings(self) -> Mapping[str, SiteEquipmentSetting]:
        """What is in it, its own programme, and its watchdog."""
        return {
            "soc_percent": SiteEquipmentSetting(self._set_soc, 0.0, 100.0),
            "own_kw": SiteEquipmentSetting(self._set_own, -self.MOST_KW, self.MOST_KW),
            "watchdog_sec": SiteEquipmentSetting(self._set_watchdog, 0.0, 3_600.0),
        }

    def state(self) -> dict[str, Any]:
        """Everything there is to know, for the control port."""
        return {
            "power_kw": self.power_kw,
            "soc_percent": self.soc_percent,
            "stored_kwh": self.stored_kwh,
            "setpoint_kw": self.setpoint_kw,
            "own_kw": self.own_kw,
            "remote": self.remote,
            "remote_sec": self._remote_sec,
        }

    def _set_remote(self, value: float) -> None:
        self.remote = bool(value)
        self._unwritten_sec = 0.0

    def _set_soc(self, value: float) -> None:
        self.stored_kwh = self.CAPACITY_KWH * value / 100.0

    def _set_watchdog(self, value: float) -> None:
        self.watchdog_sec = value

    def _set_own(self, value: float) -> None:
        self.own_kw = value
