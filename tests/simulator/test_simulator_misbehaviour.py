"""What devices in the field do wrong, each as a master sees it over TCP."""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from panel_harness import PROCESS_TIMEOUT_SEC, PanelProcess, SteadyPanel, unanswered
from pymodbus.client import ModbusTcpClient

from simulator.simulated_circuit import CIRCUIT_COUNT
from simulator.simulated_panel_control import SimulatedPanelControl, SimulatedPanelControlError

HEATER, EV = 1, 2
LONG_SEC = 3600.0
"""Longer than any test: what it ends is ended by `clear`."""


def request(transaction: int, unit: int, function: int, address: int, value: int) -> bytes:
    """A Modbus TCP request with one word behind the address: a count, or what is written."""
    return struct.pack(">HHHBBHH", transaction, 0, 6, unit, function, address, value)


READ_COILS = request(7, 1, 1, 0, 8)
OPEN_HEATER = request(8, 1, 5, HEATER, 0)


@contextmanager
def wired(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PROCESS_TIMEOUT_SEC) as wire:
        yield wire


def silent(wire: socket.socket) -> bool:
    """Nothing has come, and the connection stands."""
    wire.settimeout(0.1)
    try:
        return wire.recv(1) == b"never"
    except TimeoutError:
        return True
    finally:
        wire.settimeout(PROCESS_TIMEOUT_SEC)


# -- what is read


def test_a_value_is_absurd_for_one_reading(panel: SteadyPanel) -> None:
    panel.control.fault("reading", register="input", address=10, value=6553.5, times=1)
    assert panel.power_kw("hvac1") == 6553.5
    assert panel.power_kw("hvac1") == pytest.approx(3.5)
    assert panel.control.state()["faults"] == []


def test_a_false_reading_is_in_the_block_too_and_its_neighbours_are_true(
    panel: SteadyPanel,
) -> None:
    panel.control.fault("reading", register="input", address=12, value=-1.0)
    words = panel.client.read_input_registers(0, count=26).registers
    numbers = struct.unpack(">13f", struct.pack(">26H", *words))
    assert numbers[5:8] == pytest.approx([3.5, -1.0, 7.2])
    assert numbers[0] == pytest.approx(22.6)
    assert panel.control.state()["powers_kw"]["heater1"] == 4.5


def test_a_reading_that_is_no_number(panel: SteadyPanel) -> None:
    panel.control.fault("reading", register="input", address=14, value="nan")
    assert math.isnan(panel.power_kw("ev1"))
    panel.control.clear()
    assert panel.power_kw("ev1") == pytest.approx(7.2)


@pytest.mark.parametrize(
    "words", [["0x8000"], [0x8000, 0], ["0x7FFF", "0xFFFF"], [65535, 65535], [32768]]
)
def test_the_sentinels_of_the_field(panel: SteadyPanel, words: list[Any]) -> None:
    panel.control.fault("reading", register="input", address=0, words=words)
    wanted = [int(word, 16) if isinstance(word, str) else word for word in words]
    seen = panel.client.read_input_registers(0, count=len(words)).registers
    assert seen == wanted
    if len(words) == 1:
        assert panel.client.read_input_registers(1).registers[0] not in wanted


def test_a_coil_and_a_limit_can_lie(panel: SteadyPanel) -> None:
    panel.control.fault("reading", register="coil", address=HEATER, words=[0], times=2)
    panel.control.fault("reading", register="holding", address=EV, words=[65535])
    assert [panel.coil("heater1") for _ in range(3)] == [False, False, True]
    assert panel.client.read_holding_registers(EV).registers == [65535]
    assert panel.control.state()["faults"] == [
        {
            "kind": "reading",
            "register": "holding",
            "address": EV,
            "words": [65535],
            "times": None,
        }
    ]


def test_a_register_that_fails_alone(panel: SteadyPanel) -> None:
    panel.control.fault("illegal_read", register="input", address=12)
    for address, count in ((12, 2), (0, 26)):
        answer = panel.client.read_input_registers(address, count=count)
        assert answer.isError()
        assert answer.exception_code == 2
    assert panel.power_kw("hvac1") == pytest.approx(3.5)
    assert panel.power_kw("ev1") == pytest.approx(7.2)
    panel.control.fault("illegal_read", register="coil", address=HEATER)
    assert panel.client.read_coils(0, count=8).exception_code == 2
    assert not panel.client.write_coil(HEATER, False).isError()  # written it can be


# -- requests that get lost, answers that come late


def test_every_third_request_is_lost(panel: SteadyPanel) -> None:
    panel.control.fault("lost", every=3)
    for _ in range(2):
        assert not panel.client.read_coils(0, count=8).isError()
        assert not panel.client.write_coil(HEATER, True).isError()
        with unanswered(panel.client):
            panel.client.write_coil(HEATER, False)
        assert panel.control.state()["contactors"]["heater1"] is True  # it never arrived


def test_a_slow_device_acts_at_once_and_answers_late(panel: SteadyPanel) -> None:
    panel.control.fault("slow", seconds=LONG_SEC)
    with wired(panel.port) as wire:
        wire.sendall(OPEN_HEATER)
        panel.control.wait_until(lambda state: not state["contactors"]["heater1"])
        assert silent(wire)
    panel.control.clear()
    panel.control.fault("slow", seconds=0.05)
    start_sec = time.monotonic()
    assert panel.coil("heater1") is False
    assert time.monotonic() - start_sec >= 0.05


def test_late_answers_come_in_order_under_the_numbers_of_their_requests(
    panel: SteadyPanel,
) -> None:
    panel.control.fault("slow", seconds=0.5)
    with wired(panel.port) as wire, wire.makefile("rb") as answers:
        wire.sendall(OPEN_HEATER)
        panel.control.wait_until(lambda state: not state["contactors"]["heater1"])
        panel.control.fault("slow", seconds=0)
        wire.sendall(READ_COILS)  # as a master does that has lost its patience
        assert answers.read(12) == OPEN_HEATER
        assert answers.read(10) == READ_COILS[:4] + b"\x00\x04\x01\x01\x01\xfd"


def test_a_device_goes_away_and_comes_back_as_it_was(panel: SteadyPanel) -> None:
    panel.client.write_coil(HEATER, False)
    panel.control.fault("away", seconds=LONG_SEC)
    with unanswered(panel.client):
        panel.client.read_coils(0, count=8)
    panel.control.fault("away", seconds=0.2)
    panel.control.wait_until(lambda state: state["faults"] == [])
    assert panel.coil("heater1") is False


def test_a_power_cut_leaves_the_state_of_power_up(panel: SteadyPanel) -> None:
    panel.client.write_coils(0, [False] * CIRCUIT_COUNT)
    panel.client.write_registers(0, [30] * CIRCUIT_COUNT)
    panel.client.write_register(101, 60)
    panel.client.write_register(100, 5)
    panel.control.fault("power_cycle", seconds=LONG_SEC)
    with unanswered(panel.client):
        panel.client.write_coil(HEATER, False)
    state = panel.control.state()
    assert all(state["contactors"].values())
    assert set(state["limits_percent"].values()) == {100}
    assert (state["heartbeat"]["armed"], state["heartbeat"]["timeout_sec"]) == (False, 120)
    assert [fault["kind"] for fault in state["faults"]] == ["power_cycle"]
    panel.control.fault("power_cycle", seconds=0.0)
    assert panel.client.read_coils(0, count=8).bits == [True] * CIRCUIT_COUNT
    assert panel.client.read_holding_registers(0, count=8).registers == [100] * CIRCUIT_COUNT


# -- what is written


def test_a_read_back_follows_the_write_late_and_the_contactor_does_not(
    panel: SteadyPanel,
) -> None:
    panel.control.fault("slow_readback", seconds=LONG_SEC)
    panel.client.write_coil(HEATER, False)
    panel.client.write_register(EV, 25)
    assert panel.coil("heater1") is True
    assert panel.client.read_holding_registers(EV).registers == [100]
    assert panel.power_kw("heater1") == 0.0
    assert panel.power_kw("ev1") == pytest.approx(3.0)
    panel.control.clear()
    assert panel.coil("heater1") is False

    panel.control.fault("slow_readback", seconds=0.2)
    panel.client.write_coil(HEATER, True)
    assert panel.coil("heater1") is False
    deadline_sec = time.monotonic() + PROCESS_TIMEOUT_SEC
    while not panel.coil("heater1"):
        assert time.monotonic() < deadline_sec


def test_a_hand_moves_one_contactor(panel: SteadyPanel) -> None:
    before = panel.control.state()
    panel.control.hand("heater1", closed=False)
    assert list(panel.client.read_coils(0, count=3).bits[:3]) == [True, False, True]
    state = panel.control.state()
    assert state["write_count"] == before["write_count"]
    assert state["changed_ts"]["contactors"]["heater1"] >= before["ts"]
    panel.control.hand("heater1", closed=True)
    assert panel.power_kw("heater1") == pytest.approx(4.5)


def test_a_limit_that_is_obeyed_in_part(panel: SteadyPanel) -> None:
    panel.control.fault("partial_limit", circuit="ev1", share=0.25)
    panel.client.write_register(EV, 10)  # 1.2 kW asked of 7.2
    assert panel.power_kw("ev1") == pytest.approx(7.2 - 0.25 * 6.0)
    assert panel.client.read_holding_registers(EV).registers == [10]
    panel.control.clear()
    assert panel.power_kw("ev1") == pytest.approx(1.2)


@pytest.mark.parametrize("word", [0, 65535])
def test_a_word_that_means_no_limit(panel: SteadyPanel, word: int) -> None:
    panel.control.fault("unlimited_word", word=word)
    limits = panel.client.read_holding_registers(0, count=8).registers
    assert limits == [word] * CIRCUIT_COUNT
    assert not panel.client.write_register(EV, 10).isError()
    assert panel.power_kw("ev1") == pytest.approx(1.2)
    assert not panel.client.write_register(EV, word).isError()
    assert panel.power_kw("ev1") == pytest.approx(7.2)  # by 0 too: it is no limit
    assert panel.client.read_holding_registers(EV).registers == [word]
    assert not panel.client.write_register(EV, 100).isError()
    assert panel.client.read_holding_registers(EV).registers == [100]
    assert panel.client.write_register(EV, 101).exception_code == 3


# -- a gateway, and what is behind it


@pytest.fixture
def gateway() -> Iterator[tuple[PanelProcess, SimulatedPanelControl]]:
    """Two panels behind one port, not yet limited."""
    process = PanelProcess("--steady", "--port", "0", "--control-port", "0", "--device", "panel:2")
    with SimulatedPanelControl(process.control_port) as control:
        yield process, control
    assert process.stop() == (0, "")


@pytest.mark.long
def test_units_behind_one_port_are_devices_of_their_own(
    gateway: tuple[PanelProcess, SimulatedPanelControl],
) -> None:
    process, control = gateway
    assert process.first_line.endswith("unit 1, 2 (panel)")
    with ModbusTcpClient("127.0.0.1", port=process.port, retries=0) as client:
        client.write_coil(HEATER, False, device_id=2)
        assert control.state()["contactors"]["heater1"] is True
        assert control.state(unit=2)["contactors"]["heater1"] is False
        assert control.state()["units"] == {"1": "panel", "2": "panel"}
        control.fault("away", seconds=LONG_SEC, unit=2)
        with unanswered(client):
            client.read_coils(0, count=8, device_id=2)
        assert not client.read_coils(0, count=8, device_id=1).isError()
        assert control.state()["faults"] == []
        assert client.read_coils(0, count=8, device_id=3).exception_code == 11
        with pytest.raises(SimulatedPanelControlError, match="one of 1, 2"):
            control.fault("away", seconds=1, unit=3)


@pytest.mark.long
def test_a_gateway_closes_a_second_connection(
    gateway: tuple[PanelProcess, SimulatedPanelControl],
) -> None:
    process, control = gateway
    control.fault("gateway", seconds=0)
    with wired(process.port) as first:
        first.sendall(READ_COILS)
        assert first.recv(100)
        with wired(process.port) as second:
            assert second.recv(1) == b""
        first.sendall(request(9, 2, 1, 0, 8))  # the other unit, on the same connection
        assert first.recv(100)[6] == 2
    control.wait_until(lambda _: answers(process.port))


@pytest.mark.long
def test_a_gateway_refuses_a_second_connection(
    gateway: tuple[PanelProcess, SimulatedPanelControl],
) -> None:
    process, control = gateway
    control.fault("gateway", seconds=0, extra="refuse")
    with wired(process.port) as first:
        first.sendall(READ_COILS)
        assert first.recv(100)
        with pytest.raises(ConnectionRefusedError), wired(process.port):
            pass
        first.sendall(READ_COILS)
        assert first.recv(100)
    with wired_in_the_end(process.port) as first:
        first.sendall(READ_COILS)
        assert first.recv(100)
        control.clear()
        assert answers(process.port)
        assert control.state()["faults"] == []


@contextmanager
def wired_in_the_end(port: int) -> Iterator[socket.socket]:
    """A connection, tried for until the gateway has noticed that the last one went."""
    deadline_sec = time.monotonic() + PROCESS_TIMEOUT_SEC
    while True:
        try:
            wire = socket.create_connection(("127.0.0.1", port), timeout=PROCESS_TIMEOUT_SEC)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline_sec
    with wire:
        yield wire


def answers(port: int) -> bool:
    """Whether a new connection gets an answer."""
    try:
        with wired(port) as wire:
            wire.sendall(READ_COILS)
            return len(wire.recv(100)) > 0
    except ConnectionError:
        return False


@pytest.mark.long
def test_a_gateway_does_one_thing_at_a_time(
    gateway: tuple[PanelProcess, SimulatedPanelControl],
) -> None:
    process, control = gateway
    control.fault("gateway", seconds=0.05, connections=2)
    assert control.state()["faults"] == [
        {"kind": "gateway", "seconds": 0.05, "connections": 2, "extra": "close"}
    ]
    with wired(process.port) as one, wired(process.port) as other:
        start_sec = time.monotonic()
        for wire, unit in ((one, 1), (other, 2)):
            wire.sendall(request(unit, unit, 1, 0, 8))
        assert [wire.recv(100)[6] for wire in (one, other)] == [1, 2]
        assert time.monotonic() - start_sec >= 0.1


@pytest.mark.long
def test_a_gateway_that_was_cleared_takes_many_again(
    gateway: tuple[PanelProcess, SimulatedPanelControl],
) -> None:
    process, control = gateway
    control.fault("gateway", seconds=0)
    control.fault("refuse")
    with pytest.raises(ConnectionRefusedError), wired(process.port):
        pass
    control.clear()
    with wired(process.port) as one, wired(process.port) as other:
        for wire in (one, other):
            wire.sendall(READ_COILS)
            assert wire.recv(100)


# -- asked for wrongly


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"kind": "lost"}, "every"),
        ({"kind": "lost", "every": 0}, "from 1"),
        ({"kind": "slow", "seconds": -1}, "seconds"),
        ({"kind": "slow", "second": 1}, '"second" is not known here: give op, unit, kind, seconds'),
        ({"kind": "away", "seconds": "long"}, "number"),
        ({"kind": "reading", "register": "input", "address": 0}, "value"),
        ({"kind": "reading", "register": "input", "address": 0, "words": []}, "words"),
        ({"kind": "reading", "register": "input", "address": 0, "words": [70000]}, "65535"),
        ({"kind": "reading", "register": "input", "address": 0, "words": ["x"]}, "0x8000"),
        ({"kind": "reading", "register": "input", "address": 0, "value": 1e39}, "32 bits"),
        ({"kind": "reading", "register": "input", "address": 0, "value": [1]}, "nan"),
        (
            {"kind": "reading", "register": "input", "address": 0, "value": 1, "words": [1]},
            "not both",
        ),
        (
            {"kind": "reading", "register": "input", "address": 0, "value": 1, "times": 0},
            "times",
        ),
        ({"kind": "partial_limit", "circuit": "ev1", "share": 2}, "from 0 to 1"),
        ({"kind": "unlimited_word", "word": 7}, "0 or 65535"),
        ({"kind": "gateway", "connections": 0}, "connections"),
        ({"kind": "gateway", "extra": "shout"}, "close, refuse"),
    ],
)
def test_a_fault_asked_for_wrongly_changes_nothing(
    panel: SteadyPanel, fields: dict[str, Any], hint: str
) -> None:
    with pytest.raises(SimulatedPanelControlError, match=hint):
        panel.control.request(op="fault", **fields)
    assert panel.control.state()["faults"] == []


def test_a_hand_needs_to_know_where_to(panel: SteadyPanel) -> None:
    with pytest.raises(SimulatedPanelControlError, match='"closed" must be true or false'):
        panel.control.request(op="hand", circuit="ev1", closed=1)
