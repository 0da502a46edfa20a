"""Checks a registry as VOLTTRON's drivers read it: CSV, or a JSON list of rows.

The drivers skip, guess or fail late where this says so before: a `Writable` they do not know is
read as FALSE, a wrong type stops the device, an overlap gives wrong values.
"""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.check_config.checked_file import read_checked_text_file
from ops.check_config.config_findings import ConfigFindings

NAME, UNITS, WRITABLE = "Volttron Point Name", "Units", "Writable"
COLUMNS = {
    "modbus": (NAME, UNITS, "Modbus Register", WRITABLE, "Point Address"),
    "modbus_tk": (NAME, WRITABLE),
    "bacnet": (NAME, UNITS, "BACnet Object Type", "Property", WRITABLE, "Index"),
    "fake": (NAME, UNITS, WRITABLE, "Starting Value", "Type"),
}
"""What each of VOLTTRON's drivers cannot do without."""
_BACNET_KINDS = {
    "analogInput": "float", "analogOutput": "float", "analogValue": "float",
    "binaryInput": "bool", "binaryOutput": "bool", "binaryValue": "bool",
    "multiStateInput": "int", "multiStateOutput": "int", "multiStateValue": "int",
}  # fmt: skip
_FAKE_KINDS = {"float": "float", "int": "int", "integer": "int", "bool": "bool", "boolean": "bool"}
MAX_INSTANCE = 4_194_302
"""BACnet: 22 bits, the last one reserved."""
DEFAULT_MIN_PRIORITY = 8
Row = Mapping[str, str]


@dataclass(frozen=True)
class RegistryPoint:
    line: int
    units: str
    writable: bool
    kind: str
    """float, int, bool, str, or "" where the driver does not say."""
    has_default: bool = False


@dataclass
class PointRegistry:
    path: Path
    driver_type: str
    points: dict[str, RegistryPoint] = field(default_factory=dict)


def registry_driver_type(path: Path) -> str:
    """Which driver a registry is for, by its columns; modbus if that cannot be told."""
    try:
        header = set(_header_and_rows(path, path.read_text(encoding="utf-8-sig"))[0])
    except (OSError, ValueError):
        return "modbus"
    if "BACnet Object Type" in header:
        return "bacnet"
    return "fake" if "Starting Value" in header else "modbus"


def check_point_registry(
    path: Path, driver_type: str, found: ConfigFindings, min_priority: int = DEFAULT_MIN_PRIORITY
) -> PointRegistry | None:
    """The registry's points; None when its columns are not those of the driver."""
    text = read_checked_text_file(path, found)
    if text is None:
        return None
    try:
        header, rows = _header_and_rows(path, text)
    except ValueError as error:
        found.add(path, 1, f"no list of rows: {error}", "Write it as [ { … }, … ], or as CSV")
        return None
    missing = [column for column in COLUMNS[driver_type] if column not in header]
    if missing:
        found.add(
            path,
            1,
            f"the column {missing[0]!r} is missing for the driver {driver_type!r}",
            f"Its columns are: {', '.join(COLUMNS[driver_type])}",
        )
        return None
    registry = PointRegistry(path, driver_type)
    check = _RegistryCheck(registry, found, min_priority)
    for line, row in rows:
        check.row(line, row)
    if not registry.points:
        found.add(path, 1, "there are no points", "Write a line for each point")
    return registry


def _header_and_rows(path: Path, text: str) -> tuple[list[str], Iterator[tuple[int, Row]]]:
    """The columns, and the rows with the line each ends in. ValueError: JSON that is no such."""
    if path.suffix.lower() != ".json":
        reader = csv.DictReader(text.splitlines())
        return list(reader.fieldnames or []), _csv_rows(reader)
    rows = json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is no list of objects")
    header = list(dict.fromkeys(name for row in rows for name in row))
    return header, _json_rows(text, rows, header)


def _csv_rows(reader: csv.DictReader[str]) -> Iterator[tuple[int, Row]]:
    for row in reader:
        yield reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}


def _json_rows(
    text: str, rows: list[dict[str, object]], header: list[str]
) -> Iterator[tuple[int, Row]]:
    """A row stands where its point's name does, or after the one before."""
    line = 1
    for row in rows:
        name = f'"{row.get(NAME)}"'
        places = [n for n, each in enumerate(text.splitlines(), 1) if n >= line and name in each]
        line = next(iter(places), line)
        yield line, {k: "" if row.get(k) is None else str(row[k]).strip() for k in header}


class _RegistryCheck:
    """One pass through the rows; remembers what overlaps."""

    def __init__(self, registry: PointRegistry, found: ConfigFindings, min_priority: int) -> None:
        self._registry = registry
        self._found = found
        self._min_priority = min_priority
        self._taken: dict[tuple[str, int], tuple[str, int]] = {}
        self._line = 0

    def row(self, line: int, row: Row) -> None:
        self._line = line
        name = row[NAME]
        if not name:
            if any(row.values()):
                self._say(f"no {NAME!r}: the driver skips this line", "Name the point")
            return
        before = self._registry.points.get(name)
        if before:
            self._say(
                f"the point {name!r} stands in line {before.line} already", "Give each its own name"
            )
            return
        writable = row[WRITABLE].upper()
        if writable not in ("TRUE", "FALSE"):
            self._say(
                f"{name}: {WRITABLE} is {row[WRITABLE]!r}, which the driver reads as FALSE",
                "Write TRUE or FALSE",
            )
        kinds = {"modbus": self._modbus, "bacnet": self._bacnet, "fake": self._fake}
        check = kinds.get(self._registry.driver_type)
        kind = check(name, row, writable == "TRUE") if check else ""
        if UNITS in row and not row[UNITS]:
            self._say(f"{name}: no units", "Write them: kW, W, V, A, percent, On / Off …")
        has_default = bool(row.get("Default Value"))
        self._registry.points[name] = RegistryPoint(
            line, row.get(UNITS, ""), writable == "TRUE", kind, has_default
        )

    def _say(self, what: str, remedy: str) -> None:
        self._found.add(self._registry.path, self._line, what, remedy)

    def _whole(self, name: str, row: Row, column: str, low: int, high: int) -> int | None:
        try:
            value = int(row[column])
        except ValueError:
            value = low - 1
        if low <= value <= high:
            return value
        self._say(
            f"{name}: {column} {row[column]!r} is not a whole number from {low} to {high}",
            "Write it in decimal, as it goes over the wire",
        )
        return None

    def _take(self, table: str, first: int, count: int, name: str) -> None:
        for place in range(first, first + count):
            other = self._taken.setdefault((table, place), (name, self._line))
            if other[0] != name:
                self._say(
                    f"{name} overlaps {other[0]} of line {other[1]}: {table} {place}",
                    "Correct the address or the type of one of them",
                )
                return

    # --- Modbus --------------------------------------------------------------------------------

    def _modbus(self, name: str, row: Row, writable: bool) -> str:
        kind, size = self._modbus_type(name, row["Modbus Register"])
        address = self._whole(name, row, "Point Address", 0, 65_535)
        if address is not None and size:
            if kind == "bool":
                table = "coil" if writable else "discrete input"
            else:
                table = "holding register" if writable else "input register"
            self._take(table, address, size, name)
        self._default(name, row.get("Default Value", ""), kind)
        return kind

    def _modbus_type(self, name: str, text: str) -> tuple[str, int]:
        """(kind, registers); ("", 0) when the driver would refuse it."""
        if text.upper() == "BOOL":
            return "bool", 1
        try:
            layout = struct.Struct(text)
            values = layout.unpack(bytes(layout.size))
        except struct.error:
            values = ()
        if len(values) != 1 or layout.size % 2:
            self._say(
                f"{name}: the Modbus Register {text!r} is no type of one value in whole registers",
                "Write BOOL, >f (float32), >H, >h, >I, >i, >d …",
            )
            return "", 0
        if text[0] not in "><!":
            self._say(
                f"{name}: the type {text!r} has no byte order, so it depends on this machine",
                f"Write >{text.lstrip('@=')}; for low word first also Mixed Endian TRUE",
            )
        kinds = {float: "float", int: "int", bytes: "str"}
        return kinds.get(type(values[0]), ""), layout.size // 2

    def _default(self, name: str, text: str, kind: str) -> None:
        """The driver drops a default it cannot read, and reverts to what was there before."""
        if not text:
            return
        try:
            if kind == "bool":
                good = text.lower() in ("true", "false", "on", "off", "0", "1")
            else:
                good = bool({"float": float, "int": int}.get(kind, str)(text) is not None)
        except ValueError:
            good = False
        if not good:
            self._say(
                f"{name}: the Default Value {text!r} does not fit its type", "Correct or remove it"
            )

    # --- BACnet and fake -----------------------------------------------------------------------

    def _bacnet(self, name: str, row: Row, writable: bool) -> str:
        kind = _BACNET_KINDS.get(row["BACnet Object Type"], "")
        if not kind:
            self._say(
                f"{name}: {row['BACnet Object Type']!r} is no object type of VOLTTRON's driver",
                f"It knows {', '.join(_BACNET_KINDS)}",
            )
        if not row["Property"]:
            self._say(f"{name}: no Property", "Write presentValue")
        index = self._whole(name, row, "Index", 0, MAX_INSTANCE)
        if index is not None:
            self._take(f"{row['BACnet Object Type']} {row['Property']}", index, 1, name)
        if writable and row["BACnet Object Type"].endswith("Input"):
            self._say(f"{name}: an input cannot be written", "Write FALSE, or name the output")
        priority = row.get("Write Priority", "")
        if priority:
            self._whole(name, row, "Write Priority", self._min_priority, 16)
        elif writable:
            self._say(
                f"{name}: no Write Priority, so a write has the lowest (16)",
                "Write 10, or what the building's plan says",
            )
        return kind

    def _fake(self, name: str, row: Row, writable: bool) -> str:
        kind = _FAKE_KINDS.get(row["Type"].lower(), "")
        if not kind and row["Type"].lower() not in ("string", "str"):
            self._say(f"{name}: the Type {row['Type']!r} is unknown", "Write float, int or boolean")
        return kind
