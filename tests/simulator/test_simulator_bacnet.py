"""The BACnet panel: its objects over the same house, and its answers byte by byte."""

from __future__ import annotations

import csv
import socket
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from panel_harness import bacnet_panel

from simulator.faulty_registers import FaultyRegisters
from simulator.moment import Moment
from simulator.panel_loads import SteadyPanelLoads
from simulator.panel_registers import PanelRegisters
from simulator.register_table import RegisterTable
from simulator.simulated_circuit import CIRCUITS
from simulator.simulated_panel import SimulatedPanel
from simulator.simulated_panel_control import SimulatedPanelControlError

pytestmark = pytest.mark.long

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from bacpypes.errors import ExecutionError

    from simulator.bacnet_objects import bacnet_objects

ROOT = Path(__file__).resolve().parents[2]
# Confirmed request 1, ReadProperty of analog input 0, presentValue.
TOTAL_KW = bytes.fromhex("00 05 01 0c 0c 00 00 00 00 19 55")
# Confirmed request 2, WriteProperty of binary output 1, presentValue: inactive, priority 10.
OPEN_HEATER_AT_10 = bytes.fromhex("00 05 02 0f 0c 01 00 00 01 19 55 3e 91 00 3f 49 0a")
SIMPLE_ACK = bytes.fromhex("20 02 0f")


@pytest.fixture
def registers() -> FaultyRegisters:
    return FaultyRegisters(PanelRegisters(SimulatedPanel(SteadyPanelLoads(), Moment.now())))


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
        assert (row["Writable"] == "TRUE") == (not identifier[0].endswith("Input"))


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


def test_the_present_value_is_that_of_the_highest_slot_and_the_feedback_is_the_contactor(
    registers: FaultyRegisters, objects: dict[tuple[str, int], Any]
) -> None:
    heater = objects["binaryOutput", 1]
    panel = registers.device.panel  # type: ignore[attr-defined]
    panel.stuck_contactors.add(1)
    heater.WriteProperty("presentValue", "inactive", None, 10)
    assert (value(heater), heater.ReadProperty("feedbackValue")) == ("inactive", "active")
    panel.stuck_contactors.clear()
    heater.WriteProperty("presentValue", "inactive", None, 12)
    assert (value(heater), heater.ReadProperty("feedbackValue")) == ("inactive", "inactive")
    heater.WriteProperty("presentValue", (), None, 10)
    assert value(heater) == "inactive"  # 12 still holds it
    heater.WriteProperty("presentValue", (), None, 12)
    assert (value(heater), heater.ReadProperty("feedbackValue")) == ("active", "active")


def test_a_priority_array_has_sixteen_places_of_which_most_hold_nothing(
    objects: dict[tuple[str, int], Any],
) -> None:
    limit = objects["analogOutput", 2]
    assert limit.ReadProperty("priorityArray", 0) == 16
    limit.WriteProperty("presentValue", 30.0, None, 1)
    limit.WriteProperty("presentValue", 40.0, None, None)  # nobody says which: the lowest
    assert limit.ReadProperty("priorityArray", 1).real == 30.0
    assert limit.ReadProperty("priorityArray", 16).real == 40.0
    assert [limit.ReadProperty("priorityArray", each).null for each in range(2, 16)] == [()] * 14
    assert limit.ReadProperty("relinquishDefault") == 100.0
    with pytest.raises(ExecutionError):
        limit.WriteProperty("presentValue", 50.0, None, 17)
    with pytest.raises(ExecutionError):
        limit.WriteProperty("priorityArray", (), 1)
    assert value(limit) == 30.0


def test_a_refused_command_does_not_get_into_the_priority_array(
    registers: FaultyRegisters, objects: dict[tuple[str, int], Any]
) -> None:
    heater = objects["binaryOutput", 1]
    registers.faults.illegal.add((RegisterTable.COIL, 1))
    with pytest.raises(ExecutionError):
        heater.WriteProperty("presentValue", "inactive", None, 10)
    assert heater.ReadProperty("priorityArray", 10).null == ()
    registers.faults.illegal.clear()
    heater.WriteProperty("presentValue", "active", None, 16)
    assert value(heater) == "active"


# --- on the wire -------------------------------------------------------------------------------


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(60)
        wire.connect(("127.0.0.1", port))
        yield wire


def ask(wire: socket.socket, apdu: bytes) -> bytes:
    """An APDU to the panel and its answer: BVLL unicast and an NPDU that expects a reply."""
    npdu = b"\x01\x04" + apdu
    wire.send(b"\x81\x0a" + struct.pack(">H", 4 + len(npdu)) + npdu)
    answer = wire.recv(1500)
    assert answer[:4] == b"\x81\x0a" + struct.pack(">H", len(answer))
    return answer[6:]


def test_it_answers_on_the_wire_as_bacnet_has_it_and_can_be_silenced() -> None:
    with (
        bacnet_panel() as (port, control),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire,
    ):
        wire.settimeout(60)
        wire.connect(("127.0.0.1", port))
        answer = ask(wire, TOTAL_KW)  # complex ack 1, ReadProperty, context tag 3, a REAL
        assert answer == bytes.fromhex("30 01 0c 0c 00 00 00 00 19 55 3e 44") + struct.pack(
            ">f", 22.6
        ) + bytes.fromhex("3f")
        assert ask(wire, OPEN_HEATER_AT_10) == SIMPLE_ACK
        assert control.state()["contactors"]["heater1"] is False
        assert control.state()["total_kw"] == pytest.approx(18.1)

        control.fault("refuse")
        wire.settimeout(0.3)
        with pytest.raises(OSError):  # no answer, or ICMP says that nobody listens
            ask(wire, TOTAL_KW)
        control.clear()
        wire.settimeout(60)
        assert ask(wire, TOTAL_KW)[:3] == bytes.fromhex("30 01 0c")


def test_a_bms_holds_its_outputs_changes_its_mind_and_survives_a_power_cut() -> None:
    with bacnet_panel("--bms") as (port, control), connected(port) as wire:
        assert control.state()["priority_arrays"]["heater1_contactor"] == {"16": "active"}
        assert ask(wire, OPEN_HEATER_AT_10) == SIMPLE_ACK
        control.bms("heater1_contactor", 0)
        control.bms("ev1_limit", 40)
        state = control.state()
        assert state["priority_arrays"]["heater1_contactor"] == {
            "10": "inactive",
            "16": "inactive",
        }
        assert state["limits_percent"]["ev1"] == 40
        control.bms("heater1_contactor", 1)
        assert control.state()["contactors"]["heater1"] is False  # 10 is higher
        control.fault("power_cycle", seconds=0)
        state = control.state()
        assert state["priority_arrays"]["heater1_contactor"] == {"16": "active"}
        assert state["contactors"]["heater1"] is True
        assert state["limits_percent"]["ev1"] == 40  # the BMS said so again
        control.bms("ev1_limit", None)
        assert control.state()["limits_percent"]["ev1"] == 100
        for fields, hint in (
            ({"object": "pool1"}, "value"),
            ({"object": "pool1", "value": 1}, "heater1_contactor"),
            ({"object": "ev1_limit", "value": 101}, "does not take 101"),
            ({"object": "ev1_limit", "value": 1, "priority": 17}, "from 1 to 16"),
            ({"object": "ev1_limit", "value": 1, "at": 3}, '"at" is not known'),
        ):
            with pytest.raises(SimulatedPanelControlError, match=hint):
                control.request(op="bms", **fields)
        with pytest.raises(SimulatedPanelControlError, match="for Modbus alone"):
            control.fault("gateway")


# Confirmed requests, WriteProperty of the analog values 0 (heartbeat) and 1 (its time-out): REALs.
BEAT = bytes.fromhex("00 05 03 0f 0c 00 80 00 00 19 55 3e 44") + struct.pack(">f", 7) + b"\x3f"
TIMEOUT_1_SEC = bytes.fromhex("00 05 04 0f 0c 00 80 00 01 19 55 3e 44 3f 80 00 00 3f 49 0a")


def test_a_master_that_falls_silent_loses_its_places_and_the_bms_rules_again() -> None:
    with bacnet_panel("--bms") as (port, control), connected(port) as wire:
        control.bms("dryer1_contactor", 0, priority=8)
        control.bms("ev1_limit", 40)
        for apdu in (OPEN_HEATER_AT_10, BEAT, TIMEOUT_1_SEC):
            answer = ask(wire, apdu)
            assert answer == b"\x20" + apdu[2:3] + b"\x0f"
        state = control.state()
        assert (
            state["heartbeat"] | {"value": 7, "timeout_sec": 1, "armed": True}
            == (state["heartbeat"])
        )
        assert set(state["priority_arrays"]["heater1_contactor"]) == {"10", "16"}
        control.fault("refuse")  # its network too: the watch is the device's own
        control.wait_until(lambda now: now["heartbeat"]["expired_count"] == 1)
        state = control.state()
        assert state["priority_arrays"]["heater1_contactor"] == {"16": "active"}
        assert state["contactors"]["heater1"] is True
        assert state["priority_arrays"]["dryer1_contactor"] == {"8": "inactive", "16": "active"}
        assert state["contactors"]["dryer1"] is False, "what a person holds stays"
        assert state["limits_percent"]["ev1"] == 40


def test_a_setting_is_no_place_to_give_up(
    registers: FaultyRegisters, objects: dict[tuple[str, int], Any]
) -> None:
    timeout = objects["analogValue", 1]
    timeout.WriteProperty("presentValue", 30.0, None, 10)
    assert value(timeout) == 30.0
    assert registers.device.panel.heartbeat.timeout_sec == 30  # type: ignore[attr-defined]
    for refused in ((), 70_000.0):
        with pytest.raises(ExecutionError):
            timeout.WriteProperty("presentValue", refused, None, 10)
    assert value(timeout) == 30.0


def test_a_lost_a_late_and_an_absent_answer() -> None:
    with bacnet_panel() as (port, control), connected(port) as wire:
        control.fault("lost", every=2)
        assert ask(wire, TOTAL_KW)[:3] == bytes.fromhex("30 01 0c")
        with unanswered_for(wire, 0.1):
            ask(wire, OPEN_HEATER_AT_10)
        assert control.state()["contactors"]["heater1"] is True
        assert ask(wire, OPEN_HEATER_AT_10) == SIMPLE_ACK  # the same request, sent again
        control.clear()

        control.fault("slow", seconds=3600)
        control.bms("heater1_contactor", None, priority=10)
        with unanswered_for(wire, 0.1):
            ask(wire, OPEN_HEATER_AT_10)
        assert control.state()["contactors"]["heater1"] is False
        control.fault("slow", seconds=0.2)
        start_sec = time.monotonic()
        assert ask(wire, TOTAL_KW)[:3] == bytes.fromhex("30 01 0c")
        assert time.monotonic() - start_sec >= 0.2
        control.clear()

        control.fault("power_cycle", seconds=3600)
        with unanswered_for(wire, 0.1):
            ask(wire, TOTAL_KW)
        control.clear()
        assert ask(wire, TOTAL_KW)[:3] == bytes.fromhex("30 01 0c")


@contextmanager
def unanswered_for(wire: socket.socket, duration_sec: float) -> Iterator[None]:
    wire.settimeout(duration_sec)
    with pytest.raises(TimeoutError):
        yield
    wire.settimeout(60)
