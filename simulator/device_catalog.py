"""Which devices there are, and how those that the command line names are built."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from simulator.appliance_loads import HOUR_SEC, ApplianceNoise
from simulator.battery_storage import BatteryStorage
from simulator.equipment_registers import EquipmentRegisters
from simulator.ev_charger import EvCharger
from simulator.hybrid_inverter import HybridInverter
from simulator.moment import Moment
from simulator.panel_loads import HousePanelLoads, PanelLoads, SteadyPanelLoads
from simulator.panel_registers import PanelRegisters
from simulator.rooftop_unit import RooftopUnit
from simulator.simulated_device import SimulatedDevice
from simulator.simulated_panel import SimulatedPanel
from simulator.site_equipment import SiteEquipment


class CatalogDevice(NamedTuple):
    """One device beside the first panel: what it is, and the unit id that it answers to."""

    kind: str
    unit: int


class DeviceCatalog:
    """Builds the devices of one process, all on the same clock and with the same loads."""

    KINDS = ("panel", "thermostat", "battery", "charger", "inverter")

    def __init__(self, steady: bool, seed: int | None, speed: float) -> None:
        self._steady = steady
        self._seed = random.randrange(2**32) if seed is None else seed
        self._speed = speed
        self._equipment: dict[str, Callable[[int], SiteEquipment]] = {
            "thermostat": self._rooftop_unit,
            "battery": lambda _: BatteryStorage(),
            "charger": lambda _: EvCharger(),
            "inverter": lambda _: HybridInverter(),
        }

    def build(
        self, unit: int, others: Sequence[CatalogDevice], start: Moment
    ) -> Mapping[int, SimulatedDevice]:
        """The panel under `unit`, and the others under theirs; the panel comes first.

        Another panel has a meter of its own; all else is behind the first panel's meter.
        """
        panel = SimulatedPanel(self._loads(0), start, self._speed)
        devices: dict[int, SimulatedDevice] = {unit: PanelRegisters(panel)}
        for number, other in enumerate(others, 1):
            if other.kind == "panel":
                second = SimulatedPanel(self._loads(number), start, self._speed)
                devices[other.unit] = PanelRegisters(second)
            else:
                equipment = self._equipment[other.kind](number)
                devices[other.unit] = EquipmentRegisters(equipment, panel, other.unit)
        return devices

    def _loads(self, number: int) -> PanelLoads:
        return SteadyPanelLoads() if self._steady else HousePanelLoads(self._seed + number)

    def _rooftop_unit(self, number: int) -> RooftopUnit:
        if self._steady:
            return RooftopUnit()
        noise = random.Random(f"{self._seed}:outdoor{number}")
        return RooftopUnit(ApplianceNoise(33.0, 0.5, HOUR_SEC, noise))
