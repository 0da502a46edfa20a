"""A steady panel as a process of its own, spoken to as a VOLTTRON driver would: over TCP."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the simulator is not installed

from panel_harness import PROCESS_TIMEOUT_SEC, PanelProcess, SteadyPanel

from simulator.simulated_circuit import CIRCUIT_COUNT, CIRCUITS
from simulator.simulated_panel_control import SimulatedPanelControl


@pytest.fixture(scope="session")
def steady_process() -> Iterator[PanelProcess]:
    process = PanelProcess("--steady", "--port", "0", "--control-port", "0")
    yield process
    code, complaints = process.stop()
    assert code == 0
    assert "Traceback" not in complaints  # pymodbus does log nonsense that it received


@pytest.fixture
def panel(steady_process: PanelProcess) -> Iterator[SteadyPanel]:
    """The session's panel, as new: no faults, all closed, all limits at 100, watch off."""
    from pymodbus.client import ModbusTcpClient  # the pure tests do without pymodbus

    with (
        SimulatedPanelControl(steady_process.control_port) as control,
        ModbusTcpClient(
            "127.0.0.1", port=steady_process.port, timeout=PROCESS_TIMEOUT_SEC, retries=0
        ) as client,
    ):
        control.clear()
        for circuit in CIRCUITS:
            control.draw(circuit.circuit_id, None)
        client.write_coils(0, [True] * CIRCUIT_COUNT)
        client.write_registers(0, [100] * CIRCUIT_COUNT)
        client.write_register(101, 0)
        yield SteadyPanel(steady_process.port, client, control)
        control.clear()
