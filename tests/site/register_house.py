"""A house whose circuits are registers of devices: read by `PointReadings` and written by
`ControlWrites`, as the agent's meter and actuator do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.dr.builders import VEN_ID
from tests.dr.house import House
from VenAgent.config import AgentConfig
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite
from VenAgent.site.control_writes import ControlWrites
from VenAgent.site.point_readings import PointReadings

DEVICE = "site/panel"


def register_config(*circuits: Mapping[str, Any], **quirks: Any) -> AgentConfig:
    """All points are of one device, whose `total_kw` is the panel's meter, with its `quirks`."""
    panel = {"device": DEVICE, "amperage": 200, "voltage": 240, "power_point": "total_kw"}
    blocks = {"quirks": [{"device": DEVICE, **quirks}]} if quirks else {}
    return AgentConfig.load(
        {"ven_id": VEN_ID, "panel": panel, "circuits": list(circuits), **blocks}, {}
    )


class RegisterHouse(House):
    """`registers`: by point; `physics` sets those that are measured by those that are written."""

    def __init__(
        self,
        config: AgentConfig,
        registers: Mapping[str, float | bool],
        physics: Callable[[dict[str, float | bool]], None],
    ) -> None:
        policy = replace(config.policy(), restore_stagger_sec=0.0, rebound_sec=0.0)
        super().__init__(config.build_panel(), {c.id: 0.0 for c in config.circuits}, policy)
        self.registers, self.physics = dict(registers), physics
        self.points = PointReadings(config)
        self.controls = ControlWrites(config, {}, self.points.unit_of)
        self.dead: set[str] = set()
        """Points that take no write."""
        self.on_write: Callable[[], None] | None = None

    def take_config(self, config: AgentConfig) -> None:
        """It is edited; what is wired stays as it is."""
        before, self.points = self.points, PointReadings(config)
        self.points.adopt(before)
        self.controls = ControlWrites(config, {}, self.points.unit_of)
        self.reconfigure(config.build_panel())

    @property
    def power_kw(self) -> float:
        self.physics(self.registers)
        return float(self.registers["total_kw"])

    def drawn_kw(self, circuit_id: str) -> float:
        return 0.0  # what the registers say

    def read(self) -> PanelReading:
        self.physics(self.registers)
        self.points.update(DEVICE, dict(self.registers), self.now, self.now, published=True)
        return self.points.reading(self.now)

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        failures, done = {}, {}
        for write in self.controls.at_devices(writes):
            point = write.point.rpartition("/")[2]
            if point in self.dead:
                failures[write.circuit_id] = "no answer from the device"
                continue
            value = write.value
            self.registers[point] = not value if write.inverted else value
            done[write.point] = value
            self.written.append(write)
        self.points.written(done, self.now)
        if self.on_write is not None:
            self.on_write()
        return failures
