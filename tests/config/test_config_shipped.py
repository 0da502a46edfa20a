"""The configurations that are shipped, and the registries they belong to."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

import pytest

from tests.config.builders import ROOT, load
from VenAgent.config import AgentConfig

PANELS = ROOT / "MeterDriverConfigs"
SHIPPED = {"simulated_panel": ROOT / "config", "fake_panel": PANELS / "fake_panel" / "agent.json"}
"""The agent's configuration for each panel."""


@pytest.fixture(params=SHIPPED)
def panel_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shipped(panel_name: str) -> AgentConfig:
    return load(json.loads(SHIPPED[panel_name].read_text()))


@pytest.fixture
def registry(panel_name: str) -> list[dict[str, str]]:
    with (PANELS / panel_name / "registry.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def points_of(config: AgentConfig) -> Iterator[str]:
    panel = config.panel
    yield from filter(
        None, [panel.power_point, panel.voltage_point, panel.current_point, panel.battery_soc_point]
    )
    for circuit in config.circuits:
        yield circuit.power_point
        yield from filter(None, [circuit.switch_point, circuit.limit_point])


def test_the_shipped_configuration_has_the_eight_circuits(shipped: AgentConfig) -> None:
    circuits = [
        (circuit.id, circuit.breaker_amps, circuit.critical, circuit.control.value)
        for circuit in shipped.circuits
    ]
    assert circuits == [
        ("hvac1", 30, True, "limit"),
        ("heater1", 30, False, "switch"),
        ("ev1", 50, False, "limit"),
        ("dryer1", 30, False, "switch"),
        ("range1", 40, False, "switch"),
        ("lights1", 15, False, "limit"),
        ("outlets1", 20, False, "switch"),
        ("fridge1", 15, True, "switch"),
    ]
    assert (shipped.panel.amperage, shipped.panel.voltage) == (200, 240)


def test_the_registry_has_every_point_that_is_read(
    shipped: AgentConfig, registry: list[dict[str, str]]
) -> None:
    names = [row["Volttron Point Name"] for row in registry]
    assert len(names) == len(set(names))
    assert set(points_of(shipped)) <= set(names)


def test_the_registry_lets_every_point_be_written_that_is_written(
    shipped: AgentConfig, registry: list[dict[str, str]]
) -> None:
    writable = {row["Volttron Point Name"] for row in registry if row["Writable"] == "TRUE"}
    written = {circuit.point.rpartition("/")[2] for circuit in shipped.build_panel().circuits}
    assert len(written) == 8
    assert written <= writable


def test_a_meter_is_not_writable(shipped: AgentConfig, registry: list[dict[str, str]]) -> None:
    writable = {row["Volttron Point Name"] for row in registry if row["Writable"] == "TRUE"}
    assert not writable & {circuit.power_point for circuit in shipped.circuits}


def test_the_registers_are_those_of_the_simulated_panel() -> None:
    """Issue 2: coils 0-7, holding 0-7 and 100, 101; input 0, 2, 4 and 10+2i as floats."""
    with (PANELS / "simulated_panel" / "registry.csv").open(newline="") as file:
        rows = {row["Volttron Point Name"]: row for row in csv.DictReader(file)}

    def register(name: str) -> tuple[str, str, int]:
        row = rows[name]
        return row["Modbus Register"], row["Writable"], int(row["Point Address"])

    assert register("total_kw") == (">f", "FALSE", 0)
    assert register("voltage") == (">f", "FALSE", 2)
    assert register("current_amps") == (">f", "FALSE", 4)
    assert register("battery_soc") == (">f", "FALSE", 8)
    for number, circuit in enumerate(load(json.loads((ROOT / "config").read_text())).circuits):
        assert register(circuit.power_point) == (">f", "FALSE", 10 + 2 * number)
        assert register(f"{circuit.id}_contactor") == ("BOOL", "TRUE", number)
        assert register(f"{circuit.id}_limit") == (">H", "TRUE", number)
    assert register("heartbeat") == (">H", "TRUE", 100)
    assert register("heartbeat_timeout_sec") == (">H", "TRUE", 101)


def test_the_driver_configuration_names_its_registry(panel_name: str) -> None:
    driver = json.loads((PANELS / panel_name / "driver.json").read_text())
    assert driver["registry_config"] == f"config://{panel_name}.csv"


def test_the_shipped_configurations_tell_the_contracts_priorities(shipped: AgentConfig) -> None:
    critical = {circuit.id for circuit in shipped.build_panel().circuits if circuit.last_resort}
    assert critical == {"hvac1", "fridge1"}
