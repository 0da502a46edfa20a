"""A panel process and the words the tests use for it."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from simulator.simulated_circuit import INDEX_BY_ID
from simulator.simulated_panel_control import SimulatedPanelControl
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
# A panel that hangs must fail a test, not stop the suite.
PROCESS_TIMEOUT_SEC = 20.0


# `python -m simulator`, without what pymodbus imports for a page of its own that nobody opens: half
# of the time of a start.
START = """
import runpy, sys
sys.modules["aiohttp"] = None
runpy.run_module("simulator", run_name="__main__", alter_sys=True)
"""


class PanelProcess:
    """`python -m simulator` with the given options, and the ports it printed."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.first_line = self._line()
        self.port = int(self.first_line.split(":")[1].split()[0])
        self.control_port = 0
        if "--control-port" in options:
            self.control_port = int(self._line().split(":")[1])

    def _line(self) -> str:
        line = _open(self.process.stdout).readline()
        if not line:
            raise AssertionError(f"no panel: {_open(self.process.stderr).read()}")
        return line.strip()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; returns the exit code and what was said on stderr."""
        self.process.send_signal(number)
        try:
            _, complaints = self.process.communicate(timeout=PROCESS_TIMEOUT_SEC)
        finally:
            self.process.kill()
        return self.process.returncode, complaints


@contextmanager
def bacnet_panel(*options: str) -> Iterator[tuple[int, SimulatedPanelControl]]:
    """`python -m simulator.bacnet` with steady draws: its UDP port, and its control."""
    port = free_port(socket.SOCK_DGRAM)
    command = [sys.executable, "-m", "simulator.bacnet", "--steady", "--control-port", "0"]
    command += ["--address", f"127.0.0.1/8:{port}", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            first, second = (_open(process.stdout).readline() for _ in range(2))
            assert first.startswith(f"panel listening on 127.0.0.1/8:{port} device 260001")
            with SimulatedPanelControl(int(second.split(":")[1])) as control:
                yield port, control
        finally:
            process.terminate()
            assert process.wait(PROCESS_TIMEOUT_SEC) == 0


class SteadyPanel:
    """What a test holds: a Modbus client, the control port, and short words for both."""

    def __init__(self, port: int, client: Any, control: SimulatedPanelControl) -> None:
        self.port = port
        self.client = client
        self.control = control

    def number(self, address: int) -> float:
        """One float32 of the input registers."""
        answer = self.client.read_input_registers(address, count=2)
        assert not answer.isError(), answer
        return float(struct.unpack(">f", struct.pack(">2H", *answer.registers))[0])

    def power_kw(self, circuit_id: str) -> float:
        """kW of one circuit, over Modbus."""
        return self.number(10 + 2 * INDEX_BY_ID[circuit_id])

    def coil(self, circuit_id: str) -> bool:
        """Position of one contactor, over Modbus."""
        return bool(self.client.read_coils(INDEX_BY_ID[circuit_id], count=1).bits[0])


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


@contextmanager
def unanswered(client: Any) -> Iterator[None]:
    """For a request that gets no answer: it is soon given up."""
    from pymodbus.exceptions import ModbusIOException  # the pure tests do without pymodbus

    patience_sec = client.comm_params.timeout_connect
    client.comm_params.timeout_connect = 0.1
    try:
        with pytest.raises(ModbusIOException):
            yield
    finally:
        client.comm_params.timeout_connect = patience_sec
