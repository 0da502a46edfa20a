"""One value of a device: where it stands in the registers, and what it is over BACnet."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from simulator.register_table import RegisterTable


class DevicePointType(str, Enum):
    """How a value is written into 16-bit words, big-endian, high word first."""

    FLOAT32 = "float32"
    UINT16 = "uint16"
    INT16 = "int16"
    COIL = "coil"


_FORMATS = {
    DevicePointType.FLOAT32: ">f",
    DevicePointType.UINT16: ">H",
    DevicePointType.INT16: ">h",
}


@dataclass(frozen=True)
class DevicePoint:
    """A value of a device; outputs (coils and holding registers) can be written."""

    name: str
    table: RegisterTable
    address: int
    point_type: DevicePointType
    units: str
    """In BACnet's words."""
    instance: int
    """Of its BACnet object, among those of its type."""
    relinquish_default: float = 0.0
    """What an output goes to when nobody commands it over BACnet."""
    is_commandable: bool = True
    """Over BACnet: an output with a priority array; otherwise a value that anyone writes."""

    @property
    def word_count(self) -> int:
        """How many registers or coils it takes."""
        return 2 if self.point_type is DevicePointType.FLOAT32 else 1

    def decode(self, words: Sequence[int]) -> float:
        """The value in these words."""
        if self.point_type is DevicePointType.COIL:
            return float(words[0])
        data = struct.pack(f">{len(words)}H", *words)
        return float(struct.unpack(_FORMATS[self.point_type], data)[0])

    def encode(self, value: float) -> list[int]:
        """The words of this value. Raises ValueError if it does not fit."""
        if self.point_type is DevicePointType.COIL:
            return [int(value)]
        whole = self.point_type is not DevicePointType.FLOAT32
        try:
            data = struct.pack(_FORMATS[self.point_type], round(value) if whole else value)
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{value:g} does not fit into {self.point_type.value}") from error
        return list(struct.unpack(f">{len(data) // 2}H", data))
