"""A hybrid inverter, panels on the roof and a battery, that speaks SunSpec. Pure: no clock, no I/O.

Holding registers from 40000 ("SunS"), in the order of models 1, 103, 120 to 123, 160 and 124, as
large three-phase inverters have them; what it does not implement reads 0x8000. All values are
integers times ten to the power of their scale factor, which stands in a register of its own.

| model | what is in it                                                                         |
|-------|---------------------------------------------------------------------------------------|
| 103   | W (40083, fed in is positive) and W_SF (40084), PhVphA, A                             |
| 123   | WMaxLimPct (40232) of WRtg, 10 kW; it rules while WMaxLim_Ena (40236) is 1           |
| 124   | StorCtl_Mod (40348), ChaState (40351), ChaSt, OutWRte (40355), InWRte (40356),        |
|       | InOutWRte_RvrtTms (40358), ChaGriSet (40360), WChaMax and the scale factors           |

StorCtl_Mod bit 0 makes InWRte the limit of charging, bit 1 makes OutWRte the limit of discharging,
in percent of WChaMax. A negative rate forces the other way: InWRte -50 % discharges with at least
half. After InOutWRte_RvrtTms seconds (0 = never) without a new write the battery is free again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from simulator.battery_storage import BatteryStorage
from simulator.device_point import DevicePointType
from simulator.register_table import RegisterTable
from simulator.site_equipment import SiteEquipmentPoint, SiteEquipmentSetting

NOT_IMPLEMENTED = 0x8000
_BASE = 40_000
# Model id, length; each is followed by the next, the last by 0xFFFF.
_MODELS = ((1, 65), (103, 50), (120, 26), (121, 30), (122, 44), (123, 24), (160, 88), (124, 24))
_RATE_SCALE = _STATE_SCALE = -2
_CHARGE_BIT, _DISCHARGE_BIT = 1, 2
_VOLTS = 230.0
_RATED_KW = 10.0
_MOST_SCALE = -2


class HybridInverter:
    """The roof gives a constant power; the battery does its own programme, within the limits."""

    kind = "inverter"

    def __init__(self, soc_percent: float = 60.0, roof_kw: float = 3.0) -> None:
        self.battery = BatteryStorage(soc_percent)
        self.battery.remote = True
        self.roof_kw = roof_kw
        self.own_kw = 0.0
        """What the battery would draw by itself; negative discharges."""
        self.power_scale = 0
        self._mode = 0
        self._charge_percent = self._discharge_percent = 100.0
        self._revert_sec = 0
        self._revert_left_sec = 0.0
        self._may_charge_from_grid = True
        self._most_percent = 100.0
        self._most_enabled = False
        self._command()

    @property
    def power_kw(self) -> float:
        """At the meter: negative when it feeds in."""
        return self.battery.power_kw - self._given_kw

    @property
    def _given_kw(self) -> float:
        """By the roof, as far as it is let."""
        most_kw = _RATED_KW * self._most_percent / 100.0
        return min(self.roof_kw, most_kw) if self._most_enabled else self.roof_kw

    def step(self, duration_sec: float) -> None:
        """Charge or discharge; let go when nobody renewed the limits for too long."""
        self.battery.step(duration_sec)
        if self._revert_left_sec > 0.0:
            self._revert_left_sec -= duration_sec
            if self._revert_left_sec <= 0.0:
                self._mode = 0
                self._command()

    def power_up(self) -> None:
        """The battery is free, and so is the roof."""
        self._mode = 0
        self._most_percent, self._most_enabled = 100.0, False
        self._charge_percent = self._discharge_percent = 100.0
        self._revert_sec = 0
        self._command()

    @property
    def points(self) -> Sequence[SiteEquipmentPoint]:
        """All registers, in the order of their addresses."""
        return tuple(self._registers())

    @property
    def settings(self) -> Mapping[str, SiteEquipmentSetting]:
        """The sun, what is in the battery, and the exponent of the power."""
        return {
            "roof_kw": SiteEquipmentSetting(self._set_roof, 0.0, 20.0),
            "soc_percent": SiteEquipmentSetting(self._set_soc, 0.0, 100.0),
            "own_kw": SiteEquipmentSetting(
                self._set_own, -BatteryStorage.MOST_KW, BatteryStorage.MOST_KW
            ),
            "power_scale": SiteEquipmentSetting(self._set_power_scale, -2.0, 3.0),
        }

    def state(self) -> dict[str, Any]:
        """Everything there is to know, for the control port."""
        return {
            "power_kw": self.power_kw,
            "battery_kw": self.battery.power_kw,
            "roof_kw": self.roof_kw,
            "soc_percent": self.battery.soc_percent,
            "mode": self._mode,
            "charge_percent": self._charge_percent,
            "discharge_percent": self._discharge_percent,
            "revert_left_sec": self._revert_left_sec,
            "most_percent": self._most_percent,
            "most_enabled": self._most_enabled,
        }

    # -- the battery within its limits

    def _command(self) -> None:
        """Tell the battery what it does now, and start the time until it is let go."""
        most_kw = BatteryStorage.MOST_KW
        highest_kw = self._charge_percent / 100.0 * most_kw if self._charges_limited else most_kw
        lowest_kw = -most_kw
        if self._discharges_limited:
            lowest_kw = -self._discharge_percent / 100.0 * most_kw
        wanted_kw = min(highest_kw, max(lowest_kw, self.own_kw))
        if not self._may_charge_from_grid:
            wanted_kw = min(wanted_kw, self.roof_kw)
        self.battery.set_setpoint(min(most_kw, max(-most_kw, wanted_kw)))
        self._revert_left_sec = float(self._revert_sec) if self._mode else 0.0

    @property
    def _charges_limited(self) -> bool:
        return bool(self._mode & _CHARGE_BIT)

    @property
    def _discharges_limited(self) -> bool:
        return bool(self._mode & _DISCHARGE_BIT)

    # -- registers

    def _registers(self) -> Iterator[SiteEquipmentPoint]:
        known = self._known()
        address = _BASE
        for word in (0x5375, 0x6E53):  # "SunS"
            yield _word(address, f"suns_{address}", _constant(word))
            address += 1
        for model, length in _MODELS:
            for offset in range(length + 2):
                name, point_type, read, write = known.get((model, offset), _missing())
                if offset == 0:
                    name, point_type, read = "id", DevicePointType.UINT16, _constant(model)
                elif offset == 1:
                    name, point_type, read = "l", DevicePointType.UINT16, _constant(length)
                label = f"m{model}_{offset}_{name}"
                yield _word(address, label, read, point_type, write)
                address += 1
        yield _word(address, "end", _constant(0xFFFF))

    def _known(self) -> dict[tuple[int, int], _Known]:
        """What it implements: by model and offset."""
        whole, signed = DevicePointType.UINT16, DevicePointType.INT16
        return {
            (103, 2): ("a", whole, lambda: abs(self._watts()) / (3 * _VOLTS) * 10.0, None),
            (103, 6): ("a_sf", signed, _constant(-1), None),
            (103, 10): ("phvpha", whole, _constant(2300), None),
            (103, 13): ("v_sf", signed, _constant(-1), None),
            (103, 14): ("w", signed, lambda: self._watts() / 10.0**self.power_scale, None),
            (103, 15): ("w_sf", signed, lambda: float(self.power_scale), None),
            (123, 5): ("wmaxlimpct", whole, self._most_raw, self._set_most),
            (123, 9): ("wmaxlim_ena", whole, lambda: float(self._most_enabled), self._enable_most),
            (123, 23): ("wmaxlimpct_sf", signed, _constant(_MOST_SCALE), None),
            (124, 2): ("wchamax", whole, _constant(BatteryStorage.MOST_KW * 1000.0), None),
            (124, 5): ("storctl_mod", whole, lambda: float(self._mode), self._set_mode),
            (124, 8): ("chastate", whole, lambda: self.battery.soc_percent * 100.0, None),
            (124, 11): ("chast", whole, self._charge_status, None),
            (124, 12): ("outwrte", signed, self._out_rate, self._set_discharge),
            (124, 13): ("inwrte", signed, self._in_rate, self._set_charge),
            (124, 15): ("rvrttms", whole, lambda: float(self._revert_sec), self._set_revert),
            (124, 17): (
                *("chagriset", whole),
                lambda: float(self._may_charge_from_grid),
                self._set_from_grid,
            ),
            (124, 18): ("wchamax_sf", signed, _constant(0), None),
            (124, 22): ("chastate_sf", signed, _constant(_STATE_SCALE), None),
            (124, 25): ("inoutwrte_sf", signed, _constant(_RATE_SCALE), None),
        }

    def _watts(self) -> float:
        return -1000.0 * self.power_kw

    def _most_raw(self) -> float:
        return self._most_percent / 10.0**_MOST_SCALE

    def _set_most(self, value: float) -> None:
        percent = value * 10.0**_MOST_SCALE
        if not 0.0 <= percent <= 100.0:
            raise ValueError("WMaxLimPct is from 0 to 100 %")
        self._most_percent = percent

    def _enable_most(self, value: float) -> None:
        if value not in (0, 1):
            raise ValueError("WMaxLim_Ena is 0 or 1")
        self._most_enabled = bool(value)

    def _out_rate(self) -> float:
        return self._discharge_percent / 10.0**_RATE_SCALE

    def _in_rate(self) -> float:
        return self._charge_percent / 10.0**_RATE_SCALE

    def _charge_status(self) -> float:
        """ChaSt: 2 empty, 3 discharging, 4 charging, 5 full, 6 holding."""
        power_kw = self.battery.power_kw
        if power_kw:
            return 4.0 if power_kw > 0.0 else 3.0
        if not self.battery.most_charge_kw:
            return 5.0
        return 6.0 if self.battery.most_discharge_kw else 2.0

    def _set_mode(self, value: float) -> None:
        if not 0 <= value <= 3:
            raise ValueError("StorCtl_Mod has the bits 0 and 1")
        self._mode = int(value)
        self._command()

    def _set_discharge(self, value: float) -> None:
        self._discharge_percent = _percent(value)
        self._command()

    def _set_charge(self, value: float) -> None:
        self._charge_percent = _percent(value)
        self._command()

    def _set_revert(self, value: float) -> None:
        self._revert_sec = int(value)
        self._command()

    def _set_from_grid(self, value: float) -> None:
        if value not in (0, 1):
            raise ValueError("ChaGriSet is 0 or 1")
        self._may_charge_from_grid = bool(value)
        self._command()

    def _set_roof(self, value: float) -> None:
        self.roof_kw = value
        self._command()

    def _set_soc(self, value: float) -> None:
        self.battery.settings["soc_percent"].write(value)

    def _set_own(self, value: float) -> None:
        self.own_kw = value
        self._command()

    def _set_power_scale(self, value: float) -> None:
        self.power_scale = round(value)


_Known = tuple[str, DevicePointType, Callable[[], float], Callable[[float], None] | None]


def _percent(raw: float) -> float:
    percent = raw * 10.0**_RATE_SCALE
    if not -100.0 <= percent <= 100.0:
        raise ValueError("a rate is from -100 to 100 %")
    return percent


def _constant(value: float) -> Callable[[], float]:
    return lambda: float(value)


def _missing() -> _Known:
    return ("none", DevicePointType.UINT16, _constant(NOT_IMPLEMENTED), None)


def _word(
    address: int,
    name: str,
    read: Callable[[], float],
    point_type: DevicePointType = DevicePointType.UINT16,
    write: Callable[[float], None] | None = None,
) -> SiteEquipmentPoint:
    return SiteEquipmentPoint(
        name, RegisterTable.HOLDING, address, point_type, "noUnits", read, write
    )
