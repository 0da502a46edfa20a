"""What is behind the panel's meter beside its circuits: a rooftop unit, a battery, a charger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simulator.device_point import DevicePointType
from simulator.register_table import RegisterTable


@dataclass(frozen=True)
class SiteEquipmentPoint:
    """One value of a piece of equipment, and how it is had and changed."""

    name: str
    table: RegisterTable
    address: int
    point_type: DevicePointType
    units: str
    """In BACnet's words."""
    read: Callable[[], float]
    write: Callable[[float], None] | None = None
    """Raises ValueError, and changes nothing, for a value that the device refuses."""
    relinquish_default: float = 0.0


@dataclass(frozen=True)
class SiteEquipmentSetting:
    """Something around the equipment that a test may change: the weather, the car."""

    write: Callable[[float], None]
    low: float
    high: float


class SiteEquipment(Protocol):
    """One piece of equipment. Pure: time passes in steps that it is told."""

    @property
    def kind(self) -> str:
        """What it is, in one word."""

    @property
    def power_kw(self) -> float:
        """What it draws now in kW; negative when it feeds in."""

    @property
    def points(self) -> Sequence[SiteEquipmentPoint]:
        """Its values, on the wire."""

    @property
    def settings(self) -> Mapping[str, SiteEquipmentSetting]:
        """What a test may change around it."""

    def step(self, duration_sec: float) -> None:
        """Let simulated time pass with the power as it is now."""

    def power_up(self) -> None:
        """What was commanded is lost with the supply; what is stored in it stays."""

    def state(self) -> dict[str, Any]:
        """Everything there is to know, for the control port."""
