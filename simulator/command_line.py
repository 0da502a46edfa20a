"""The options of `python -m simulator` and `python -m simulator.bacnet`, checked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from simulator.control_request import ControlRequest
from simulator.device_catalog import CatalogDevice, DeviceCatalog
from simulator.fault_injector import FaultInjector

_Number = TypeVar("_Number", int, float)

_MAX_SPEED = 3600.0
_MAX_INSTANCE = 4_194_302


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults behind the options, and the table below them as it is."""


def _fault_help() -> str:
    lines = [
        f"  {kind:16} {', '.join(fields)}".rstrip() for kind, fields in FaultInjector.FIELDS.items()
    ]
    return "\n".join(["kinds of --fault and their fields (simulator/README.md):", *lines])


def parse_modbus_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of the Modbus panel."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="An electrical panel with eight circuits as a Modbus TCP device.",
        formatter_class=_HelpFormatter,
        epilog=_fault_help(),
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=_port_number, default=5020, help="Modbus TCP port; 0 takes a free one")
    add("--unit", type=_unit, default=1, help="Modbus unit (slave) id, 1-247")
    _add_common(parser)
    options = parser.parse_args(arguments)
    _check_units(parser, options.unit, options.device)
    return options


def parse_bacnet_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line of the BACnet panel."""
    parser = argparse.ArgumentParser(
        prog="python -m simulator.bacnet",
        description="An electrical panel with eight circuits as a BACnet/IP device.",
        formatter_class=_HelpFormatter,
        epilog=_fault_help(),
    )
    add = parser.add_argument
    add("--address", default="127.0.0.1/8:47809", help="IP address/network bits:UDP port")
    add("--device-id", type=_instance, default=260001, help="BACnet device instance")
    add(
        "--bms",
        action="store_true",
        help="a BMS holds every output at priority 16; the control port changes its mind",
    )
    _add_common(parser)
    options = parser.parse_args(arguments)
    _check_units(parser, 1, options.device)
    for each in options.device:
        if each.kind == "panel":
            parser.error("a second panel needs a BACnet device of its own: start another process")
        if each.kind == "inverter":
            parser.error("an inverter speaks SunSpec, which is Modbus: python -m simulator")
    return options


def _check_units(
    parser: argparse.ArgumentParser, first: int, others: Sequence[CatalogDevice]
) -> None:
    units = [first, *(each.unit for each in others)]
    for unit in units:
        if units.count(unit) > 1:
            parser.error(f"unit {unit} is given to two devices: each needs a unit id of its own")


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--device",
        type=_device,
        action="append",
        default=[],
        metavar="KIND:UNIT",
        help=f"one more device: {', '.join(DeviceCatalog.KINDS)}; may be repeated",
    )
    add("--steady", action="store_true", help="fixed draws and 240 V, for tests and benchmarks")
    add(
        "--control-port",
        type=_port_number,
        help="open the fault injection port, on loopback only; 0 takes a free one",
    )
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND[,FIELD=VALUE...]",
        help="begin with a fault, as in lost,every=10 or slow,seconds=2; may be repeated",
    )
    add("--seed", type=int, default=None, help="makes the noise reproducible")
    add(
        "--speed",
        type=_speed_factor,
        default=1.0,
        help="simulated seconds in a real one, up to 3600",
    )


def _port_number(text: str) -> int:
    return _in_range(text, int, 0, 65535, "a port from 0 to 65535")


def _unit(text: str) -> int:
    return _in_range(text, int, 1, 247, "a unit id from 1 to 247")


def _instance(text: str) -> int:
    wanted = f"a BACnet instance from 0 to {_MAX_INSTANCE}"
    return _in_range(text, int, 0, _MAX_INSTANCE, wanted)


def _device(text: str) -> CatalogDevice:
    kind, _, unit = text.partition(":")
    if kind not in DeviceCatalog.KINDS:
        known = ", ".join(DeviceCatalog.KINDS)
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND:UNIT with a KIND of {known}")
    return CatalogDevice(kind, _unit(unit))


def _fault(text: str) -> ControlRequest:
    """The same fields as a request to the control port has."""
    kind, *pairs = text.split(",")
    fields: dict[str, object] = {"op": "fault", "kind": kind}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"{pair!r} in {text!r} is not FIELD=VALUE")
        fields[name] = value.split(":") if name == "words" else _plain(value)
    return ControlRequest(fields)


def _plain(text: str) -> object:
    """A number, true, false or null as JSON has them; otherwise the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _speed_factor(text: str) -> float:
    return _in_range(text, float, 0.01, _MAX_SPEED, f"a number from 0.01 to {_MAX_SPEED:g}")


def _in_range(
    text: str, convert: Callable[[str], _Number], low: float, high: float, wanted: str
) -> _Number:
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value
