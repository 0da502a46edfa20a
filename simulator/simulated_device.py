"""What a unit id (Modbus) or a set of objects (BACnet) stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from simulator.device_point import DevicePoint
from simulator.moment import Moment
from simulator.register_table import RegisterTable


class SimulatedDevice(Protocol):
    """A device without its faults: registers with something behind them. Pure: time is given."""

    @property
    def kind(self) -> str:
        """What it is, in one word: panel, thermostat, battery, charger."""

    @property
    def addresses(self) -> Mapping[RegisterTable, frozenset[int]]:
        """The addresses that exist."""

    @property
    def points(self) -> Sequence[DevicePoint]:
        """The values that it has over BACnet, the first of a kind first."""

    def advance(self, moment: Moment) -> None:
        """Let time pass up to `moment`."""

    def read(self, table: RegisterTable, address: int, count: int, moment: Moment) -> list[int]:
        """Values from `address` on at `moment`; RegisterTableError if one is missing."""

    def write(
        self, table: RegisterTable, address: int, values: Sequence[int], moment: Moment
    ) -> None:
        """Write values from `address` on: all of them, or none and a RegisterTableError."""

    def power_up(self, moment: Moment) -> None:
        """Fall into the state that a device is in when its supply comes back."""

    def state(self, moment: Moment) -> dict[str, Any]:
        """Everything there is to know, for the control port."""

    def list_faults(self) -> list[dict[str, Any]]:
        """The faults of what is behind the registers, in the words of the control port."""

    def clear_faults(self) -> None:
        """Those faults off."""
