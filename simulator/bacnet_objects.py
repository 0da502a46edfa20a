"""The panel as BACnet objects (ANSI/ASHRAE 135), over the same registers as the Modbus device.

| object          | instance | meaning                                               |
|-----------------|----------|-------------------------------------------------------|
| analog input    | 0-4      | total kW, voltage, current A, imported kWh, battery % |
| analog input    | 10 + i   | kW of circuit i                                       |
| binary output   | i        | contactor of circuit i, active = closed               |
| analog output   | i        | limit of circuit i, 0-100 % of its breaker rating     |

Outputs are commandable: the highest of 16 priorities wins, a null gives its place up, and without
any the contactor closes and the limit opens. What is read is the contactor's real state.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bacpypes.basetypes import BinaryPV
from bacpypes.errors import ExecutionError
from bacpypes.object import (
    AnalogInputObject,
    AnalogOutputObject,
    BinaryOutputObject,
    Property,
    register_object_type,
)
from bacpypes.primitivedata import Real

from simulator.faulty_registers import FaultyRegisters
from simulator.moment import Moment
from simulator.register_map import RegisterError, RegisterTable
from simulator.simulated_circuit import CIRCUITS
from simulator.simulated_panel import FULL_LIMIT_PERCENT

PRIORITIES = 16
VENDOR_ID = 999
"""Not assigned by ASHRAE."""
_METERS = (
    ("total_kw", "kilowatts"),
    ("voltage", "volts"),
    ("current_amps", "amperes"),
    ("imported_kwh", "kilowattHours"),
    ("battery_soc", "percent"),
)
_FIRST_CIRCUIT = 10


def bacnet_objects(registers: FaultyRegisters) -> Iterable[Any]:
    """All objects of the panel."""
    for index, (name, units) in enumerate(_METERS):
        yield _meter(registers, index, 2 * index, name, units)
    for index, circuit in enumerate(CIRCUITS):
        name = f"{circuit.circuit_id}_kw"
        yield _meter(registers, _FIRST_CIRCUIT + index, 10 + 2 * index, name, "kilowatts")
    for index, circuit in enumerate(CIRCUITS):
        yield _contactor(registers, index, f"{circuit.circuit_id}_contactor")
        yield _limit(registers, index, f"{circuit.circuit_id}_limit")


def _read(registers: FaultyRegisters, table: RegisterTable, address: int, count: int) -> list[int]:
    try:
        return registers.read(table, address, count, Moment.now())
    except RegisterError:
        raise ExecutionError(errorClass="device", errorCode="operationalProblem") from None


@dataclass
class _Commands:
    """The priority array of one output, and the register that the winner goes to."""

    registers: FaultyRegisters
    table: RegisterTable
    index: int
    relinquished: int
    slots: dict[int, int] = field(default_factory=dict)

    def read(self) -> int:
        return _read(self.registers, self.table, self.index, 1)[0]

    def write(self, value: int | None, priority: int | None) -> None:
        """Command the output at `priority`, the lowest if none; None gives the place up."""
        slots = dict(self.slots)
        slot = PRIORITIES if priority is None else priority
        if value is None:
            slots.pop(slot, None)
        else:
            slots[slot] = value
        winner = slots[min(slots)] if slots else self.relinquished
        try:
            self.registers.write(self.table, self.index, [winner], Moment.now())
        except RegisterError:
            raise ExecutionError(errorClass="property", errorCode="valueOutOfRange") from None
        self.slots = slots


class _Reading(Property):
    """presentValue of a meter, decoded from its two input registers."""

    def ReadProperty(self, obj: Any, arrayIndex: int | None = None) -> float:
        words = _read(obj._registers, RegisterTable.INPUT, obj._address, 2)
        return float(struct.unpack(">f", struct.pack(">2H", *words))[0])


class _Commanded(Property):
    """presentValue of an output: reads the device, writes through the priority array."""

    def ReadProperty(self, obj: Any, arrayIndex: int | None = None) -> Any:
        return obj._to_bacnet(obj._commands.read())

    def WriteProperty(
        self,
        obj: Any,
        value: Any,
        arrayIndex: int | None = None,
        priority: int | None = None,
        direct: bool = False,
    ) -> None:
        given_up = value is None or value == ()  # how bacpypes hands over a null
        obj._commands.write(None if given_up else obj._to_register(value), priority)


@register_object_type(vendor_id=VENDOR_ID)
class _Meter(AnalogInputObject):
    properties = [_Reading("presentValue", Real, optional=False, mutable=False)]


@register_object_type(vendor_id=VENDOR_ID)
class _Contactor(BinaryOutputObject):
    properties = [_Commanded("presentValue", BinaryPV, optional=False, mutable=True)]

    def _to_bacnet(self, value: int) -> str:
        return "active" if value else "inactive"

    def _to_register(self, value: Any) -> int:
        return int(value in ("active", 1))


@register_object_type(vendor_id=VENDOR_ID)
class _Limit(AnalogOutputObject):
    properties = [_Commanded("presentValue", Real, optional=False, mutable=True)]

    def _to_bacnet(self, value: int) -> float:
        return float(value)

    def _to_register(self, value: Any) -> int:
        return round(value)


def _meter(
    registers: FaultyRegisters, instance: int, address: int, name: str, units: str
) -> _Meter:
    made = _Meter(objectIdentifier=("analogInput", instance), objectName=name, units=units)
    made._registers, made._address = registers, address
    return made


def _contactor(registers: FaultyRegisters, index: int, name: str) -> _Contactor:
    made = _Contactor(objectIdentifier=("binaryOutput", index), objectName=name, polarity="normal")
    made._commands = _Commands(registers, RegisterTable.COIL, index, relinquished=1)
    return made


def _limit(registers: FaultyRegisters, index: int, name: str) -> _Limit:
    made = _Limit(objectIdentifier=("analogOutput", index), objectName=name, units="percent")
    made._commands = _Commands(registers, RegisterTable.HOLDING, index, FULL_LIMIT_PERCENT)
    return made
