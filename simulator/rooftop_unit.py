"""A rooftop unit with its thermostat, and the room that it cools. Pure: no clock, no I/O.

| table   | address | meaning                                                       |
|---------|---------|---------------------------------------------------------------|
| input   | 0       | zone temperature, degrees Celsius                             |
| input   | 2       | power, kW                                                     |
| input   | 4       | outdoor temperature, degrees Celsius                          |
| input   | 6       | cooling, % of what the compressor can                         |
| holding | 0       | cooling setpoint, degrees Celsius, 16 to 32                   |
| coil    | 0       | 1 = the unit may run; 0 stops compressor and fan              |

All but the coil are float32, two registers each, high word first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.appliance_loads import HOUR_SEC, ApplianceNoise
from simulator.device_point import DevicePointType
from simulator.register_table import RegisterTable
from simulator.site_equipment import SiteEquipmentPoint, SiteEquipmentSetting

DEFAULT_SETPOINT_C = 23.0
LOWEST_SETPOINT_C, HIGHEST_SETPOINT_C = 16.0, 32.0


class RooftopUnit:
    """A compressor of variable speed: the further the zone is above its setpoint the harder it
    works, all out at `BAND_C` above. The room leaks towards the outdoors with `TIME_CONSTANT_SEC`.

    It starts in balance, so that nothing moves until somebody moves the setpoint or the weather.
    """

    HEAT_CAPACITY_KWH_PER_C = 2.0
    TIME_CONSTANT_SEC = 4 * HOUR_SEC
    GAINS_KW = 2.0
    """People, lights and machines in the room."""
    COMPRESSOR_KW = 4.0
    COEFFICIENT_OF_PERFORMANCE = 3.0
    FAN_KW = 0.4
    BAND_C = 1.0

    kind = "thermostat"

    def __init__(self, outdoor: ApplianceNoise | None = None, outdoor_c: float = 33.0) -> None:
        self._outdoor = outdoor
        self._outdoor_c = outdoor_c
        self.setpoint_c = DEFAULT_SETPOINT_C
        self.may_run = True
        self.zone_c = self.balance_c()

    @property
    def outdoor_c(self) -> float:
        """What the weather is."""
        return self._outdoor_c if self._outdoor is None else self._outdoor.value

    @property
    def cooling(self) -> float:
        """How hard the compressor works, 0 to 1."""
        if not self.may_run:
            return 0.0
        return min(1.0, max(0.0, (self.zone_c - self.setpoint_c) / self.BAND_C))

    @property
    def power_kw(self) -> float:
        """Compressor and fan."""
        fan_kw = self.FAN_KW if self.may_run else 0.0
        return fan_kw + self.cooling * self.COMPRESSOR_KW

    def balance_c(self) -> float:
        """The zone temperature at which heat in and out are equal, for weather and setpoint."""
        leak_kw_per_c = self.HEAT_CAPACITY_KWH_PER_C / (self.TIME_CONSTANT_SEC / HOUR_SEC)
        most_kw = self.COMPRESSOR_KW * self.COEFFICIENT_OF_PERFORMANCE
        heat_kw = leak_kw_per_c * (self.outdoor_c - self.setpoint_c) + self.GAINS_KW
        share = heat_kw / (most_kw + leak_kw_per_c * self.BAND_C)
        return self.setpoint_c + min(1.0, max(0.0, share)) * self.BAND_C

    def step(self, duration_sec: float) -> None:
        """Let the room warm and cool."""
        cooled_kw = self.cooling * self.COMPRESSOR_KW * self.COEFFICIENT_OF_PERFORMANCE
        leak_c_per_sec = (self.outdoor_c - self.zone_c) / self.TIME_CONSTANT_SEC
        heat_c_per_sec = (self.GAINS_KW - cooled_kw) / self.HEAT_CAPACITY_KWH_PER_C / HOUR_SEC
        self.zone_c += duration_sec * (leak_c_per_sec + heat_c_per_sec)
        if self._outdoor is not None:
            self._outdoor.step(duration_sec)

    def power_up(self) -> None:
        """The thermostat goes back to its own setpoint; the room is as warm as it is."""
        self.setpoint_c = DEFAULT_SETPOINT_C
        self.may_run = True

    def set_setpoint(self, setpoint_c: float) -> None:
        """Raises ValueError outside what the thermostat takes."""
        if not LOWEST_SETPOINT_C <= setpoint_c <= HIGHEST_SETPOINT_C:
            raise ValueError(f"the setpoint is {LOWEST_SETPOINT_C:g} to {HIGHEST_SETPOINT_C:g} °C")
        self.setpoint_c = setpoint_c

    @property
    def points(self) -> Sequence[SiteEquipmentPoint]:
        """Its values, on the wire."""
        table, kind = RegisterTable.INPUT, DevicePointType.FLOAT32
        return (
            SiteEquipmentPoint("zone_c", table, 0, kind, "degreesCelsius", lambda: self.zone_c),
            SiteEquipmentPoint("power_kw", table, 2, kind, "kilowatts", lambda: self.power_kw),
            SiteEquipmentPoint(
                "outdoor_c", table, 4, kind, "degreesCelsius", lambda: self.outdoor_c
            ),
            SiteEquipmentPoint(
                *("cooling_percent", table, 6, kind, "percent"),
                read=lambda: 100.0 * self.cooling,
            ),
            SiteEquipmentPoint(
                *("cooling_setpoint_c", RegisterTable.HOLDING, 0, kind, "degreesCelsius"),
                read=lambda: self.setpoint_c,
                write=self.set_setpoint,
                relinquish_default=DEFAULT_SETPOINT_C,
            ),
            SiteEquipmentPoint(
                *("may_run", RegisterTable.COIL, 0, DevicePointType.COIL, "noUnits"),
                read=lambda: float(self.may_run),
                write=self._set_may_run,
                relinquish_default=1.0,
            ),
        )

    @property
    def settings(self) -> Mapping[str, SiteEquipmentSetting]:
        """The weather and the room."""
        return {
            "outdoor_c": SiteEquipmentSetting(self._set_outdoor, -40.0, 60.0),
            "zone_c": SiteEquipmentSetting(self._set_zone, -10.0, 60.0),
        }

    def state(self) -> dict[str, Any]:
        """Everything there is to know, for the control port."""
        return {
            "zone_c": self.zone_c,
            "outdoor_c": self.outdoor_c,
            "setpoint_c": self.setpoint_c,
            "cooling_percent": 100.0 * self.cooling,
            "may_run": self.may_run,
            "power_kw": self.power_kw,
        }

    def _set_may_run(self, value: float) -> None:
        self.may_run = bool(value)

    def _set_outdoor(self, value: float) -> None:
        self._outdoor, self._outdoor_c = None, value

    def _set_zone(self, value: float) -> None:
        self.zone_c = value
