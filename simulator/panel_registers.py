"""The register map: what stands at which Modbus address. Pure, and knows no Modbus library.

Addresses are zero-based, as on the wire.

| table   | address  | meaning                                                              |
|---------|----------|----------------------------------------------------------------------|
| coil    | 0-7      | contactor of circuit i, 1 = closed                                   |
| holding | 0-7      | limit of circuit i, 0-100 % of its breaker rating                    |
| holding | 100      | heartbeat, any write counts                                          |
| holding | 101      | heartbeat time-out in s, 0 = off                                     |
| input   | 0-8      | total kW, voltage, current A, imported kWh, battery SOC %            |
| input   | 10 + 2 i | kW of circuit i                                                      |

Input registers are float32, big-endian, two registers each, high word first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulator.device_point import DevicePoint, DevicePointType
from simulator.moment import Moment
from simulator.register_table import (
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    RegisterTable,
    RegisterTableError,
)
from simulator.simulated_circuit import CIRCUIT_COUNT, CIRCUITS
from simulator.simulated_panel import FULL_LIMIT_PERCENT, SimulatedPanel, SimulatedPanelMeter

HEARTBEAT_ADDRESS = 100
HEARTBEAT_TIMEOUT_ADDRESS = 101
INPUT_WORD_COUNT = 10 + 2 * CIRCUIT_COUNT


ADDRESSES: dict[RegisterTable, frozenset[int]] = {
    RegisterTable.COIL: frozenset(range(CIRCUIT_COUNT)),
    RegisterTable.HOLDING: frozenset(
        [*range(CIRCUIT_COUNT), HEARTBEAT_ADDRESS, HEARTBEAT_TIMEOUT_ADDRESS]
    ),
    RegisterTable.INPUT: frozenset(range(INPUT_WORD_COUNT)),
}


_METERS = (
    ("total_kw", "kilowatts"),
    ("voltage", "volts"),
    ("current_amps", "amperes"),
    ("imported_kwh", "kilowattHours"),
    ("battery_soc", "percent"),
)


def _panel_points() -> Iterable[DevicePoint]:
    table, kind = RegisterTable.INPUT, DevicePointType.FLOAT32
    for index, (name, units) in enumerate(_METERS):
        yield DevicePoint(name, table, 2 * index, kind, units, index)
    for index, circuit in enumerate(CIRCUITS):
        name, address = f"{circuit.circuit_id}_kw", 10 + 2 * index
        yield DevicePoint(name, table, address, kind, "kilowatts", 10 + index)
    for index, circuit in enumerate(CIRCUITS):
        yield DevicePoint(
            f"{circuit.circuit_id}_contactor",
            *(RegisterTable.COIL, index, DevicePointType.COIL, "noUnits", index),
            relinquish_default=1.0,
        )
        yield DevicePoint(
            f"{circuit.circuit_id}_limit",
            *(RegisterTable.HOLDING, index, DevicePointType.UINT16, "percent", index),
            relinquish_default=FULL_LIMIT_PERCENT,
        )
    for index, (name, address, units) in enumerate(
        (
            ("heartbeat", HEARTBEAT_ADDRESS, "noUnits"),
            ("heartbeat_timeout_sec", HEARTBEAT_TIMEOUT_ADDRESS, "seconds"),
        )
    ):
        yield DevicePoint(
            *(name, RegisterTable.HOLDING, address, DevicePointType.UINT16, units, index),
            is_commandable=False,
        )


class PanelRegisters:
    """The panel, seen as registers."""

    kind = "panel"
    addresses: Mapping[RegisterTable, frozenset[int]] = ADDRESSES
    points: Sequence[DevicePoint] = tuple(_panel_points())

    def __init__(self, panel: SimulatedPanel) -> None:
        self.panel = panel
        self._unlimited_word: int | None = None
        self._limit_words: dict[int, int] = {}

    def set_unlimited_word(self, word: int | None) -> None:
        """What stands in a limit register that does not limit: 0 or 65535 (unset), as some
        devices have it; None: 100 %.
        """
        self._unlimited_word = word
        self._limit_words.clear()

    def advance(self, moment: Moment) -> None:
        """Let time pass up to `moment`."""
        self.panel.advance(moment)

    def read(self, table: RegisterTable, address: int, count: int, moment: Moment) -> list[int]:
        """Values from `address` on, as they are at `moment`."""
        _check_addresses(table, address, count)
        self.panel.advance(moment)
        if table is RegisterTable.COIL:
            return [int(x) for x in self.panel.contactors_closed[address : address + count]]
        if table is RegisterTable.INPUT:
            self.panel.read_ts = moment.wall_ts
            return _meter_words(self.panel.meter())[address : address + count]
        return [self._holding(each) for each in range(address, address + count)]

    def write(
        self, table: RegisterTable, address: int, values: Sequence[int], moment: Moment
    ) -> None:
        """Write values from `address` on: all of them, or none and an exception."""
        _check_addresses(table, address, len(values))
        self.panel.advance(moment)
        if table is RegisterTable.INPUT:
            raise RegisterTableError(ILLEGAL_ADDRESS)
        if table is RegisterTable.COIL:
            self.panel.write_contactors(address, [bool(value) for value in values], moment)
        elif address < HEARTBEAT_ADDRESS:
            self._write_limits(address, values, moment)
        else:
            self._write_heartbeat(address, values, moment)

    def power_up(self, moment: Moment) -> None:
        """The relays fall back to closed, limits to none, the heartbeat's watch to disarmed."""
        self.panel.power_up(moment)
        self._limit_words.clear()

    def state(self, moment: Moment) -> dict[str, Any]:
        """Everything there is to know, for the control port."""
        return self.panel.state(moment)

    def list_faults(self) -> list[dict[str, Any]]:
        """What circuits and limits do wrong, in the words of the control port."""
        stuck = [
            {"kind": "stuck_contactor", "circuit": CIRCUITS[index].circuit_id}
            for index in sorted(self.panel.stuck_contactors)
        ]
        partial = [
            {"kind": "partial_limit", "circuit": CIRCUITS[index].circuit_id, "share": share}
            for index, share in sorted(self.panel.limit_shares.items())
        ]
        word = self._unlimited_word
        unlimited = [] if word is None else [{"kind": "unlimited_word", "word": word}]
        return [*stuck, *partial, *unlimited]

    def clear_faults(self) -> None:
        """Contactors move, limits are obeyed, and 100 % is no limit."""
        self.panel.stuck_contactors.clear()
        self.panel.limit_shares.clear()
        self.set_unlimited_word(None)

    def _holding(self, address: int) -> int:
        if address == HEARTBEAT_ADDRESS:
            return self.panel.heartbeat.value
        if address == HEARTBEAT_TIMEOUT_ADDRESS:
            return self.panel.heartbeat.timeout_sec
        percent = self.panel.limits_percent[address]
        if self._unlimited_word is None or percent != FULL_LIMIT_PERCENT:
            return percent
        return self._limit_words.get(address, self._unlimited_word)

    def _write_limits(self, first: int, words: Sequence[int], moment: Moment) -> None:
        percents = [FULL_LIMIT_PERCENT if word == self._unlimited_word else word for word in words]
        if any(not 0 <= percent <= FULL_LIMIT_PERCENT for percent in percents):
            raise RegisterTableError(ILLEGAL_VALUE)
        self.panel.write_limits(first, percents, moment)
        self._limit_words.update(enumerate(words, first))

    def _write_heartbeat(self, address: int, values: Sequence[int], moment: Moment) -> None:
        for each, value in enumerate(values, address):
            if each == HEARTBEAT_ADDRESS:
                self.panel.heartbeat.beat(value, moment.mono_sec)
            else:
                self.panel.heartbeat.timeout_sec = value


def _check_addresses(table: RegisterTable, address: int, count: int) -> None:
    """Every address of a request must exist, otherwise exception 2."""
    if not ADDRESSES[table].issuperset(range(address, address + count)):
        raise RegisterTableError(ILLEGAL_ADDRESS)


def _meter_words(meter: SimulatedPanelMeter) -> list[int]:
    """All input registers of one reading."""
    numbers = (
        meter.total_kw,
        meter.voltage,
        meter.current_amps,
        meter.imported_kwh,
        meter.battery_soc_percent,
        *meter.powers_kw,
    )
    return list(struct.unpack(f">{2 * len(numbers)}H", struct.pack(f">{len(numbers)}f", *numbers)))
