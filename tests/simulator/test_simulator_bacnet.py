"""The BACnet panel: its objects over the same house, and its answers byte by byte."""

from __future__ import annotations

import csv
import re
import socket
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simulator.faulty_registers import FaultyRegisters
from simulator.house_loads import SteadyLoads
from simulator.moment import Moment
from simulator.panel_control import PanelControl
from simulator.panel_registers import PanelRegisters
from simulator.register_map import RegisterTable
from simulator.simulated_circuit import CIRCUITS
from simulator.simulated_panel import SimulatedPanel

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from bacpypes.errors import ExecutionError

    from simulator.bacnet_objects import bacnet_objects

ROOT = Path(__file__).resolve().parents[2]
READ_PRESENT_VALUE = bytes.fromhex("00 05 01 0c 0c")  # confirmed request 1, ReadProperty, object id


@pytest.fixture
def registers() -> FaultyRegisters:
    return FaultyRegisters(PanelRegisters(SimulatedPanel(SteadyLoads(), Moment.now())))


@pytest.fixture
def objects(registers: FaultyRegisters) -> dict[tuple[str, int], Any]:
    return {each.objectIdentifier: each for each in bacnet_objects(registers)}


def value(each: Any) -> Any:
    return each.ReadProperty("presentValue")


def test_the_objects_are_those_of_the_registry(objects: dict[tuple[str, int], Any]) -> None:
    with (ROOT / "MeterDriverConfigs/bacnet_panel/registry.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    named = {(row["BACnet Object Type"], int(row["Index"])): row for row in rows}
    assert set(named) == set(objects)
    for identifier, row in named.items():
        assert objects[identifier].objectName == row["Volttron Point Name"]
        assert (row["Writable"] == "TRUE") == identifier[0].endswith("Output")


def test_the_meters_read_the_house(objects: dict[tuple[str, int], Any]) -> None:
    assert value(objects["analogInput", 0]) == pytest.approx(22.6)
    assert value(objects["analogInput", 1]) == pytest.approx(240.0)
    powers = [value(objects["analogInput", 10 + index]) for index in range(len(CIRCUITS))]
    assert powers == pytest.approx([circuit.steady_kw for circuit in CIRCUITS])


def test_a_written_contactor_opens_and_its_power_is_gone(
    objects: dict[tuple[str, int], Any],
) -> None:
    heater = objects["binaryOutput", 1]
    assert value(heater) == "active"
    heater.WriteProperty("presentValue", "inactive", None, 10)
    assert value(heater) == "inactive"
    assert value(objects["analogInput", 11]) == 0.0
    assert value(objects["analogInput", 0]) == pytest.approx(18.1)


def test_the_higher_priority_wins_and_a_null_gives_up_its_place(
    objects: dict[tuple[str, int], Any],
) -> None:
    limit = objects["analogOutput", 2]
    limit.WriteProperty("presentValue", 30.0, None, 10)
    limit.WriteProperty("presentValue", 80.0, None, 8)
    assert value(limit) == 80.0
    limit.WriteProperty("presentValue", (), None, 8)
    assert value(limit) == 30.0
    limit.WriteProperty("presentValue", (), None, 10)
    assert value(limit) == 100.0


def test_a_limit_out_of_range_is_refused_and_changes_nothing(
    objects: dict[tuple[str, int], Any],
) -> None:
    limit = objects["analogOutput", 2]
    limit.WriteProperty("presentValue", 30.0, None, 10)
    with pytest.raises(ExecutionError):
        limit.WriteProperty("presentValue", 120.0, None, 10)
    assert value(limit) == 30.0


def test_a_faulty_register_refuses_as_it_does_over_modbus(
    registers: FaultyRegisters, objects: dict[tuple[str, int], Any]
) -> None:
    registers.faults.illegal.add((RegisterTable.COIL, 1))
    with pytest.raises(ExecutionError):
        objects["binaryOutput", 1].WriteProperty("presentValue", "inactive", None, 10)
    assert value(objects["binaryOutput", 1]) == "active"


# --- on the wire -------------------------------------------------------------------------------


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running() -> Iterator[tuple[int, PanelControl]]:
    port = free_udp_port()
    command = [sys.executable, "-m", "simulator.bacnet", "--steady", "--control-port", "0"]
    command += ["--address", f"127.0.0.1/8:{port}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first, second = process.stdout.readline(), process.stdout.readline()
            assert first == f"panel listening on 127.0.0.1/8:{port} device 260001\n"
            with PanelControl(int(re.findall(r":(\d+)", second)[0])) as control:
                yield port, control
        finally:
            process.terminate()
            assert process.wait(10) == 0


def ask(wire: socket.socket, apdu: bytes) -> bytes:
    """An APDU to the panel and its answer: BVLL unicast and an NPDU that expects a reply."""
    npdu = b"\x01\x04" + apdu
    wire.send(b"\x81\x0a" + struct.pack(">H", 4 + len(npdu)) + npdu)
    answer = wire.recv(1500)
    assert answer[:4] == b"\x81\x0a" + struct.pack(">H", len(answer))
    return answer[6:]


def test_it_answers_on_the_wire_as_bacnet_has_it_and_can_be_silenced() -> None:
    with running() as (port, control), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(10)
        wire.connect(("127.0.0.1", port))
        total = READ_PRESENT_VALUE + struct.pack(">I", 0) + bytes.fromhex("19 55")
        answer = ask(wire, total)  # complex ack 1, ReadProperty, context tag 3, a REAL
        assert answer == bytes.fromhex("30 01 0c 0c 00 00 00 00 19 55 3e 44") + struct.pack(
            ">f", 22.6
        ) + bytes.fromhex("3f")
        opened = ask(
            wire,
            bytes.fromhex("00 05 02 0f 0c")
            + struct.pack(">I", (4 << 22) | 1)  # binary output 1
            + bytes.fromhex("19 55 3e 91 00 3f 49 0a"),  # inactive, priority 10
        )
        assert opened == bytes.fromhex("20 02 0f")  # simple ack
        assert control.state()["contactors"]["heater1"] is False
        assert control.state()["total_kw"] == pytest.approx(18.1)

        control.fault("refuse")
        wire.settimeout(0.3)
        with pytest.raises(OSError):  # no answer, or ICMP says that nobody listens
            ask(wire, total)
        control.clear()
        wire.settimeout(10)
        assert ask(wire, total)[:3] == bytes.fromhex("30 01 0c")
