"""Sensors that are stuck: what they guard goes back, is not shed, and a person hears of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.flexible_house import (
    FlexibleHouse,
    battery,
    cooling,
    shop_panel,
    storage,
    thermostat,
    zone_guard,
)
from tests.dr.house import send_event
from tests.support.each_case import each_case
from VenAgent.dr.panel import PanelCircuitReading

FROZEN_SEC = 3_600.0
FILLED = {"range1": 2.4, "outlets1": 1.2, "fridge1": 0.2}


def zone_house() -> FlexibleHouse:
    guard = replace(zone_guard(), frozen_sec=FROZEN_SEC)
    unit = thermostat("rtu1", cooling(settle_sec=0.0), guard=guard)
    house = FlexibleHouse(shop_panel(unit), {**FILLED, "rtu1": 4.0}, {"rtu1": 2.0})
    house.lag_sec = 0.0
    return house


def live(house: FlexibleHouse, seconds: float, *, moves: bool) -> None:
    """The zone's value moves by a tenth to and fro every ten minutes, or not at all."""
    began = house.now
    while house.now < began + seconds:
        house.wait(60.0)
        if moves and int(house.now) % 600 < 60:
            house.values["rtu1"] = 46.1 - (house.values["rtu1"] or 23.0)


@pytest.mark.long
def test_a_guard_that_is_stuck_while_its_circuit_is_shed_releases_it_and_says_so() -> None:
    house = zone_house()
    live(house, 1_200.0, moves=True)
    send_event(house, 2.0, duration_sec=4 * 3_600.0)
    assert house.moved()
    live(house, FROZEN_SEC - 700.0, moves=False)
    assert house.moved(), "not yet"
    live(house, 900.0, moves=False)
    assert house.moved() == {}
    assert house.opened(), "others take its place"
    ack = next(a for a in house.acks if a.get("reason_code") == "comfort_guard")
    assert "has not changed for" in ack["reason"]
    assert "taken for stuck" in house.alerts["guard.frozen", "rtu1"]
    reason = house.engine.reasons_spared(house.now)["rtu1"]
    assert "has not changed for" in reason.text
    house.values["rtu1"] = 23.4
    house.wait(10.0)
    assert ("guard.frozen", "rtu1") not in house.alerts, "it moves again"


@pytest.mark.long
def test_one_that_was_stuck_before_is_not_shed() -> None:
    house = zone_house()
    live(house, FROZEN_SEC + 120.0, moves=False)
    assert ("guard.frozen", "rtu1") in house.alerts, "said without an event"
    assert house.alerted.count("guard.frozen") == 1, "once, not with each reading"
    send_event(house, 2.0)
    assert house.moved() == {}
    assert house.replies_to("c1") == ["accepted"], "by others"
    house = zone_house()
    live(house, 3 * FROZEN_SEC, moves=True)
    send_event(house, 2.0)
    assert house.moved(), "one that moves is believed"


def test_what_it_did_while_it_was_not_read_is_not_known() -> None:
    """A meter that was away for hours, and a clock that was set, make no sensor stuck."""
    house = zone_house()
    live(house, 600.0, moves=True)
    house.report_sec = 5 * 3_600.0
    house.wait(5 * 3_600.0)
    house.report_sec = 5.0
    house.wait(60.0)
    assert ("guard.frozen", "rtu1") not in house.alerts
    house.move_clock(6 * 3_600.0)
    house.wait(60.0)
    assert ("guard.frozen", "rtu1") not in house.alerts


@pytest.mark.long
@pytest.mark.parametrize("step_sec", [3_600.0, -7_200.0])
def test_a_clock_that_is_set_forgets_nothing_of_what_is_stuck(step_sec: float) -> None:
    house = zone_house()
    live(house, FROZEN_SEC + 120.0, moves=False)
    house.set_clock(step_sec)
    house.wait(60.0)
    assert ("guard.frozen", "rtu1") in house.alerts
    control = storage(capacity_kwh=10.0)
    house = FlexibleHouse(shop_panel(battery(control=control)), {**FILLED, "battery1": 0.0}, {})
    house.wait(60.0)
    house.told_soc["battery1"] = 60.0
    send_event(house, 3.0, duration_sec=2 * 3_600.0)
    discharges_kw = -house.drawn_kw("battery1")
    half_sec = 0.5 * 3_600.0 * 0.5 / discharges_kw
    house.wait(half_sec + 60.0)
    assert ("guard.frozen", "battery1") not in house.alerts
    house.set_clock(step_sec)
    house.wait(half_sec + 60.0)
    assert ("guard.frozen", "battery1") in house.alerts


@pytest.mark.long
@pytest.mark.parametrize("stuck_at", [60.0, 100.0])
def test_a_charge_that_does_not_fall_while_the_battery_discharges_is_not_believed(
    stuck_at: float,
) -> None:
    """Elsewhere a charge that stuck at 100 percent let a pack be discharged far too deep."""
    control = storage(capacity_kwh=10.0)
    house = FlexibleHouse(shop_panel(battery(control=control)), {**FILLED, "battery1": 0.0}, {})
    house.wait(60.0)
    house.soc_percent["battery1"] = house.told_soc["battery1"] = stuck_at
    send_event(house, 3.0, duration_sec=2 * 3_600.0)
    assert house.drawn_kw("battery1") < -1.5
    house.wait(2_700.0)
    assert not house.remote["battery1"]
    assert stuck_at - house.soc_percent["battery1"] <= 7.0
    assert "taken for stuck" in house.alerts["guard.frozen", "battery1"]
    house.told_soc.clear()
    house.wait(30.0)
    assert ("guard.frozen", "battery1") not in house.alerts


def test_a_charge_that_does_not_rise_while_the_battery_charges_is_believed() -> None:
    """A full one reads the same for hours while it takes what its own programme gives it."""
    control = storage(capacity_kwh=10.0)
    house = FlexibleHouse(shop_panel(battery(control=control)), {**FILLED, "battery1": 2.0}, {})
    house.told_soc["battery1"] = 100.0
    house.wait(2 * 3_600.0)
    assert ("guard.frozen", "battery1") not in house.alerts


@pytest.mark.long
def test_a_charge_that_jumps_to_0_and_back_switches_no_battery_to_and_fro() -> None:
    """Some tell 0 for one reading now and then: on the safe side it stops, and stays so a while."""
    house = FlexibleHouse(shop_panel(battery()), {**FILLED, "fridge1": 9.0, "battery1": 0.0}, {})
    house.wait(60.0)
    send_event(house, 7.0, duration_sec=3_600.0)  # without the battery it is short
    writes = 0
    for step in range(360):
        before, glitch = len(house.written), step % 6 == 0
        house.told_soc.pop("battery1", None)
        if glitch:
            house.told_soc["battery1"] = 0.0
        house.wait(10.0)
        writes += sum(w.circuit_id == "battery1" for w in house.written[before:])
    assert writes <= 2 * 3_600.0 / 300.0
    assert house.lowest_soc["battery1"] >= 20.0


class SeldomChargeHouse(FlexibleHouse):
    """A battery of 10 kWh whose charge comes each `each_sec`, and not below `silent_below`."""

    def __init__(self, each_sec: float, silent_below: float = 0.0) -> None:
        control = storage(capacity_kwh=10.0)
        panel = shop_panel(battery(control=control))
        super().__init__(panel, {**FILLED, "range1": 6.0, "battery1": 0.0}, {})
        self.each_sec, self.silent_below = each_sec, silent_below
        self.report_sec = 10.0
        self.stuck_at: float | None = None
        self._told = (self.now, 100.0)

    def _read_circuit(self, circuit_id: str, power_kw: float) -> PanelCircuitReading:
        read = super()._read_circuit(circuit_id, power_kw)
        if circuit_id != "battery1":
            return read
        is_heard = self.soc_percent["battery1"] >= self.silent_below
        if self.now - self._told[0] >= self.each_sec and is_heard:
            charge = self.soc_percent["battery1"] if self.stuck_at is None else self.stuck_at
            self._told = (self.now, charge)
        return replace(read, soc_percent=self._told[1], soc_ts=self._told[0])


@each_case("each_sec", [60.0, 300.0, 900.0])
@each_case("silent_below", [0.0, 25.0])
def test_a_charge_that_is_read_seldom_is_carried_on_by_what_was_discharged(
    each_sec: float, silent_below: float
) -> None:
    """5 kW take an eighth of the battery in a quarter of an hour: its reserve is kept all the
    same, and what is read seldom is not taken for stuck."""
    house = SeldomChargeHouse(each_sec, silent_below)
    house.soc_percent["battery1"] = 44.0
    house.wait(each_sec + 60.0)
    house.send("limit", event_id="L", correlationId="1", import_kw=3.5)
    house.wait(2.0 * 3_600.0)
    assert 20.0 <= house.lowest_soc["battery1"] < 23.0
    assert ("guard.frozen", "battery1") not in house.alerts


def test_a_charge_that_is_read_seldom_and_does_not_fall_is_stuck() -> None:
    house = SeldomChargeHouse(300.0)
    house.soc_percent["battery1"] = house.stuck_at = 80.0
    house.wait(360.0)
    house.send("limit", event_id="L", correlationId="1", import_kw=3.5)
    house.wait(900.0)
    assert ("guard.frozen", "battery1") in house.alerts
    assert house.soc_percent["battery1"] > 65.0
    assert not house.remote["battery1"]
