"""A BACnet/IP panel through VOLTTRON's BACnet proxy and driver: an event sheds and restores."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from gevent import subprocess

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.platform.ledger import fault
from tests.platform.site import CONFIG_STORE, DRIVER, ROOT, VEN, Site, process, wait_for
from tests.support.ports import free_port

MODEL = ROOT / "MeterDriverConfigs" / "bacnet_panel"
PROXY = "platform.bacnet_proxy"
DEVICE = "site/building/bacnet_panel"
OUTLETS_KW = 1.1
LEASE_SEC = 30
"""Longer than the agent is away when the platform's monitor starts it again."""
TOTAL_KW = 22.5
"""Unlike the Modbus panel's 22.6: what is read can have come from the BACnet panel only."""


@pytest.fixture(scope="module")
def bacnet(whole_site: Site) -> Iterator[SimulatedPanelControl]:
    """A BACnet panel beside the site's own, with proxy and driver configuration."""
    port = free_port(socket.SOCK_DGRAM)
    command = [os.environ["VENAGENT_TOOLS_PYTHON"], "-m", "simulator.bacnet", "--steady"]
    command += ["--address", f"127.0.0.1/8:{port}", "--control-port", "0"]
    with process(command, cwd=ROOT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        control_port = int(re.findall(r":(\d+)", running.stdout.readline())[0])
        # The proxy first: the driver looks for it when it reads the device's configuration.
        proxy = {"device_address": f"127.0.0.1/8:{free_port(socket.SOCK_DGRAM)}", "object_id": 599}
        whole_site.install(PROXY, "volttron-bacnet-proxy", proxy)
        driver = json.loads((MODEL / "driver.json").read_text())
        driver["driver_config"]["device_address"] = f"127.0.0.1:{port}"
        driver["interval"] = 1
        registry = (MODEL / "registry.csv").read_text()
        whole_site.store(DRIVER, "bacnet_panel.csv", registry, "csv")
        whole_site.store(DRIVER, f"devices/{DEVICE}", driver)
        with SimulatedPanelControl(control_port) as control:
            control.draw("outlets1", OUTLETS_KW)
            yield control
        whole_site.rpc(CONFIG_STORE, "delete_config", DRIVER, f"devices/{DEVICE}")
        whole_site.stop(PROXY)


def bacnet_config(site: Site, lease_sec: float) -> dict[str, Any]:
    """The site's own, for the BACnet panel."""
    model = json.loads((MODEL / "agent.json").read_text())
    leases = [{**lease, "timeout_sec": lease_sec} for lease in model["leases"]]
    return {**site.config, "panel": model["panel"], "circuits": model["circuits"], "leases": leases}


@pytest.fixture
def panel(site: Site, bacnet: SimulatedPanelControl) -> Iterator[SimulatedPanelControl]:
    """The site's agent, moved to the BACnet panel for one test."""
    site.store(VEN, "config", bacnet_config(site, LEASE_SEC))

    def reads_it() -> bool:
        status = site.status()
        return status["quality"] == "good" and status["power_kw"] == pytest.approx(TOTAL_KW)

    wait_for(reads_it, "the agent reads the BACnet panel", 60.0)
    yield bacnet
    bacnet.clear()
    site.cloud.command("restore")
    site.store(VEN, "config", site.config)


def test_an_event_sheds_by_bacnet_writes_is_measured_and_restores(
    site: Site, panel: SimulatedPanelControl
) -> None:
    modbus_writes = site.panel.state()["write_count"]
    assert site.panel.state()["total_kw"] == pytest.approx(22.6)
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=5.0, duration_sec=600)
    assert ack["status"] == "accepted", ack
    assert {entry["id"] for entry in ack["circuits_curtailed"]} == {"heater1", "ev1"}
    state = panel.state()
    assert {name for name, closed in state["contactors"].items() if not closed} == {"heater1"}
    assert state["limits_percent"]["ev1"] < 100
    assert state["total_kw"] == pytest.approx(TOTAL_KW - ack["actual_shed_kw"], abs=0.01)

    measured = site.cloud.ack(event_id=event_id, status="measured")
    assert measured["shed_basis"] == "measured"
    assert measured["actual_shed_kw"] == pytest.approx(5.0, rel=0.05)

    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    state = panel.state()
    assert all(state["contactors"].values())
    assert set(state["limits_percent"].values()) == {100}
    assert site.panel.state()["write_count"] == modbus_writes


def test_a_bacnet_object_that_refuses_is_left_out_and_the_next_takes_its_place(
    site: Site, panel: SimulatedPanelControl
) -> None:
    panel.fault("illegal", register="coil", address=1)  # heater1
    ack = site.cloud.command("event", event_id=site.event_id(), shed_kw=4.5, duration_sec=60)
    assert ack["status"] == "accepted", ack
    assert "heater1" in ack["reason"]
    assert ack["actual_shed_kw"] == pytest.approx(4.5, rel=0.05)
    panel.clear()
    restored = site.cloud.command("restore")
    assert restored["status"] == "success", restored
    assert all(panel.state()["contactors"].values())


def commands_at(panel: SimulatedPanelControl, output: str) -> dict[str, int]:
    """What stands in the priority array of one output, by priority: 1 for active."""
    commands = panel.state()["priority_arrays"].get(output, {})
    return {priority: int(value in (1, "active")) for priority, value in commands.items()}


@pytest.fixture
def managed(site: Site, panel: SimulatedPanelControl) -> Iterator[SimulatedPanelControl]:
    """A building management system holds the heater at priority 16."""
    panel.bms("heater1_contactor", 1.0)
    yield panel
    site.cloud.command("restore")
    panel.bms("heater1_contactor", None)
    panel.bms("heater1_contactor", None, priority=10)


def test_after_an_event_the_building_has_its_output_again_as_it_wants_it(
    site: Site, managed: SimulatedPanelControl
) -> None:
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    assert ack["status"] == "accepted", ack
    assert commands_at(managed, "heater1_contactor") == {"10": 0, "16": 1}
    managed.bms("heater1_contactor", 0.0)
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    assert commands_at(managed, "heater1_contactor") == {"16": 0}
    assert managed.state()["contactors"]["heater1"] is False
    managed.bms("heater1_contactor", 1.0)
    assert managed.state()["contactors"]["heater1"] is True


def test_what_stood_at_our_priority_before_stands_there_again(
    site: Site, managed: SimulatedPanelControl
) -> None:
    managed.bms("heater1_contactor", 1.0, priority=10)
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    assert ack["status"] == "accepted", ack
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    assert commands_at(managed, "heater1_contactor") == {"10": 1, "16": 1}


def test_a_load_that_is_switched_off_is_held_in_our_slot_and_on_gives_it_back(
    site: Site, managed: SimulatedPanelControl, attempt: int
) -> None:
    off = site.cloud.command("setLoad", loadId="heater1", enabled=False)
    assert off["status"] == "success", off
    assert commands_at(managed, "heater1_contactor") == {"10": 0, "16": 1}
    on = site.cloud.command("setLoad", loadId="heater1", enabled=True)
    assert on["status"] == "success", on
    assert commands_at(managed, "heater1_contactor") == {"16": 1}


def test_an_agent_that_is_killed_in_mid_event_relinquishes_when_it_is_back(
    site: Site, managed: SimulatedPanelControl
) -> None:
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
    assert ack["status"] == "accepted", ack
    pid = site.kill(VEN)
    site.wait_for_successor(VEN, pid)
    wait_for(lambda: (site.status().get("active_event") or {}).get("event_id") == event_id, "it")
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    assert commands_at(managed, "heater1_contactor") == {"16": 1}


def test_an_agent_that_hangs_and_is_killed_loses_its_place_to_the_building_by_the_lease(
    site: Site, managed: SimulatedPanelControl, attempt: int
) -> None:
    """Its process runs, so nobody starts it again: only the device can end this shed."""
    site.store(VEN, "config", bacnet_config(site, 4))

    def is_in_force() -> bool:
        leases = site.cloud.command("get", what="config")["data"]["leases"]
        return bool(leases[0]["timeout_sec"] == 4)

    wait_for(is_in_force, "the shorter lease is in force")
    with fault("BACnet: agent hangs and is killed in mid-event: the lease") as tried:
        event_id = site.event_id()
        ack = site.cloud.command("event", event_id=event_id, shed_kw=4.5, duration_sec=600)
        assert ack["status"] == "accepted", ack
        assert commands_at(managed, "heater1_contactor") == {"10": 0, "16": 1}
        pid = site.pid(VEN)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            tried.struck()
            wait_for(
                lambda: commands_at(managed, "heater1_contactor") == {"16": 1},
                "our value leaves the priority array",
            )
            tried.normal()
            assert managed.state()["contactors"]["heater1"] is True
            managed.bms("heater1_contactor", 0.0)
            assert managed.state()["contactors"]["heater1"] is False, "the BMS rules again"
            managed.bms("heater1_contactor", 1.0)
            assert managed.state()["contactors"]["heater1"] is True
        finally:
            site.kill(VEN)
        site.wait_for_successor(VEN, pid)
        wait_for(
            lambda: commands_at(managed, "heater1_contactor") == {"10": 0, "16": 1},
            "the event still runs, and is shed again",
        )
        restored = site.cloud.command("restore", event_id=event_id)
        assert restored["status"] == "success", restored
        assert commands_at(managed, "heater1_contactor") == {"16": 1}


def test_a_value_without_a_priority_array_gets_back_what_it_held(
    site: Site, panel: SimulatedPanelControl
) -> None:
    """It refuses a null: the charger could never be put back."""
    config = bacnet_config(site, LEASE_SEC)
    (charger,) = (each for each in config["circuits"] if each["id"] == "ev1")
    # Of the simulator's objects the heartbeat is one that takes any number, and has no priorities.
    held = panel.state()["heartbeat"]["value"]
    charger |= {"limit_point": "heartbeat", "limit_unlimited": [held]}
    site.store(VEN, "config", {**config, "circuits": [charger], "leases": []})
    wait_for(lambda: len(site.cloud.command("get", what="loads")["data"]["loads"]) == 1, "it")
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=3.0, duration_sec=600)
    assert ack["status"] == "accepted", ack["reason"]
    assert panel.state()["heartbeat"]["value"] != held
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    assert panel.state()["heartbeat"]["value"] == held


ROOF = "site/building/roof"
ROOFTOP_UNITS = ("2", "3", "4", "5")
TURN_SEC = 60.0
THERMOSTAT = ROOT / "MeterDriverConfigs" / "bacnet_thermostat"


def roof_registry() -> str:
    """The thermostat's registry for each unit: its objects are numbered by the unit's hundreds."""
    head, *lines = (THERMOSTAT / "registry.csv").read_text().splitlines()
    rows = [head]
    for unit in ROOFTOP_UNITS:
        for line in lines:
            cells = line.split(",")
            cells[0] = cells[0].replace("_2", f"_{unit}")
            cells[1] = f"{cells[1]}_{unit}"
            cells[7] = str(int(cells[7]) + 100 * (int(unit) - 2))
            rows.append(",".join(cells))
    return "\n".join(rows) + "\n"


def rooftop_circuit(unit: str) -> dict[str, object]:
    return {
        "id": f"rtu{unit}",
        "name": f"Rooftop unit {unit}",
        "type": "hvac",
        "breaker_amps": 25,
        "priority": 5,
        "control": "setpoint",
        "power_point": f"power_kw_{unit}",
        "setpoint_point": f"cooling_setpoint_c_{unit}",
        "setpoint_offset": 2,
        "setpoint_minimum": 18,
        "setpoint_maximum": 27,
        "setpoint_step": 0.5,
        "settle_sec": 3,
        "shed_kw": 2,
        "guard_point": f"zone_c_{unit}",
        "guard_maximum": 26,
        "rotation_sec": TURN_SEC,
    }


def setpoints(roof: SimulatedPanelControl) -> dict[str, float]:
    return {unit: roof.state(int(unit))["setpoint_c"] for unit in ROOFTOP_UNITS}


def assert_nothing_of_ours_is_left(roof: SimulatedPanelControl) -> None:
    assert set(setpoints(roof).values()) == {23.0}
    arrays = roof.state()["priority_arrays"]
    held = {name: array for name, array in arrays.items() if "setpoint" in name and array}
    assert held == {}, "nothing of ours stands in a priority array"


@pytest.fixture
def roof(site: Site, bacnet: SimulatedPanelControl) -> Iterator[SimulatedPanelControl]:
    """Four rooftop units with thermostats, and the site's agent moved to them for one test."""
    port = free_port(socket.SOCK_DGRAM)
    command = [os.environ["VENAGENT_TOOLS_PYTHON"], "-m", "simulator.bacnet", "--steady"]
    command += ["--address", f"127.0.0.1/8:{port}", "--control-port", "0", "--device-id", "260002"]
    for unit in ROOFTOP_UNITS:
        command += ["--device", f"thermostat:{unit}"]
    with process(command, cwd=ROOT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        control_port = int(re.findall(r":(\d+)", running.stdout.readline())[0])
        driver = json.loads((THERMOSTAT / "driver.json").read_text())
        driver["driver_config"] |= {"device_address": f"127.0.0.1:{port}", "device_id": 260002}
        driver |= {"interval": 1, "registry_config": "config://roof.csv"}
        site.store(DRIVER, "roof.csv", roof_registry(), "csv")
        site.store(DRIVER, f"devices/{ROOF}", driver)
        config = {
            **site.config,
            "panel": {"device": ROOF, "amperage": 63, "voltage": 230},
            "circuits": [rooftop_circuit(unit) for unit in ROOFTOP_UNITS],
            "leases": [],
        }
        site.store(VEN, "config", config)

        def reads_it() -> bool:
            status = site.status()
            is_good = status["quality"] == "good"
            return is_good and 8.0 < (status["power_kw"] or 0.0) < 14.0

        wait_for(reads_it, "the agent reads the rooftop units", 60.0)
        with SimulatedPanelControl(control_port) as control:
            yield control
            site.cloud.command("restore")
        site.store(VEN, "config", site.config)
        site.rpc(CONFIG_STORE, "delete_config", DRIVER, f"devices/{ROOF}")


def test_rooftop_units_take_turns_and_each_gets_its_setpoint_back(
    site: Site, roof: SimulatedPanelControl
) -> None:
    """With three of four shed, one changes every third of a turn."""
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=6.0, duration_sec=600)
    assert ack["status"] == "accepted", ack
    began = {each["id"].removeprefix("rtu") for each in ack["circuits_curtailed"]}
    (waiting,) = {*ROOFTOP_UNITS} - began
    moved = site.cloud.ack(event_id=event_id, reason_code="rotation")
    assert moved["status"] == "adjusted"
    assert f"rtu{waiting} instead" in moved["reason"]

    def one_is_back() -> set[str]:
        return {unit for unit in began if setpoints(roof)[unit] == 23.0}

    (relieved,) = wait_for(one_is_back, "who is relieved gets its setpoint back")
    assert setpoints(roof) == {unit: 23.0 if unit == relieved else 25.0 for unit in ROOFTOP_UNITS}
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    assert_nothing_of_ours_is_left(roof)


def test_a_rooftop_unit_is_shed_by_its_setpoint_until_its_zone_gets_warm(
    site: Site, roof: SimulatedPanelControl
) -> None:
    usual = setpoints(roof)
    assert set(usual.values()) == {23.0}
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=2.0, duration_sec=600)
    assert ack["status"] == "accepted", ack
    (shed,) = ack["circuits_curtailed"]
    first = shed["id"].removeprefix("rtu")
    assert setpoints(roof) == {**usual, first: 25.0}

    roof.change(int(first), "zone_c", 26.5)
    adjusted = site.cloud.ack(event_id=event_id, reason_code="comfort_guard")
    assert adjusted["status"] == "adjusted"
    assert f"rtu{first} is released" in adjusted["reason"]
    (instead,) = adjusted["circuits_curtailed"]
    other = instead["id"].removeprefix("rtu")
    assert other != first
    assert setpoints(roof) == {**usual, other: 25.0}

    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    assert_nothing_of_ours_is_left(roof)
