"""The wire: a pymodbus client against the panel process."""

from __future__ import annotations

import asyncio
import csv
import socket
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from panel_harness import PROCESS_TIMEOUT_SEC, SteadyPanel
from pymodbus.client import ModbusTcpClient

from simulator.modbus_server import ModbusServer
from simulator.moment import Moment
from simulator.panel_loads import SteadyPanelLoads
from simulator.panel_registers import PanelRegisters
from simulator.simulated_circuit import CIRCUIT_COUNT, CIRCUITS
from simulator.simulated_panel import SimulatedPanel

REGISTRY = (
    Path(__file__).resolve().parents[2] / "MeterDriverConfigs" / "simulated_panel" / "registry.csv"
)


def test_the_steady_panel_reads_as_specified(panel: SteadyPanel) -> None:
    assert panel.number(0) == pytest.approx(22.6)
    assert panel.number(2) == 240.0
    assert panel.number(4) == pytest.approx(22600 / 240)
    assert panel.number(8) == 85.0
    for circuit in CIRCUITS:
        assert panel.power_kw(circuit.circuit_id) == pytest.approx(circuit.steady_kw)
    assert list(panel.client.read_coils(0, count=8).bits[:8]) == [True] * CIRCUIT_COUNT
    assert panel.client.read_holding_registers(0, count=8).registers == [100] * CIRCUIT_COUNT


def test_a_coil_write_is_in_the_very_next_reading(panel: SteadyPanel) -> None:
    for closed in (False, True, False):
        answer = panel.client.write_coil(1, closed)
        assert not answer.isError()
        assert panel.coil("heater1") is closed
        assert panel.power_kw("heater1") == pytest.approx(4.5 if closed else 0.0)
        assert panel.number(0) == pytest.approx(22.6 if closed else 22.6 - 4.5)


def test_a_limit_write_is_in_the_very_next_reading(panel: SteadyPanel) -> None:
    panel.client.write_register(2, 25)
    assert panel.power_kw("ev1") == pytest.approx(3.0)
    panel.client.write_register(3, 0)  # the dryer is a switch circuit
    assert panel.power_kw("dryer1") == pytest.approx(3.0)
    assert panel.client.read_holding_registers(2, count=2).registers == [25, 0]


def test_many_at_once(panel: SteadyPanel) -> None:
    assert not panel.client.write_coils(0, [False] * CIRCUIT_COUNT).isError()
    assert panel.number(0) == 0.0
    assert not panel.client.write_registers(0, [10] * CIRCUIT_COUNT).isError()
    assert panel.client.read_holding_registers(0, count=8).registers == [10] * CIRCUIT_COUNT


def test_energy_is_counted(panel: SteadyPanel) -> None:
    start_kwh = panel.number(6)
    panel.control.wait_until(lambda state: state["imported_kwh"] > start_kwh + 1e-4)
    assert panel.number(6) > start_kwh


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("read_coils", {"address": 8}, 2),
        ("read_coils", {"address": 4, "count": 8}, 2),
        ("read_discrete_inputs", {"address": 0}, 2),
        ("read_holding_registers", {"address": 8}, 2),
        ("read_holding_registers", {"address": 102}, 2),
        ("read_input_registers", {"address": 26}, 2),
        ("read_input_registers", {"address": 24, "count": 4}, 2),
        ("write_coil", {"address": 8, "value": True}, 2),
        ("write_register", {"address": 50, "value": 1}, 2),
        ("write_register", {"address": 2, "value": 101}, 3),
        ("write_register", {"address": 2, "value": 65535}, 3),
        ("write_registers", {"address": 0, "values": [50, 200]}, 3),
        ("read_coils", {"address": 0, "device_id": 7}, 11),
        ("write_coil", {"address": 0, "value": False, "device_id": 7}, 11),
    ],
)
def test_refused_with_the_right_exception(
    panel: SteadyPanel, method: str, arguments: dict[str, Any], code: int
) -> None:
    before = panel.control.state()
    answer = getattr(panel.client, method)(**arguments)
    assert answer.isError()
    assert answer.exception_code == code
    after = panel.control.state()
    assert after["write_count"] == before["write_count"]
    assert after["limits_percent"] == before["limits_percent"]


def test_the_state_tells_when_the_meter_was_read_last(panel: SteadyPanel) -> None:
    before = panel.control.state()
    panel.client.read_coils(0, count=8)
    assert panel.control.state()["read_ts"] == before["read_ts"]
    panel.client.read_input_registers(0, count=2)
    after = panel.control.state()
    assert before["ts"] <= after["read_ts"] <= after["ts"]


def test_the_heartbeat_registers_read_back(panel: SteadyPanel) -> None:
    panel.client.write_registers(100, [4711, 300])
    assert panel.client.read_holding_registers(100, count=2).registers == [4711, 300]
    heartbeat = panel.control.state()["heartbeat"]
    assert heartbeat["armed"]
    assert 0 < heartbeat["expires_in_sec"] <= 300


def test_a_master_gone_silent_gives_everything_back(panel: SteadyPanel) -> None:
    panel.client.write_coil(1, False)
    panel.client.write_register(2, 10)
    expired_count = panel.control.state()["heartbeat"]["expired_count"]
    panel.client.write_registers(100, [1, 1])  # a beat, and one second from it on
    state = panel.control.wait_until(
        lambda state: state["heartbeat"]["expired_count"] == expired_count + 1
    )
    assert panel.coil("heater1")
    assert panel.client.read_holding_registers(2).registers == [100]
    assert not state["heartbeat"]["armed"]


def test_many_short_connections(panel: SteadyPanel) -> None:
    """VOLTTRON's driver opens a connection for each operation."""
    for _ in range(200):
        with ModbusTcpClient(
            "127.0.0.1", port=panel.port, timeout=PROCESS_TIMEOUT_SEC, retries=0
        ) as client:
            assert not client.read_coils(0, count=8).isError()


def test_many_connections_at_once(panel: SteadyPanel) -> None:
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                ModbusTcpClient(
                    "127.0.0.1", port=panel.port, timeout=PROCESS_TIMEOUT_SEC, retries=0
                )
            )
            for _ in range(50)
        ]
        for client in clients:
            assert not client.read_input_registers(0, count=26).isError()


def test_nonsense_on_the_wire_harms_nobody_else(panel: SteadyPanel) -> None:
    with socket.create_connection(("127.0.0.1", panel.port)) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\n\r\n" * 40)
        assert panel.number(0) == pytest.approx(22.6)


def test_an_unknown_function_is_refused_and_the_connection_lives_on(panel: SteadyPanel) -> None:
    unknown = struct.pack(">HHHBBHH", 1, 0, 6, 1, 99, 0, 1)
    read_coil = struct.pack(">HHHBBHH", 2, 0, 6, 1, 1, 1, 1)
    with socket.create_connection(("127.0.0.1", panel.port), timeout=PROCESS_TIMEOUT_SEC) as wire:
        wire.sendall(unknown)
        function_code, exception_code = wire.recv(100)[-2:]
        assert function_code & 0x80  # pymodbus leaves out which function it was
        assert exception_code == 1
        wire.sendall(read_coil)
        assert wire.recv(100)[-1] == 1


def test_what_is_accepted_has_tcp_nodelay() -> None:
    """Nagle's algorithm would cost 40 ms an operation."""

    async def accepted_nodelay() -> int:
        server = ModbusServer(
            {1: PanelRegisters(SimulatedPanel(SteadyPanelLoads(), Moment.now()))}, "127.0.0.1", 0
        )
        await server.listen()
        assert server.listener is not None
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(struct.pack(">HHHBBHH", 1, 0, 6, 1, 1, 0, 8))
        while not (connections := list(server.listener.active_connections.values())):
            await asyncio.sleep(0)
        while connections[0].transport is None:
            await asyncio.sleep(0)
        accepted = connections[0].transport.get_extra_info("socket")
        nodelay = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        await server.close()
        return int(nodelay)

    assert asyncio.run(accepted_nodelay()) == 1


def test_the_drivers_registry_fits_the_panel(panel: SteadyPanel) -> None:
    with REGISTRY.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        address = int(row["Point Address"])
        if row["Modbus Register"] == "BOOL":
            answer = panel.client.read_coils(address, count=1)
        elif row["Writable"] == "TRUE":
            answer = panel.client.read_holding_registers(address, count=1)
        else:
            answer = panel.client.read_input_registers(address, count=2)
        assert not answer.isError(), row
    powers_kw = {row["Volttron Point Name"]: row for row in rows}
    for index, circuit in enumerate(CIRCUITS):
        assert int(powers_kw[f"{circuit.circuit_id}_kw"]["Point Address"]) == 10 + 2 * index
        assert int(powers_kw[f"{circuit.circuit_id}_contactor"]["Point Address"]) == index
