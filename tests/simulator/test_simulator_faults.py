"""Each fault, as a master sees it, and the control port that makes them."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest
from panel_harness import PROCESS_TIMEOUT_SEC, PanelProcess, SteadyPanel, unanswered

from simulator.simulated_panel_control import SimulatedPanelControl, SimulatedPanelControlError

READ_COIL_0 = bytes([0, 1, 0, 0, 0, 6, 1, 1, 0, 0, 0, 1])


def test_a_stuck_contactor_accepts_and_stays(panel: SteadyPanel) -> None:
    panel.control.fault("stuck_contactor", circuit="heater1")
    answer = panel.client.write_coil(1, False)
    assert not answer.isError()
    assert list(answer.bits)[:1] == [False]  # an echo, as the specification wants it
    assert panel.coil("heater1") is True
    assert panel.power_kw("heater1") == pytest.approx(4.5)
    panel.client.write_coils(0, [False, False, False])
    assert list(panel.client.read_coils(0, count=3).bits[:3]) == [False, True, False]


def test_a_freed_contactor_moves_again(panel: SteadyPanel) -> None:
    panel.control.fault("stuck_contactor", circuit="heater1")
    panel.control.clear()
    panel.client.write_coil(1, False)
    assert panel.coil("heater1") is False


def test_a_register_that_answers_reads_and_no_writes(panel: SteadyPanel) -> None:
    panel.control.fault("write_timeout", register="coil", address=1)
    with unanswered(panel.client):
        panel.client.write_coil(1, False)
    assert panel.client.read_coils(0, count=8).bits[1] is True
    panel.control.clear()
    assert not panel.client.write_coil(1, False).isError()


def test_a_register_that_does_not_answer(panel: SteadyPanel) -> None:
    panel.control.fault("timeout", register="coil", address=1)
    with unanswered(panel.client):
        panel.client.write_coil(1, False)
    with unanswered(panel.client):
        panel.client.read_coils(0, count=8)  # touches it
    assert panel.control.state()["contactors"]["heater1"] is True
    # Its neighbours, and other tables at the same address, answer; on this connection too.
    assert not panel.client.read_coils(2, count=6).isError()
    assert not panel.client.read_holding_registers(1).isError()
    panel.control.clear()
    assert not panel.client.write_coil(1, False).isError()


def test_a_meter_that_does_not_answer(panel: SteadyPanel) -> None:
    panel.control.fault("timeout", register="input", address=0)
    with unanswered(panel.client):
        panel.client.read_input_registers(0, count=26)
    assert not panel.client.read_input_registers(2, count=24).isError()


def test_a_register_that_refuses_writes(panel: SteadyPanel) -> None:
    panel.control.fault("illegal", register="holding", address=2)
    for answer in (
        panel.client.write_register(2, 50),
        panel.client.write_registers(0, [50, 50, 50]),
    ):
        assert answer.isError()
        assert answer.exception_code == 2
    assert panel.client.read_holding_registers(0, count=3).registers == [100, 100, 100]
    assert not panel.client.write_register(0, 50).isError()


def test_a_frozen_meter_shows_its_last_values(panel: SteadyPanel) -> None:
    panel.control.fault("frozen_meter")
    frozen = panel.client.read_input_registers(0, count=26).registers
    panel.client.write_coil(1, False)
    panel.control.wait_until(lambda state: state["powers_kw"]["heater1"] == 0.0)
    assert panel.client.read_input_registers(0, count=26).registers == frozen
    assert panel.coil("heater1") is False
    panel.control.clear()
    assert panel.power_kw("heater1") == 0.0


def test_a_panel_that_refuses_connections_and_comes_back(panel: SteadyPanel) -> None:
    panel.client.write_coil(1, False)
    panel.control.fault("refuse")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", panel.port), timeout=PROCESS_TIMEOUT_SEC)
    panel.client.close()
    assert not panel.client.connect()
    panel.control.clear()
    assert panel.client.connect()
    assert panel.coil("heater1") is False  # its state survived


def test_connections_are_dropped_when_refusing(panel: SteadyPanel) -> None:
    with socket.create_connection(("127.0.0.1", panel.port), timeout=PROCESS_TIMEOUT_SEC) as wire:
        wire.sendall(READ_COIL_0)
        assert wire.recv(100)
        panel.control.fault("refuse")
        assert wire.recv(1) == b""


def test_refusing_twice_and_clearing_twice(panel: SteadyPanel) -> None:
    for _ in range(2):
        panel.control.fault("refuse")
    for _ in range(2):
        panel.control.clear()
    panel.client.close()
    assert panel.client.connect()
    assert not panel.client.read_coils(0).isError()


def test_a_panel_whose_port_was_taken_says_so(panel: SteadyPanel) -> None:
    panel.control.fault("refuse")
    with socket.create_server(("127.0.0.1", panel.port)):
        with pytest.raises(SimulatedPanelControlError, match="free that port"):
            panel.control.clear()
        assert panel.control.state()["faults"] == [{"kind": "refuse"}]
    panel.control.clear()
    assert panel.control.state()["faults"] == []


def test_a_draw_can_be_fixed_and_given_back(panel: SteadyPanel) -> None:
    panel.control.draw("ev1", 3.3)
    assert panel.power_kw("ev1") == pytest.approx(3.3)
    panel.client.write_register(2, 10)
    assert panel.power_kw("ev1") == pytest.approx(1.2)
    panel.control.draw("ev1", None)
    panel.client.write_register(2, 100)
    assert panel.power_kw("ev1") == pytest.approx(7.2)


def test_the_state_tells_everything(panel: SteadyPanel) -> None:
    before = panel.control.state()
    start_ts = time.time()
    panel.client.write_coil(1, False)
    panel.client.write_register(2, 25)
    panel.control.fault("stuck_contactor", circuit="fridge1")
    panel.control.fault("timeout", register="input", address=24)
    state = panel.control.state()
    assert state["contactors"] == {**before["contactors"], "heater1": False}
    assert state["limits_percent"]["ev1"] == 25
    assert state["powers_kw"]["ev1"] == 3.0
    assert state["natural_kw"]["ev1"] == 7.2
    assert state["total_kw"] == pytest.approx(22.6 - 4.5 - 4.2)
    assert start_ts <= state["changed_ts"]["contactors"]["heater1"] <= state["ts"]
    assert start_ts <= state["changed_ts"]["limits"]["ev1"] <= state["ts"]
    assert state["write_count"] == before["write_count"] + 2
    assert state["faults"] == [
        {"kind": "stuck_contactor", "circuit": "fridge1"},
        {"kind": "timeout", "register": "input", "address": 24},
    ]


@pytest.mark.parametrize(
    ("request_", "hint"),
    [
        ({}, "state, fault, clear, draw, hand, bms, set"),
        ({"op": "explode"}, "explode"),
        ({"op": "fault"}, "stuck_contactor, timeout"),
        ({"op": "fault", "kind": ["refuse"]}, "one of"),
        ({"op": "fault", "kind": "stuck_contactor"}, "hvac1"),
        ({"op": "fault", "kind": "stuck_contactor", "circuit": "pool1"}, "pool1"),
        ({"op": "fault", "kind": "timeout", "register": "coils", "address": 1}, "coil, holding"),
        ({"op": "fault", "kind": "timeout", "register": "coil"}, "address"),
        ({"op": "fault", "kind": "timeout", "register": "coil", "address": 8}, "0, 1, 2"),
        ({"op": "fault", "kind": "timeout", "register": "coil", "address": True}, "true"),
        ({"op": "fault", "kind": "illegal", "register": "input", "address": 1}, "coil, holding"),
        ({"op": "draw", "circuit": "ev1"}, "kilowatts"),
        ({"op": "draw", "circuit": "ev1", "kw": "much"}, "number"),
        ({"op": "draw", "circuit": "ev1", "kw": -1}, "between 0"),
        ({"op": "draw", "circuit": "ev1", "kw": 13}, "12 kW"),
        ({"op": "draw", "circuit": "ev1", "kw": float("nan")}, "between 0"),
        ({"op": "draw", "circuit": "ev1", "kw": 10**400}, "between 0"),
    ],
)
def test_a_bad_request_is_told_what_would_be_right(
    panel: SteadyPanel, request_: dict[str, Any], hint: str
) -> None:
    before = panel.control.state()
    with pytest.raises(SimulatedPanelControlError, match=hint):
        panel.control.request(**request_)
    after = panel.control.state()
    assert after["faults"] == before["faults"]
    assert after["natural_kw"] == before["natural_kw"]


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b"\xff\xfe\n", b"\n", b'"state"\n'])
def test_a_line_that_is_no_request_gets_an_answer_too(
    panel: SteadyPanel, steady_process: PanelProcess, line: bytes
) -> None:
    address = ("127.0.0.1", steady_process.control_port)
    with (
        socket.create_connection(address, timeout=PROCESS_TIMEOUT_SEC) as wire,
        wire.makefile("rb") as lines,
    ):
        for _ in range(2):  # and the connection lives on
            wire.sendall(line)
            answer = json.loads(lines.readline())
            assert answer["ok"] is False
            assert "JSON object" in answer["error"]


def test_an_endless_line_ends_the_connection_and_nothing_else(
    panel: SteadyPanel, steady_process: PanelProcess
) -> None:
    address = ("127.0.0.1", steady_process.control_port)
    with socket.create_connection(address, timeout=PROCESS_TIMEOUT_SEC) as wire:
        try:
            wire.sendall(b"x" * 1_000_000)
            assert wire.recv(1) == b""
        except ConnectionError:
            pass  # closed while we were still sending
    assert panel.control.state()["ok"]


def test_waiting_in_vain_tells_the_last_state(panel: SteadyPanel) -> None:
    with pytest.raises(SimulatedPanelControlError, match="last state"):
        panel.control.wait_until(lambda state: False, timeout_sec=0.0)


def test_two_control_connections_see_one_panel(
    panel: SteadyPanel, steady_process: PanelProcess
) -> None:
    with SimulatedPanelControl(steady_process.control_port) as other:
        other.fault("stuck_contactor", circuit="ev1")
        assert panel.control.state()["faults"] == [{"kind": "stuck_contactor", "circuit": "ev1"}]
