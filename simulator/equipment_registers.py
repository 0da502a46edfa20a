"""A piece of equipment, seen as registers. It is behind the panel's meter and on its clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simulator.control_request import ControlRequest
from simulator.device_point import DevicePoint
from simulator.moment import Moment
from simulator.register_table import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    RegisterTable,
    RegisterTableError,
)
from simulator.simulated_panel import SimulatedPanel
from simulator.site_equipment import SiteEquipment, SiteEquipmentPoint

_Write = Callable[[float], None]
_INSTANCES_PER_UNIT = 100
"""BACnet instances of a unit begin at 100 times its number."""


class EquipmentRegisters:
    """The registers of one piece of equipment under its unit id."""

    def __init__(self, equipment: SiteEquipment, panel: SimulatedPanel, unit: int) -> None:
        """Put it behind the panel's meter, too."""
        self.equipment = equipment
        self._panel = panel
        panel.equipment.append(equipment)
        count_by_table = dict.fromkeys(RegisterTable, 0)
        self._bound: list[tuple[DevicePoint, SiteEquipmentPoint]] = []
        for each in equipment.points:
            instance = _INSTANCES_PER_UNIT * unit + count_by_table[each.table]
            count_by_table[each.table] += 1
            self._bound.append((_device_point(each, unit, instance), each))

    @property
    def kind(self) -> str:
        """What it is, in one word."""
        return self.equipment.kind

    @property
    def points(self) -> Sequence[DevicePoint]:
        """Its values, over BACnet."""
        return [point for point, _ in self._bound]

    @property
    def addresses(self) -> Mapping[RegisterTable, frozenset[int]]:
        """The addresses that exist."""
        return {
            table: frozenset(
                address
                for point, _ in self._bound
                if point.table is table
                for address in range(point.address, point.address + point.word_count)
            )
            for table in RegisterTable
        }

    def advance(self, moment: Moment) -> None:
        """Let time pass up to `moment`, for all that is behind the meter."""
        self._panel.advance(moment)

    def read(self, table: RegisterTable, address: int, count: int, moment: Moment) -> list[int]:
        """Values from `address` on, as they are at `moment`."""
        self.advance(moment)
        words: dict[int, int] = {}
        for point, bound in self._bound:
            if point.table is table:
                words.update(enumerate(point.encode(bound.read()), point.address))
        try:
            return [words[each] for each in range(address, address + count)]
        except KeyError:
            raise RegisterTableError(ILLEGAL_ADDRESS) from None

    def write(
        self, table: RegisterTable, address: int, values: Sequence[int], moment: Moment
    ) -> None:
        """Write values from `address` on: all of them, or none and an exception."""
        self.advance(moment)
        done: list[tuple[_Write, float]] = []
        for point, write, value in self._written(table, address, values):
            before = point.read()
            try:
                write(value)
            except ValueError:
                for earlier, old in reversed(done):
                    earlier(old)
                raise RegisterTableError(ILLEGAL_VALUE) from None
            done.append((write, before))

    def _written(
        self, table: RegisterTable, address: int, values: Sequence[int]
    ) -> list[tuple[SiteEquipmentPoint, _Write, float]]:
        """Which points a request writes: whole ones, and nothing between them."""
        by_address = {
            point.address: (point, bound, bound.write)
            for point, bound in self._bound
            if point.table is table and bound.write is not None
        }
        found, at, end = [], address, address + len(values)
        while at < end:
            if at not in by_address:
                raise RegisterTableError(ILLEGAL_ADDRESS)
            point, bound, write = by_address[at]
            if at + point.word_count > end:
                raise RegisterTableError(ILLEGAL_ADDRESS)
            words = values[at - address : at - address + point.word_count]
            found.append((bound, write, point.decode(words)))
            at += point.word_count
        return found

    def change_setting(self, request: ControlRequest, moment: Moment) -> None:
        """Change what is around it, as the fields "name" and "value" say."""
        settings = self.equipment.settings
        setting = settings[request.one_of("name", tuple(settings))]
        value = request.number("value", setting.low, setting.high)
        self.advance(moment)  # what was until now is metered as it was
        setting.write(value)

    def power_up(self, moment: Moment) -> None:
        """What was commanded is lost."""
        self.advance(moment)
        self.equipment.power_up()

    def state(self, moment: Moment) -> dict[str, Any]:
        """Everything there is to know, for the control port."""
        self.advance(moment)
        return self.equipment.state()

    def list_faults(self) -> list[dict[str, Any]]:
        """None: what is behind the registers works."""
        return []

    def clear_faults(self) -> None:
        """Nothing to clear."""


def _device_point(point: SiteEquipmentPoint, unit: int, instance: int) -> DevicePoint:
    return DevicePoint(
        name=f"{point.name}_{unit}",
        table=point.table,
        address=point.address,
        point_type=point.point_type,
        units=point.units,
        instance=instance,
        relinquish_default=point.relinquish_default,
    )
