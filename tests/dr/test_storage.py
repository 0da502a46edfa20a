"""Batteries that discharge for an event: power, energy, reserve, and what they did before.

Generation is negative: a battery that discharges draws less than nothing.
"""

from __future__ import annotations

import math

import pytest

from tests.dr.flexible_house import FlexibleHouse, battery, shop_panel, storage
from tests.dr.house import send_event

DRAWS_KW = {"battery1": 0.0, "range1": 4.4, "outlets1": 3.2, "fridge1": 1.2}


def home(**changed: float) -> FlexibleHouse:
    house = FlexibleHouse(shop_panel(battery(control=storage(**changed))), DRAWS_KW, {})
    house.wait(120.0)
    return house


# ---- the register and the energy -------------------------------------------------------------


def test_the_register_counts_as_the_device_does() -> None:
    kilowatts = storage()
    watts = storage(kw_per_value=-0.001, step=1.0)  # what is discharged counts as positive
    amps = storage(kw_per_value=0.69, step=1.0)  # three phases of 230 V
    assert kilowatts.value_at(-3.04) == -3.0
    assert watts.value_at(-3.04) == 3040.0
    assert watts.kw_of(3040.0) == pytest.approx(-3.04)
    assert amps.value_at(-3.0) == -4.0
    assert amps.value_at(-3.1, lowest_kw=-3.1) == -4.0, "never below what may be taken"
    assert watts.value_at(-9.0) == 5000.0, "never more than it is built for"
    assert watts.value_at(9.0) == -5000.0
    assert str(kilowatts.value_at(-0.01)) == "0.0", "no minus zero on the wire"


def test_a_long_event_is_planned_by_energy_not_by_power_only() -> None:
    control = storage()
    spare_percent = 60.0 - control.reserve_guard.minimum
    energy_kwh = spare_percent / 100.0 * 13.5 * math.sqrt(0.9)
    assert control.dischargeable_kw(60.0, 600.0) == 5.0
    assert control.dischargeable_kw(60.0, 4 * 3600.0) == pytest.approx(energy_kwh / 4.0)
    assert control.dischargeable_kw(60.0, math.inf) == 5.0, "until it is told to stop"
    assert control.dischargeable_kw(None, 600.0) == 0.0
    assert control.dischargeable_kw(20.5, 600.0) == 0.0, "within the margin of its reserve"
    assert control.dischargeable_kw(10.0, 600.0) == 0.0, "below it already"


# ---- in an event -----------------------------------------------------------------------------


def test_it_discharges_what_is_asked_and_goes_back_to_its_own_programme() -> None:
    house = home()
    send_event(house, 3.0, duration_sec=900.0)
    assert house.drawn_kw("battery1") == pytest.approx(-3.0)
    assert house.remote["battery1"]
    assert house.opened() == set()
    house.wait(60.0)
    measured = house.last("measured")
    assert measured["actual_shed_kw"] == pytest.approx(3.0)
    (circuit,) = measured["circuits_curtailed"]
    assert (circuit["original_kw"], circuit["final_kw"]) == (0.0, -3.0)
    house.wait_until_over()
    assert not house.remote["battery1"]
    assert house.limits["battery1"] == 0.0, "the register is as it was, too"
    assert house.last("completed")["summary"]["achieved_shed_kw"] == pytest.approx(3.0, abs=0.1)


def test_one_that_charges_stops_first_and_charges_again_after() -> None:
    house = home()
    house.demand_kw["battery1"] = 2.5
    house.wait(400.0)
    send_event(house, 4.0, duration_sec=900.0)
    assert house.drawn_kw("battery1") == pytest.approx(-1.5)
    house.wait_until_over()
    assert house.drawn_kw("battery1") == 2.5


def test_one_that_another_controller_commands_gets_its_command_back() -> None:
    house = home()
    house.remote["battery1"], house.limits["battery1"] = True, 1.0
    house.wait(400.0)
    send_event(house, 3.0, duration_sec=900.0)
    assert house.limits["battery1"] == -2.0
    house.wait_until_over()
    assert house.remote["battery1"], "it stays commanded"
    assert house.limits["battery1"] == 1.0


@pytest.mark.long
def test_its_charge_never_falls_below_the_reserve_and_others_take_its_place() -> None:
    house = home()
    house.soc_percent["battery1"] = 24.0
    house.report_sec = 15.0
    house.wait(60.0)
    send_event(house, 4.0, duration_sec=300.0)
    house.demand_kw["outlets1"] += 3.0  # it has to give more than was planned
    house.wait(2 * 3600.0)
    assert house.lowest_soc["battery1"] >= 20.0
    house = home()
    house.soc_percent["battery1"] = 24.0
    send_event(house, 4.0, duration_sec=7 * 3600.0)
    house.wait(7 * 3600.0)
    assert house.lowest_soc.get("battery1", 100.0) >= 20.0


def test_at_its_reserve_it_stops_and_the_ack_says_why() -> None:
    house = home()
    house.soc_percent["battery1"] = 25.0
    send_event(house, 3.0, duration_sec=600.0)
    assert house.drawn_kw("battery1") < -2.0
    house.soc_percent["battery1"] = 20.5  # it had told more than it had
    house.wait(10.0)
    assert not house.remote["battery1"]
    assert house.opened(), "others take its place"
    ack = next(a for a in house.acks if a.get("reason_code") == "soc_reserve")
    assert ack["status"] == "adjusted"
    assert "battery1 stops discharging: its charge is 20.5 percent" in ack["reason"]
    assert ("comfort.guard", "battery1") in house.alerts
    house.wait_until_over()
    assert house.alerts == {}


def test_below_its_reserve_from_the_start_it_only_stops_charging() -> None:
    house = home()
    house.soc_percent["battery1"] = 12.0
    house.demand_kw["battery1"] = 2.0
    house.wait(400.0)
    send_event(house, 1.9, duration_sec=600.0)
    assert house.drawn_kw("battery1") == pytest.approx(0.1, abs=0.11)
    assert house.drawn_kw("battery1") >= 0.0


def test_a_charge_that_is_not_read_discharges_nothing() -> None:
    house = home()
    house.told_soc["battery1"] = None
    house.wait(30.0)
    send_event(house, 3.0, duration_sec=900.0)
    assert not house.remote["battery1"]
    assert house.opened() == {"outlets1"}


def test_one_whose_charge_falls_silent_stops_discharging() -> None:
    house = home()
    send_event(house, 3.0, duration_sec=3600.0)
    house.wait(60.0)
    house.told_soc["battery1"] = None
    house.wait(15.0)
    assert house.remote["battery1"], "one reading may be lost"
    house.wait(25.0)
    assert not house.remote["battery1"]


def test_it_gives_more_and_less_as_the_load_moves() -> None:
    house = home()
    send_event(house, 3.0, duration_sec=3600.0)
    house.wait(60.0)
    house.demand_kw["outlets1"] += 1.0
    house.wait(60.0)
    assert house.drawn_kw("battery1") == pytest.approx(-4.0, abs=0.1)
    house.demand_kw["outlets1"] -= 2.0
    house.wait(60.0)
    assert house.drawn_kw("battery1") == pytest.approx(-2.0, abs=0.1)
    assert house.opened() == set()
    house.wait_until_over()
    assert not house.remote["battery1"]


def test_it_never_feeds_in_past_the_panels_zero() -> None:
    """The target is never below zero: a shed is no order to export."""
    house = FlexibleHouse(shop_panel(battery()), {**DRAWS_KW, "range1": 0.0, "outlets1": 0.6}, {})
    house.wait(120.0)
    send_event(house, 5.0, duration_sec=900.0)
    house.wait(60.0)
    assert house.power_kw >= -0.05


def test_somebody_who_switches_it_back_in_mid_event_keeps_it() -> None:
    house = home()
    send_event(house, 3.0, duration_sec=1800.0)
    house.wait(60.0)
    house.remote["battery1"] = False
    house.wait(60.0)
    assert not house.remote["battery1"]
    assert "manual_override" in {a.get("reason_code") for a in house.acks}
    house.wait_until_over()
    assert not house.remote["battery1"]


def test_a_kill_in_mid_event_gives_it_back_and_once() -> None:
    house = home()
    send_event(house, 3.0, duration_sec=900.0)
    house.restart()
    assert house.drawn_kw("battery1") == pytest.approx(-3.0)
    house.wait_until_over()
    assert not house.remote["battery1"]
    writes = len(house.written)
    house.wait(3600.0)
    assert len(house.written) == writes


def test_after_a_lost_journal_it_is_given_back_to_its_own_programme() -> None:
    """While it is ours it reads as commanded, by somebody: then nothing is known to be given back,
    and the lease or a person ends it. The page shows it."""
    house = home()
    send_event(house, 3.0, duration_sec=900.0)
    house.journal.clear()
    house.facts.clear()
    house.restart()
    house.do(house.engine.recover(house.read(), house.now))
    assert house.remote["battery1"]
