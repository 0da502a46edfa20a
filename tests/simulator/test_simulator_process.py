"""`python -m simulator` as a process: start, stop, and a start that cannot be."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest
from panel_harness import PROCESS_TIMEOUT_SEC, ROOT, PanelProcess
from pymodbus.client import ModbusTcpClient

from simulator.command_line import parse_bacnet_command_line, parse_modbus_command_line
from simulator.simulated_panel_control import SimulatedPanelControl
from tests.support.each_case import each_case

pytestmark = pytest.mark.long


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulator", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_SEC,
        check=False,
    )


def test_the_defaults_are_those_of_the_driver_configuration() -> None:
    options = parse_modbus_command_line([])
    assert (options.host, options.port, options.unit) == ("127.0.0.1", 5020, 1)
    assert options.control_port is None
    assert not options.steady
    assert options.speed == 1.0


@each_case("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_connections_open(number: int) -> None:
    process = PanelProcess("--port", "0", "--control-port", "0", "--unit", "3")
    assert process.first_line == f"panel listening on 127.0.0.1:{process.port} unit 3"
    with (
        SimulatedPanelControl(process.control_port) as control,
        ModbusTcpClient(
            "127.0.0.1", port=process.port, timeout=PROCESS_TIMEOUT_SEC, retries=0
        ) as client,
    ):
        assert 20.0 < control.state()["total_kw"] < 23.5  # physics, just started
        assert not client.read_coils(0, count=8, device_id=3).isError()
        assert client.read_coils(0, count=8, device_id=1).exception_code == 11
        assert process.stop(number) == (0, "")


def test_accelerated_time_moves_the_house() -> None:
    process = PanelProcess("--port", "0", "--control-port", "0", "--seed", "1", "--speed", "3600")
    with SimulatedPanelControl(process.control_port) as control:
        control.wait_until(lambda state: state["natural_kw"]["range1"] < 2.4)
        assert control.state()["imported_kwh"] > 10.0
    assert process.stop() == (0, "")


@each_case("option", ["--port", "--control-port"])
def test_a_port_in_use_is_said_with_what_to_do(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", "0", option, str(port))
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr
    assert f"in use: stop what runs there, or choose another with {option}" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_of_another_machine_is_said() -> None:
    result = run("--host", "192.0.2.1", "--port", "0")
    assert result.returncode == 1
    assert "check --host" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_fault_can_be_there_from_the_start() -> None:
    process = PanelProcess(
        *("--steady", "--port", "0", "--control-port", "0", "--fault", "lost,every=10"),
        *("--fault", "reading,register=input,address=2,words=0x7FC0:0,times=3"),
    )
    with SimulatedPanelControl(process.control_port) as control:
        assert control.state()["faults"] == [
            {
                "kind": "reading",
                "register": "input",
                "address": 2,
                "words": [0x7FC0, 0],
                "times": 3,
            },
            {"kind": "lost", "every": 10},
        ]
    assert process.stop() == (0, "")


@each_case(
    ("fault", "hint"),
    [
        ("lost", '"every" must be a whole number'),
        ("explode", "stuck_contactor, timeout"),
        ("stuck_contactor,circuit=pool1", "pool1"),
    ],
)
def test_a_fault_that_is_none_is_refused(fault: str, hint: str) -> None:
    result = run("--port", "0", "--fault", fault)
    assert result.returncode == 2
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_fault_is_written_as_fields_with_values(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_modbus_command_line(["--port", "0", "--fault", "lost,10"])
    assert ended.value.code == 2
    assert "'10' in 'lost,10' is not FIELD=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("devices", "hint"),
    [
        (["--device", "pool:2"], "with a KIND of panel, thermostat, battery, charger, inverter"),
        (["--device", "panel:0"], "a unit id from 1 to 247"),
        (["--device", "panel:1"], "unit 1 is given to two devices"),
    ],
)
def test_devices_that_cannot_be_are_refused(
    devices: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_modbus_command_line(devices)
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "hint"),
    [("panel:2", "start another process"), ("inverter:2", "SunSpec"), ("charger:1", "unit 1")],
)
def test_devices_that_cannot_be_over_bacnet(
    device: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_bacnet_command_line(["--device", device])
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [["--port", "70000"], ["--port", "5.5"], ["--unit", "0"], ["--speed", "nan"], ["--speed", "0"]],
)
def test_wrong_options_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_modbus_command_line(wrong)
    assert ended.value.code == 2
    assert f"{wrong[1]!r} is not a" in capsys.readouterr().err
