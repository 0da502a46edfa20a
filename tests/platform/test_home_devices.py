"""A home's battery, SunSpec inverter and car charger over Modbus: used, and given back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest
from gevent import subprocess

from simulator.simulated_panel_control import SimulatedPanelControl
from tests.platform.site import CONFIG_STORE, DRIVER, ROOT, VEN, Site, process, wait_for

BATTERY, CHARGER = "site/home/battery", "site/home/charger"
INVERTER = "site/home/inverter"
BATTERY_UNIT, CHARGER_UNIT, INVERTER_UNIT = 2, 3, 4
FRONIUS = ROOT / "MeterDriverConfigs" / "fronius_gen24"
HEAD = (
    "Reference Point Name,Volttron Point Name,Units,Units Details,Modbus Register,Writable,"
    "Point Address"
)
REGISTRIES = {
    BATTERY: [
        "power_kw,power_kw,kW,,>f,FALSE,0",
        "soc_percent,soc_percent,percent,,>f,FALSE,2",
        "setpoint_kw,setpoint_kw,kW,,>f,TRUE,0",
        "remote,remote,On / Off,,BOOL,TRUE,0",
    ],
    CHARGER: [
        "power_kw,power_kw,kW,,>f,FALSE,0",
        "most_amps,most_amps,A,,>H,TRUE,0",
        "phases,phases,lines,,>H,TRUE,1",
        "allowed,allowed,On / Off,,BOOL,TRUE,0",
    ],
}
CIRCUITS = [
    {
        "id": "battery1",
        "name": "Battery",
        "type": "battery",
        "breaker_amps": 32,
        "priority": 5,
        "control": "power",
        "device": BATTERY,
        "power_point": "power_kw",
        "power_setpoint_point": "setpoint_kw",
        "mode_point": "remote",
        "max_discharge_kw": 5,
        "capacity_kwh": 13.5,
        "reserve_soc_percent": 20,
        "soc_point": "soc_percent",
    },
    {
        "id": "car1",
        "name": "Car",
        "type": "ev",
        "breaker_amps": 16,
        "priority": 4,
        "control": "limit",
        "device": CHARGER,
        "power_point": "power_kw",
        "limit_point": "most_amps",
        "limit_unit": "amps",
        "phases": 3,
        "phases_point": "phases",
        "pause_point": "allowed",
    },
]
HYBRID = {
    "id": "hybrid1",
    "name": "Hybrid inverter",
    "type": "battery",
    "breaker_amps": 32,
    "priority": 5,
    "control": "power",
    "device": INVERTER,
    "power_point": "watts_raw",
    "power_scale": -0.001,
    "power_setpoint_point": "charge_rate_raw",
    "power_setpoint_scale": 0.05,
    "power_setpoint_step": 1,
    "mode_point": "storage_mode",
    "mode_value": 1,
    "mode_release_value": 0,
    "max_discharge_kw": 5,
    "capacity_kwh": 13.5,
    "reserve_soc_percent": 20,
    "soc_point": "soc_raw",
}
"""As its folder's README has it: 1 percent of WChaMax, 5,000 W, is 0.05 kW."""
SCALES = {"watts_raw": "watts_scale", "charge_rate_raw": "rate_scale", "soc_raw": "soc_scale"}
ROOF = {
    "id": "pv1",
    "name": "Roof",
    "type": "solar",
    "breaker_amps": 50,
    "generates": True,
    "control": "limit",
    "device": INVERTER,
    "power_point": "watts_raw",
    "power_scale": -0.001,
    "limit_point": "most_raw",
    "limit_full_scale_kw": 10,
    "mode_point": "most_enabled",
    "mode_value": 1,
    "mode_release_value": 0,
}
CAR_KW = 11.04
WATCHDOG_SEC = 15.0


@pytest.fixture(scope="module")
def equipment(whole_site: Site) -> Iterator[SimulatedPanelControl]:
    """A battery and a charger beside the site's own panel, with their driver entries."""
    command = [os.environ["VENAGENT_TOOLS_PYTHON"], "-m", "simulator", "--steady"]
    command += ["--port", "0", "--control-port", "0"]
    units = {BATTERY: BATTERY_UNIT, CHARGER: CHARGER_UNIT, INVERTER: INVERTER_UNIT}
    for device, unit in units.items():
        command += ["--device", f"{device.rpartition('/')[2]}:{unit}"]
    with process(command, cwd=ROOT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        ports = [int(re.findall(r":(\d+)", running.stdout.readline())[0]) for _ in range(2)]
        for device, unit in units.items():
            name = device.rpartition("/")[2]
            registry = (FRONIUS / "registry.csv").read_text()
            if device in REGISTRIES:
                registry = "\n".join([HEAD, *REGISTRIES[device]]) + "\n"
            whole_site.store(DRIVER, f"{name}.csv", registry, "csv")
            driver = {
                "driver_type": "modbus",
                "driver_config": {
                    "device_address": "127.0.0.1",
                    "port": ports[0],
                    "slave_id": unit,
                },
                "registry_config": f"config://{name}.csv",
                "interval": 1,
                "timezone": "UTC",
            }
            whole_site.store(DRIVER, f"devices/{device}", driver)
        with SimulatedPanelControl(ports[1]) as control:
            yield control
        for device in units:
            whole_site.rpc(CONFIG_STORE, "delete_config", DRIVER, f"devices/{device}")


@pytest.fixture
def home(site: Site, equipment: SimulatedPanelControl) -> Iterator[SimulatedPanelControl]:
    """The site's agent, moved to the home for one test."""
    equipment.change(BATTERY_UNIT, "soc_percent", 60.0)
    yield from moved(site, equipment, circuits=CIRCUITS)


@pytest.fixture
def lapsing_home(site: Site, equipment: SimulatedPanelControl) -> Iterator[SimulatedPanelControl]:
    """The home with a battery that nobody may leave unwritten."""
    equipment.change(BATTERY_UNIT, "soc_percent", 60.0)
    equipment.change(BATTERY_UNIT, "watchdog_sec", WATCHDOG_SEC)
    quirks = [{"device": BATTERY, "renew_sec": 5}]
    yield from moved(site, equipment, circuits=CIRCUITS, quirks=quirks)
    equipment.change(BATTERY_UNIT, "watchdog_sec", 0.0)


@pytest.fixture
def hybrid_home(site: Site, equipment: SimulatedPanelControl) -> Iterator[SimulatedPanelControl]:
    """The same with a SunSpec inverter in the battery's place; its power is told in tens of W."""
    equipment.change(INVERTER_UNIT, "soc_percent", 60.0)
    equipment.change(INVERTER_UNIT, "roof_kw", 0.0)
    equipment.change(INVERTER_UNIT, "power_scale", 1)
    quirks = [{"device": INVERTER, "scale_points": SCALES}]
    yield from moved(site, equipment, circuits=[HYBRID, CIRCUITS[1]], quirks=quirks)


@pytest.fixture
def sunny_home(site: Site, equipment: SimulatedPanelControl) -> Iterator[SimulatedPanelControl]:
    """The inverter alone, with 8 kW of sun on its roof; its limit counts in hundredths."""
    equipment.change(INVERTER_UNIT, "roof_kw", 8.0)
    equipment.change(INVERTER_UNIT, "power_scale", 1)
    quirks = [
        {
            "device": INVERTER,
            "scale_points": {"watts_raw": "watts_scale", "most_raw": "most_scale"},
        }
    ]
    panel = {"device": INVERTER, "amperage": 63, "voltage": 230}
    yield from moved(site, equipment, -8.0, panel=panel, circuits=[ROOF], quirks=quirks)
    equipment.change(INVERTER_UNIT, "roof_kw", 0.0)


def moved(
    site: Site, equipment: SimulatedPanelControl, power_kw: float = CAR_KW, **blocks: object
) -> Iterator[SimulatedPanelControl]:
    panel = {"device": CHARGER, "amperage": 63, "voltage": 230}
    config = {**site.config, "panel": panel, "leases": [], **blocks}
    site.store(VEN, "config", json.loads(json.dumps(config)))

    def reads_it() -> bool:
        status = site.status()
        is_it = status["power_kw"] == pytest.approx(power_kw, abs=0.01)
        return status["quality"] == "good" and is_it

    wait_for(reads_it, "the agent reads the home", 60.0)
    yield equipment
    site.cloud.command("restore")
    site.store(VEN, "config", site.config)


def test_a_battery_whose_remote_mode_lapses_is_commanded_on(
    site: Site, lapsing_home: SimulatedPanelControl, attempt: int
) -> None:
    """Its inverter's watchdog gives it back to its own programme unless it is written again. Before
    the next test, whose reserve keeps the battery from being asked again for five minutes."""
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=3.0, duration_sec=600)
    assert ack["status"] == "accepted", ack
    wait_for(
        lambda: lapsing_home.state(BATTERY_UNIT)["remote_sec"] > 2.2 * WATCHDOG_SEC,
        "it is commanded without a gap for longer than its watchdog waits",
    )
    assert lapsing_home.state(BATTERY_UNIT)["power_kw"] == pytest.approx(-3.0, abs=0.05)
    assert lapsing_home.state(CHARGER_UNIT)["most_amps"] == 16, "nothing else is shed in its place"
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    battery = lapsing_home.state(BATTERY_UNIT)
    assert (battery["remote"], battery["setpoint_kw"]) == (False, 0.0)


def test_a_battery_discharges_down_to_its_reserve_and_the_car_takes_over(
    site: Site, home: SimulatedPanelControl
) -> None:
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=3.0, duration_sec=600)
    assert ack["status"] == "accepted", ack
    battery = home.state(BATTERY_UNIT)
    assert (battery["remote"], battery["power_kw"]) == (True, pytest.approx(-3.0, abs=0.05))
    measured = site.cloud.ack(event_id=event_id, status="measured")
    assert measured["actual_shed_kw"] == pytest.approx(3.0, rel=0.05)

    home.change(BATTERY_UNIT, "soc_percent", 20.4)
    adjusted = site.cloud.ack(event_id=event_id, reason_code="soc_reserve")
    assert adjusted["status"] == "adjusted"
    battery, charger = home.state(BATTERY_UNIT), home.state(CHARGER_UNIT)
    assert (battery["remote"], battery["setpoint_kw"]) == (False, 0.0)
    assert charger["most_amps"] in (11, 12)

    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    charger = home.state(CHARGER_UNIT)
    assert (charger["most_amps"], charger["allowed"], charger["refused_count"]) == (16, True, 0)


def test_a_car_is_paused_where_its_limit_takes_no_less(
    site: Site, home: SimulatedPanelControl
) -> None:
    home.change(BATTERY_UNIT, "soc_percent", 15.0)
    site.cloud.telemetry(lambda message: message["loads"][0]["shedCapabilityKw"] == 0.0)
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=10.5, duration_sec=600)
    assert ack["status"] == "accepted", ack
    charger = home.state(CHARGER_UNIT)
    assert (charger["allowed"], charger["most_amps"], charger["power_kw"]) == (False, 16, 0.0)
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    charger = home.state(CHARGER_UNIT)
    assert (charger["allowed"], charger["most_amps"]) == (True, 16)
    assert charger["refused_count"] == 0, "no current that cannot be signalled was ever written"


def test_a_sunspec_battery_is_forced_by_its_rate_and_gets_rate_and_mode_back(
    site: Site, hybrid_home: SimulatedPanelControl
) -> None:
    def inverter() -> tuple[int, float, float]:
        state = hybrid_home.state(INVERTER_UNIT)
        return state["mode"], state["charge_percent"], state["battery_kw"]

    assert inverter() == (0, 100.0, 0.0)
    event_id = site.event_id()
    ack = site.cloud.command("event", event_id=event_id, shed_kw=3.0, duration_sec=600)
    assert ack["status"] == "accepted", ack
    assert inverter() == (1, -60.0, pytest.approx(-3.0))
    measured = site.cloud.ack(event_id=event_id, status="measured")
    assert measured["actual_shed_kw"] == pytest.approx(3.0, rel=0.05)

    hybrid_home.change(INVERTER_UNIT, "soc_percent", 20.4)
    site.cloud.ack(event_id=event_id, reason_code="soc_reserve")
    assert inverter() == (0, 100.0, 0.0)
    assert hybrid_home.state(CHARGER_UNIT)["most_amps"] in (11, 12), "the car takes over"
    restored = site.cloud.command("restore", event_id=event_id)
    assert restored["status"] == "success", restored
    assert inverter() == (0, 100.0, 0.0)
    assert hybrid_home.state(CHARGER_UNIT)["most_amps"] == 16


def test_a_charger_on_one_phase_is_limited_by_what_one_phase_draws(
    site: Site, home: SimulatedPanelControl
) -> None:
    home.change(BATTERY_UNIT, "soc_percent", 15.0)
    site.rpc(DRIVER, "set_point", CHARGER, "phases", 1)
    try:
        site.cloud.telemetry(
            lambda message: (
                message["usedPowerKw"] == pytest.approx(3.68)
                and message["loads"][0]["shedCapabilityKw"] == 0.0
            )
        )
        asked = {"event_id": site.event_id(), "duration_sec": 600}
        ack = site.cloud.command("event", shed_kw=1.5, **asked)
        assert ack["status"] == "accepted", ack
        charger = home.state(CHARGER_UNIT)
        assert (charger["allowed"], charger["most_amps"]) in ((True, 9), (True, 10))
        more = site.cloud.command("event", shed_kw=3.5, modification=1, **asked)
        assert more["status"] == "accepted", more
        charger = home.state(CHARGER_UNIT)
        assert (charger["allowed"], charger["power_kw"]) == (False, 0.0), "below 6 A is only 0"
        restored = site.cloud.command("restore", event_id=asked["event_id"])
        assert restored["status"] == "success", restored
        charger = home.state(CHARGER_UNIT)
        assert (charger["allowed"], charger["most_amps"], charger["refused_count"]) == (True, 16, 0)
    finally:
        site.rpc(DRIVER, "set_point", CHARGER, "phases", 3)


def test_an_inverter_feeds_in_less_by_a_limit_register_with_a_scale_factor(
    site: Site, sunny_home: SimulatedPanelControl, attempt: int
) -> None:
    """WMaxLimPct counts in hundredths of a percent: 19 % are written as 1900, and read back so."""

    def inverter() -> tuple[float, float]:
        state = sunny_home.state(INVERTER_UNIT)
        return state["most_percent"], state["power_kw"]

    def is_enabled() -> bool:
        return bool(sunny_home.state(INVERTER_UNIT)["most_enabled"])

    assert (inverter(), is_enabled()) == ((100.0, -8.0), False), "as it is delivered"
    event_id = site.event_id()
    ack = site.cloud.command("limit", event_id=event_id, export_kw=2.0, window_sec=5)
    assert (ack["status"], ack["export_kw"]) == ("accepted", 2.0), ack
    assert inverter()[1] >= -2.0, "as soon as it is acked"
    wait_for(
        lambda: inverter() == (pytest.approx(19.0), pytest.approx(-1.9)),
        "what is allowed is fed in, once the mean has forgotten what was before",
    )
    telemetry = site.cloud.telemetry(
        lambda message: message["usedPowerKw"] == pytest.approx(-1.9, abs=0.01)
    )
    assert telemetry["exportLimitKw"] == 2.0
    ended = site.cloud.command("cancel", event_id=event_id)
    assert ended["status"] == "success", ended
    assert (inverter(), is_enabled()) == ((100.0, -8.0), False), "its own limit again"
