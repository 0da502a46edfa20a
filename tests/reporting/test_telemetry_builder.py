"""What the core tells about the site, in and out of an event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import (
    DRAWS_KW,
    FLEXIBLE_KW,
    NOW,
    TOTAL_KW,
    VEN_ID,
    house_panel,
    panel_of,
    reading_of,
    switch,
)
from tests.dr.flexible_house import FlexibleHouse, shop_panel, thermostat, zone_guard
from tests.dr.house import House
from tests.support.each_case import each_case
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.telemetry import Telemetry, TelemetryQuality
from VenAgent.dr.engine import Engine
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.policy import EndurancePolicy
from VenAgent.reporting import telemetry_builder as report
from VenAgent.reporting.telemetry_alerts import (
    telemetry_alert_meter_fault,
    telemetry_alert_over_current,
)


def telemetry_of(house: House, reading: PanelReading | None = None) -> Telemetry:
    return report.build_telemetry(
        house.engine, reading or house.read(), TelemetryQuality.GOOD, seq=7, now=house.now
    )


def capabilities(house: House) -> dict[str, float]:
    return {load.load_id: load.shed_capability_kw for load in telemetry_of(house).loads}


def during_an_event(shed_kw: float = 7.5) -> House:
    house = House()
    house.send(
        "event", event_id="e1", correlationId="c1", shed_kw=shed_kw, duration_sec=600.0
    )  # fmt: skip
    return house


def test_telemetry_without_an_event() -> None:
    house = House()
    house.wait(5.0)
    wire = telemetry_of(house).to_wire()
    assert wire["usedPowerKw"] == wire["baselinePowerKw"] == TOTAL_KW
    assert wire["shedPowerKw"] == wire["requestedReductionKw"] == 0.0
    assert wire["eventId"] is None
    assert wire["venId"] == VEN_ID
    assert (wire["timestamp"], wire["seq"]) == (NOW + 5.0, 7)
    assert (wire["panelAmperageRating"], wire["panelMaxKw"]) == (200.0, 48.0)


def test_telemetry_during_an_event_tells_what_is_measured() -> None:
    house = during_an_event()
    house.demand_kw["range1"] += 1.0
    wire = telemetry_of(house).to_wire()
    assert wire["eventId"] == "e1"
    assert wire["requestedReductionKw"] == 7.5
    assert wire["usedPowerKw"] == pytest.approx(TOTAL_KW - 6.5)
    assert wire["shedPowerKw"] == wire["shed_kw"] == pytest.approx(6.5)
    assert wire["baselinePowerKw"] == pytest.approx(TOTAL_KW)


def test_telemetry_after_an_event_is_as_before() -> None:
    house = during_an_event()
    house.wait(700.0)
    wire = telemetry_of(house).to_wire()
    assert wire["eventId"] is None
    assert wire["shedPowerKw"] == 0.0


def test_each_circuit_is_told_as_it_was_read() -> None:
    house = during_an_event()
    wire = telemetry_of(house).to_wire()
    circuits = {circuit["id"]: circuit for circuit in wire["circuits"]}
    loads = {load["id"]: load for load in wire["loads"]}
    assert list(circuits) == list(loads) == list(DRAWS_KW)
    assert (circuits["ev1"]["currentKw"], circuits["ev1"]["currentAmps"]) == (7.2, 30.0)
    assert circuits["heater1"]["enabled"] is loads["heater1"]["enabled"] is False
    assert (circuits["heater1"]["currentKw"], loads["heater1"]["currentPowerKw"]) == (0.0, 0.0)
    assert circuits["hvac1"]["critical"] is True
    assert loads["ev1"]["capacityKw"] == 12.0
    assert loads["ev1"]["priority"] == 4


def test_what_could_be_shed_is_what_the_planner_could_take() -> None:
    panel = house_panel()
    reading = reading_of(
        panel,
        {**DRAWS_KW, "range1": -2.0, "outlets1": None},
        closed={"dryer1": False},
        limits={"lights1": None},
    )
    wire = report.build_telemetry(
        Engine(panel, VEN_ID), reading, TelemetryQuality.GOOD, seq=1, now=NOW
    ).to_wire()
    assert {load["id"]: load["shedCapabilityKw"] for load in wire["loads"]} == {
        "hvac1": 0.692,  # down to 39 % of 7.2 kW
        "heater1": 4.5,
        "ev1": 7.2,
        "dryer1": 0.0,
        "range1": 0.0,
        "lights1": 0.0,
        "outlets1": 0.0,
        "fridge1": 0.0,
    }
    assert {load["id"]: load["currentPowerKw"] for load in wire["loads"]}["range1"] == -2.0


def test_what_the_planner_must_not_touch_now_is_not_told_as_what_it_could_take() -> None:
    """The operator counts and asks by it; a dry run in that moment says the same."""
    bears = {
        "heater1": EndurancePolicy(min_on_sec=1_800.0),
        "ev1": EndurancePolicy(max_sheds_per_day=1),
        "dryer1": EndurancePolicy(min_off_sec=5_400.0),  # an event of two hours could
    }
    panel = house_panel()
    circuits = [replace(c, endurance=bears[c.id]) if c.id in bears else c for c in panel.circuits]
    house = House(replace(panel, circuits=tuple(circuits)))
    house.wait(300.0)
    told = capabilities(house)
    assert all(told[name] > 0.0 for name in bears)
    house.send("event", event_id="e1", correlationId="c1", shed_kw=11.0, duration_sec=120.0)
    assert {"heater1", "ev1"} <= house.opened() | {n for n, v in house.limits.items() if v < 100}
    house.wait(300.0)
    told = capabilities(house)
    assert (told["heater1"], told["ev1"]) == (0.0, 0.0)
    assert told["dryer1"] == 3.0
    (dry,) = house.send(
        "event", event_id="dry", correlationId="d", shed_kw=14.0, dry_run=True, duration_sec=7_200.0
    )
    taken = {each["id"] for each in dry["circuits_curtailed"]}
    assert not taken & {"heater1", "ev1"}
    house.wait(1_800.0)
    assert capabilities(house)["heater1"] > 0.0


def test_a_circuit_whose_guard_is_not_believed_is_told_as_nothing() -> None:
    guard = replace(zone_guard(), frozen_sec=3_600.0)
    draws = {"rtu1": 4.0, "range1": 2.4, "outlets1": 1.2, "fridge1": 0.2}
    house = FlexibleHouse(shop_panel(thermostat("rtu1", guard=guard)), draws, {"rtu1": 2.0})
    house.report_sec = 60.0
    house.wait(1_800.0)
    assert capabilities(house)["rtu1"] == 2.0
    house.wait(2_400.0)
    assert capabilities(house)["rtu1"] == 0.0


def test_the_whole_house_could_shed_all_but_its_critical_circuits() -> None:
    wire = telemetry_of(House()).to_wire()
    could_kw = sum(load["shedCapabilityKw"] for load in wire["loads"] if load["priority"] > 1)
    assert could_kw == pytest.approx(FLEXIBLE_KW)


def test_what_was_not_read_is_null_and_nothing_is_invented() -> None:
    panel = house_panel()
    wire = report.build_telemetry(
        Engine(panel, VEN_ID), PanelReading(NOW, None, {}), TelemetryQuality.MISSING, seq=1, now=NOW
    ).to_wire()
    for key in (
        "usedPowerKw",
        "baselinePowerKw",
        "batterySOC",
        "batterySoc",
        "voltage",
        "currentAmps",
    ):
        assert wire[key] is None
    assert wire["panelUtilizationPercent"] is None
    assert wire["quality"] == "missing"
    assert {circuit["currentKw"] for circuit in wire["circuits"]} == {None}
    assert {load["currentPowerKw"] for load in wire["loads"]} == {None}
    assert {load["shedCapabilityKw"] for load in wire["loads"]} == {0.0}


def test_a_lost_meter_in_an_event_makes_no_shed_up() -> None:
    house = during_an_event()
    wire = telemetry_of(house, PanelReading(house.now, None, {})).to_wire()
    assert wire["eventId"] == "e1"
    assert wire["usedPowerKw"] is None
    assert wire["shedPowerKw"] is wire["shed_kw"] is None
    figures = report.build_historian_telemetry(
        house.engine, PanelReading(house.now, None, {}), house.now
    )
    assert "shed_kw" not in figures
    assert figures["requested_kw"] == 7.5


@each_case(
    ("amps", "voltage", "expected_amps", "percent"),
    [(None, None, 94.167, 47.1), (None, 226.0, 100.0, 50.0), (88.0, 226.0, 88.0, 44.0)],
)
def test_the_current_is_read_or_follows_from_power_and_voltage(
    amps: float | None, voltage: float | None, expected_amps: float, percent: float
) -> None:
    house = House()
    reading = replace(house.read(), current_amps=amps, voltage=voltage, battery_soc=81.5)
    wire = telemetry_of(house, reading).to_wire()
    assert wire["currentAmps"] == expected_amps
    assert wire["panelUtilizationPercent"] == percent
    assert wire["voltage"] == voltage
    assert wire["panelVoltage"] == 240
    assert wire["batterySOC"] == 81.5


@each_case(
    ("nominal", "factor", "read", "part"),
    [
        (400.0, 3**0.5, 231.0, 231.0 * 3**0.5 / 400.0),  # line to neutral, as DIN-rail meters have
        (230.0, 3.0, 402.0, 402.0 / 3**0.5 / 230.0),
        (208.0, 3**0.5, 121.0, 121.0 * 3**0.5 / 208.0),
        (240.0, 1.0, 118.0, 2.0 * 118.0 / 240.0),
        (120.0, 2.0, 239.0, 239.0 / 2.0 / 120.0),
        (400.0, 3**0.5, 391.0, 391.0 / 400.0),
        (230.0, 1.0, 23.0, 1.0),  # in other units
        (230.0, 1.0, -1.0, 1.0),
        (230.0, 1.0, 215.0, 215.0 / 230.0),
    ],
)
def test_a_voltage_between_other_conductors_than_named_makes_no_other_current(
    nominal: float, factor: float, read: float, part: float
) -> None:
    """A wallbox "drew 28 A of 16 A", a critical alert each time that a car charged."""
    house = House(replace(house_panel(), voltage=nominal, phase_factor=factor))
    wire = telemetry_of(house, replace(house.read(), voltage=read)).to_wire()
    amps = TOTAL_KW * 1000.0 / (nominal * part * factor)
    assert wire["currentAmps"] == pytest.approx(amps, abs=0.001)
    assert wire["voltage"] == read
    heater = house.panel.by_id["heater1"]
    (entry,) = (c for c in wire["circuits"] if c["id"] == "heater1")
    own_amps = DRAWS_KW["heater1"] * 1000.0 / (heater.voltage * part * heater.phase_factor)
    assert entry["currentAmps"] == pytest.approx(own_amps, abs=0.001)


def test_a_voltage_of_zero_is_told_and_does_no_harm() -> None:
    house = House()
    wire = telemetry_of(house, replace(house.read(), voltage=0.0)).to_wire()
    assert wire["voltage"] == 0.0
    encode_json(wire)


def test_the_snapshot_has_the_loads_of_the_telemetry() -> None:
    message = telemetry_of(House())
    snapshot = report.build_telemetry_loads_message(message).to_wire()
    assert snapshot["loads"] == message.to_wire()["loads"]
    assert snapshot["ts_ms"] == round(message.ts * 1_000)


def test_the_shadow_tells_the_running_event_and_what_is_available() -> None:
    house = during_an_event()
    state = report.build_shadow_telemetry(
        house.engine, telemetry_of(house), report_interval_sec=5.0
    )
    assert state["active_event"] == {"event_id": "e1", "shed_kw": 7.5, "end_ts": NOW + 600.0}
    available = {circuit["id"]: circuit["available"] for circuit in state["circuits"]}
    assert available["ev1"] is True
    assert available["heater1"] is False  # shed already
    assert available["fridge1"] is False
    house.wait(700.0)
    state = report.build_shadow_telemetry(
        house.engine, telemetry_of(house), report_interval_sec=5.0
    )
    assert state["active_event"] is None


def test_the_figures_for_the_bus() -> None:
    house = during_an_event()
    figures = report.build_historian_telemetry(house.engine, house.read(), house.now)
    assert figures == {
        "power_kw": pytest.approx(TOTAL_KW - 7.5),
        "baseline_kw": pytest.approx(TOTAL_KW),
        "shed_kw": pytest.approx(7.5),
        "requested_kw": 7.5,
        "predicted_kw": 7.5,
    }
    assert set(figures) == set(report.UNITS)


def test_figures_that_are_not_known_are_left_out() -> None:
    engine = Engine(panel_of(switch("a")), VEN_ID)
    figures = report.build_historian_telemetry(engine, PanelReading(NOW, None, {}), NOW)
    assert figures == {"shed_kw": 0.0, "requested_kw": 0.0, "predicted_kw": 0.0}


@each_case(
    ("quality", "up_sec", "fault"),
    [
        (TelemetryQuality.GOOD, 0.0, None),
        (
            TelemetryQuality.MISSING,
            29.0,
            None,
        ),  # the first reading takes a moment after every start
        (TelemetryQuality.MISSING, 30.0, "the meter's readings are missing"),
        (TelemetryQuality.STALE, 29.0, "the meter's readings are stale"),
    ],
)
def test_a_meter_without_readings_is_told_when_there_could_be_some(
    quality: TelemetryQuality, up_sec: float, fault: str | None
) -> None:
    assert telemetry_alert_meter_fault(quality, up_sec, patience_sec=30.0) == fault


def test_what_draws_more_than_its_rating_is_told_by_name() -> None:
    house = House()
    assert telemetry_alert_over_current(telemetry_of(house)) is None
    house.demand_kw["dryer1"] = 8.0  # 33 A behind a breaker of 30
    told = telemetry_alert_over_current(telemetry_of(house))
    assert told == "Dryer1 draws 33 A of 30 A"
    house.demand_kw["range1"] = 40.0
    told = telemetry_alert_over_current(telemetry_of(house))
    assert told is not None
    assert told.startswith("the panel draws ")
    assert "Range1" in told


def test_a_current_that_was_not_read_is_no_over_current() -> None:
    house = House()
    house.meter_works = False
    assert telemetry_alert_over_current(telemetry_of(house)) is None


def test_a_site_that_was_opted_out_offers_nothing_and_says_until_when() -> None:
    house = House()
    house.engine.opt_out("cooking", house.now + 600.0, house.now)
    wire = telemetry_of(house).to_wire()
    assert wire["availability"] == {
        "state": "opted_out",
        "until_ts": house.now + 600.0,
        "reason_code": "opted_out",
    }
    assert {load["shedCapabilityKw"] for load in wire["loads"]} == {0.0}
    house.engine.opt_in(house.now)
    wire = telemetry_of(house).to_wire()
    assert wire["availability"]["state"] == "available"
    assert max(load["shedCapabilityKw"] for load in wire["loads"]) > 0.0
