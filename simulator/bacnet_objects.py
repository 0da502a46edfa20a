"""Devices as BACnet objects (ANSI/ASHRAE 135), over the same registers as the Modbus devices.

| object          | instance | meaning of the panel's                                |
|-----------------|----------|-------------------------------------------------------|
| analog input    | 0-4      | total kW, voltage, current A, imported kWh, battery % |
| analog input    | 10 + i   | kW of circuit i                                       |
| binary output   | i        | contactor of circuit i, active = closed               |
| analog output   | i        | limit of circuit i, 0-100 % of its breaker rating     |
| analog value    | 0-1      | heartbeat (any write counts), its time-out in s       |

Input registers are analog inputs, coils binary outputs, holding registers analog outputs. Outputs
are commandable (clause 19.2): of 16 priorities the highest that holds a value is the present
value, a null gives a place up, and without any the relinquish default rules: the contactor
closes, the limit opens. Where a contactor really is, is its Feedback_Value. When the heartbeat's
watch fires, every place that a client on the network commanded is given up; a BMS keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bacpypes.basetypes import BinaryPV
from bacpypes.errors import ExecutionError
from bacpypes.local.object import AnalogOutputCmdObject, BinaryOutputCmdObject
from bacpypes.object import (
    AnalogInputObject,
    AnalogValueObject,
    Property,
    register_object_type,
)
from bacpypes.primitivedata import Real

from simulator.device_point import DevicePoint
from simulator.faulty_registers import FaultyRegisters
from simulator.moment import Moment
from simulator.register_table import RegisterTable, RegisterTableError
from simulator.simulated_device import SimulatedDevice

PRIORITIES = 16
VENDOR_ID = 999
"""Not assigned by ASHRAE."""
_NORMAL = [0, 0, 0, 0]
"""No alarm, no fault, not overridden, in service."""
_NULL: tuple[()] = ()
"""How bacpypes hands over a null."""


def bacnet_objects(registers: FaultyRegisters) -> Iterable[Any]:
    """All objects of one device."""
    for point in registers.device.points:
        made = (_CLASSES[point.table] if point.is_commandable else _Setting)(point)
        made._point, made._registers, made._bms_priorities = point, registers, set()
        yield made


def _read(registers: FaultyRegisters, point: DevicePoint) -> float:
    try:
        words = registers.read(point.table, point.address, point.word_count, Moment.now())
    except RegisterTableError:
        raise ExecutionError(errorClass="device", errorCode="operationalProblem") from None
    return point.decode(words)


def _write(registers: FaultyRegisters | SimulatedDevice, point: DevicePoint, value: float) -> None:
    try:
        words = point.encode(value)
        registers.write(point.table, point.address, words, Moment.now())
    except (RegisterTableError, ValueError):
        raise ExecutionError(errorClass="property", errorCode="valueOutOfRange") from None


class _Reading(Property):
    """presentValue of an input, decoded from its registers."""

    def ReadProperty(self, obj: Any, arrayIndex: int | None = None) -> float:
        return _read(obj._registers, obj._point)


class _Feedback(Property):
    """feedbackValue of a contactor: where it really is."""

    def ReadProperty(self, obj: Any, arrayIndex: int | None = None) -> str:
        return "active" if _read(obj._registers, obj._point) else "inactive"


@register_object_type(vendor_id=VENDOR_ID)
class _Meter(AnalogInputObject):
    properties = [_Reading("presentValue", Real, optional=False, mutable=False)]
    _point: DevicePoint
    _registers: FaultyRegisters

    def __init__(self, point: DevicePoint) -> None:
        super().__init__(
            objectIdentifier=("analogInput", point.instance),
            objectName=point.name,
            units=point.units,
            presentValue=0.0,
            statusFlags=_NORMAL,
            covIncrement=0.1,
        )

    def refresh(self) -> None:
        """Tell those who subscribed to its changes, if it has changed."""
        self._properties["presentValue"].WriteProperty(
            self, _read(self._registers, self._point), direct=True
        )


class _SettingValue(Property):
    """presentValue of a setting: in the register, and without priorities."""

    def ReadProperty(self, obj: Any, arrayIndex: int | None = None) -> float:
        return _read(obj._registers, obj._point)

    def WriteProperty(
        self,
        obj: Any,
        value: Any,
        arrayIndex: int | None = None,
        priority: int | None = None,
        direct: bool = False,
    ) -> None:
        if direct:  # at its creation
            return
        if value is None or value == _NULL:
            raise ExecutionError(errorClass="property", errorCode="invalidDataType")
        _write(obj._registers, obj._point, float(value))


@register_object_type(vendor_id=VENDOR_ID)
class _Setting(AnalogValueObject):
    properties = [_SettingValue("presentValue", Real, optional=False, mutable=True)]

    def __init__(self, point: DevicePoint) -> None:
        super().__init__(
            objectIdentifier=("analogValue", point.instance),
            objectName=point.name,
            units=point.units,
            statusFlags=_NORMAL,
        )


class _Output:
    """A commandable object, whose present value is written into its registers.

    bacpypes keeps the priority array; a value that the device refuses never gets into it.
    """

    _point: DevicePoint
    _registers: FaultyRegisters
    _bms_priorities: set[int]
    """Which of its places the building's BMS commands."""
    priorityArray: Any
    relinquishDefault: Any

    def ReadProperty(self, propid: Any, arrayIndex: int | None = None) -> Any:
        """Through the device's faults: an output that does not answer, does not answer here."""
        if propid == "presentValue":
            _read(self._registers, self._point)
        return super().ReadProperty(propid, arrayIndex)  # type: ignore[misc]

    def WriteProperty(
        self,
        propid: Any,
        value: Any,
        arrayIndex: int | None = None,
        priority: int | None = None,
        direct: bool = False,
    ) -> None:
        """Command the output at a priority, the lowest if none is named."""
        if propid == "priorityArray":
            raise ExecutionError(errorClass="property", errorCode="writeAccessDenied")
        if propid == "presentValue" and not direct:
            value = _NULL if value is None or value == _NULL else self.to_bacnet(value)
            slot = PRIORITIES if priority is None else priority
            self._write_register({**self.commands(), slot: value})
            self._bms_priorities.discard(slot)
        super().WriteProperty(propid, value, arrayIndex, priority, direct)  # type: ignore[misc]

    def refresh(self) -> None:
        """bacpypes itself tells of a new present value."""

    def commands(self) -> dict[int, Any]:
        """What each priority holds, those that hold nothing left out."""
        raise NotImplementedError

    def to_bacnet(self, value: Any) -> Any:
        """A value as bacpypes keeps it."""
        raise NotImplementedError

    def to_register(self, value: Any) -> float:
        """A present value as the register has it."""
        raise NotImplementedError

    def command(self, value: Any, priority: int) -> None:
        """As the building's BMS does it; None gives the place up."""
        self.WriteProperty("presentValue", value, None, priority)
        if value is not None:
            self._bms_priorities.add(priority)

    def power_up(self) -> None:
        """What was commanded is lost, but for the lowest priority: a BMS commands again at once."""
        self._give_up(priority for priority in self.commands() if priority != PRIORITIES)
        if self.commands():
            self._write_register(self.commands())

    def watch_fired(self) -> None:
        """The master is silent: its places are given up, whatever the network does."""
        self._give_up(self.commands().keys() - self._bms_priorities)
        _write(self._registers.device, self._point, self.to_register(self._winner(self.commands())))

    def _give_up(self, priorities: Iterable[int]) -> None:
        for priority in list(priorities):
            super().WriteProperty("presentValue", _NULL, None, priority, False)  # type: ignore[misc]

    def _winner(self, commands: Mapping[int, Any]) -> Any:
        held = {each: value for each, value in commands.items() if value != _NULL}
        return held[min(held)] if held else self.relinquishDefault

    def _write_register(self, commands: Mapping[int, Any]) -> None:
        _write(self._registers, self._point, self.to_register(self._winner(commands)))


@register_object_type(vendor_id=VENDOR_ID)
class _Contactor(_Output, BinaryOutputCmdObject):
    properties = [_Feedback("feedbackValue", BinaryPV, optional=True, mutable=False)]

    def __init__(self, point: DevicePoint) -> None:
        default = "active" if point.relinquish_default else "inactive"
        super().__init__(
            objectIdentifier=("binaryOutput", point.instance),
            objectName=point.name,
            polarity="normal",
            presentValue=default,
            relinquishDefault=default,
            statusFlags=_NORMAL,
        )

    def commands(self) -> dict[int, Any]:
        """As in `_Output`."""
        slots = ((each, self.priorityArray[each].enumerated) for each in range(1, PRIORITIES + 1))
        return {each: self.to_bacnet(value) for each, value in slots if value is not None}

    def to_bacnet(self, value: Any) -> Any:
        """As in `_Output`."""
        return "active" if value in ("active", 1) else "inactive"

    def to_register(self, value: Any) -> float:
        """As in `_Output`."""
        return float(value == "active")


@register_object_type(vendor_id=VENDOR_ID)
class _Limit(_Output, AnalogOutputCmdObject):
    def __init__(self, point: DevicePoint) -> None:
        super().__init__(
            objectIdentifier=("analogOutput", point.instance),
            objectName=point.name,
            units=point.units,
            presentValue=float(point.relinquish_default),
            relinquishDefault=float(point.relinquish_default),
            statusFlags=_NORMAL,
            covIncrement=0.1,
        )

    def commands(self) -> dict[int, Any]:
        """As in `_Output`."""
        slots = ((each, self.priorityArray[each].real) for each in range(1, PRIORITIES + 1))
        return {each: value for each, value in slots if value is not None}

    def to_bacnet(self, value: Any) -> Any:
        """As in `_Output`."""
        return float(value)

    def to_register(self, value: Any) -> float:
        """As in `_Output`."""
        return float(value)


_CLASSES: dict[RegisterTable, Any] = {
    RegisterTable.INPUT: _Meter,
    RegisterTable.COIL: _Contactor,
    RegisterTable.HOLDING: _Limit,
}
