"""Which devices there are, and how those that the command line names are built."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from simulator.house_loads import HouseLoads, PanelLoads, SteadyLoads
from simulator.moment import Moment
from simulator.panel_registers import PanelRegisters
from simulator.simulated_device import SimulatedDevice
from simulator.simulated_panel import SimulatedPanel

DEVICE_KINDS = ("panel",)


class DeviceRequest(NamedTuple):
    """One device beside the first panel: what it is, and the unit id that it answers to."""

    kind: str
    unit: int


class DeviceCatalog:
    """Builds the devices of one process, all on the same clock and with the same loads."""

    def __init__(self, steady: bool, seed: int | None, speed: float) -> None:
        self._steady = steady
        self._seed = random.randrange(2**32) if seed is None else seed
        self._speed = speed

    def build(
        self, unit: int, others: Sequence[DeviceRequest], start: Moment
    ) -> Mapping[int, SimulatedDevice]:
        """The panel under `unit`, and the others under theirs; the panel comes first."""
        devices: dict[int, SimulatedDevice] = {unit: self._panel(0, start)}
        for number, other in enumerate(others, 1):
            devices[other.unit] = self._panel(number, start)
        return devices

    def _panel(self, number: int, start: Moment) -> PanelRegisters:
        loads: PanelLoads = SteadyLoads() if self._steady else HouseLoads(self._seed + number)
        return PanelRegisters(SimulatedPanel(loads, start, self._speed))
