"""One request to the control port, and what of it can be understood."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable
from typing import Any

from simulator.register_table import RegisterTable
from simulator.simulated_circuit import INDEX_BY_ID
from simulator.simulated_device import SimulatedDevice


class ControlRequestError(Exception):
    """Says what is wrong with a request, and what would be right."""


class ControlRequest:
    """The fields of a request, each read with its own check."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    @classmethod
    def from_line(cls, line: bytes) -> ControlRequest:
        """Read one line of JSON."""
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise ControlRequestError(f"one JSON object a line, please: {error}") from error
        if not isinstance(fields, dict):
            raise ControlRequestError('a request is a JSON object such as {"op": "state"}')
        return cls(fields)

    def refuse_others(self, known: Iterable[str]) -> None:
        """No field may go unread: a slip of the pen must not become another request."""
        for name in self.fields:
            if name not in known:
                raise ControlRequestError(f'"{name}" is not known here: give {", ".join(known)}')

    def one_of(self, key: str, allowed: Collection[str]) -> str:
        """A field that is one of these words."""
        value = self.fields.get(key)
        if not isinstance(value, str) or value not in allowed:
            raise ControlRequestError(
                f'"{key}" must be one of {", ".join(allowed)}, not {json.dumps(value)}'
            )
        return value

    def circuit(self) -> int:
        """The index of the circuit that the field "circuit" names."""
        return INDEX_BY_ID[self.one_of("circuit", tuple(INDEX_BY_ID))]

    def truth(self, key: str) -> bool:
        """A field that is true or false."""
        value = self.fields.get(key)
        if not isinstance(value, bool):
            raise ControlRequestError(f'"{key}" must be true or false, not {json.dumps(value)}')
        return value

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number; without it `default`, if there is one."""
        value = self.fields.get(key, default)
        # bool is an int to Python, but not a number to anybody
        if type(value) is not int or not low <= value <= high:
            raise ControlRequestError(
                f'"{key}" must be a whole number from {low} to {high}, not {json.dumps(value)}'
            )
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A finite number; without it `default`, if there is one."""
        value = self.fields.get(key, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not low <= value <= high
        ):
            raise ControlRequestError(
                f'"{key}" must be a number from {low:g} to {high:g}, not {json.dumps(value)}'
            )
        return float(value)

    def seconds(self, key: str = "seconds") -> float:
        """A duration, up to a day."""
        return self.number(key, 0.0, 86_400.0)

    def spot(
        self, device: SimulatedDevice, tables: tuple[RegisterTable, ...]
    ) -> tuple[RegisterTable, int]:
        """The register that "register" (its table) and "address" name."""
        table = RegisterTable(self.one_of("register", tuple(table.value for table in tables)))
        address = self.fields.get("address")
        if type(address) is not int or address not in device.addresses[table]:
            known = ", ".join(str(each) for each in sorted(device.addresses[table]))
            raise ControlRequestError(
                f'"address" must be an address of table {table.value} ({known}), '
                f"not {json.dumps(address)}"
            )
        return table, address

    def kilowatts(self, key: str, most_kw: float) -> float:
        """A draw in kW, up to what the breaker carries."""
        value = self.fields.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ControlRequestError(f'"{key}" must be a number, or null for its own draw again')
        if not 0.0 <= value <= most_kw:
            raise ControlRequestError(
                f'"{key}" must be between 0 and the breaker\'s {most_kw:g} kW'
            )
        return float(value)

    def words(self) -> tuple[int, ...] | None:
        """The field "words": what registers show, each as 0 to 65535 or as hexadecimal text."""
        value = self.fields.get("words")
        if value is None:
            return None
        words = [_word(each) for each in value] if isinstance(value, list) else []
        if not words or None in words:
            raise ControlRequestError(
                '"words" must be a list of register contents, each 0 to 65535 or text such as '
                f'"0x8000", not {json.dumps(value)}'
            )
        return tuple(word for word in words if word is not None)

    def float_value(self) -> float:
        """The field "value": a number, or text such as "nan"."""
        value = self.fields.get("value")
        try:
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise ValueError
            number = float(value)
        except (ValueError, OverflowError) as error:
            raise ControlRequestError(
                f'"value" must be a number, "nan" or "inf", not {json.dumps(value)}'
            ) from error
        if math.isfinite(number) and abs(number) > 3.4e38:
            raise ControlRequestError('"value" must fit into a float of 32 bits')
        return number


def _word(value: object) -> int | None:
    if isinstance(value, str):
        try:
            value = int(value, 16)
        except ValueError:
            return None
    return value if type(value) is int and 0 <= value <= 0xFFFF else None
