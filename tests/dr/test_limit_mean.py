"""What the mean of a limit is made of, and what it asks for before it is passed."""

from __future__ import annotations

import pytest

from tests.dr.builders import DRAWS_KW, panel_of, switch
from tests.dr.house import House
from tests.dr.limited_house import import_mean_kw, live_under_import_limit, send_import_limit
from tests.support.each_case import each_case


def test_loads_that_go_on_rising_are_met_before_the_meter_stands_still() -> None:
    """Each rise is corrected by the next readings, what was written already counted in."""
    panel = panel_of(*(switch(f"load{n}", 30.0, priority=5) for n in range(8)))
    house = House(panel, {f"load{n}": 1.5 for n in range(8)})
    house.report_sec = 1.0
    house.meter_lag_sec = 0.5
    house.wait(90.0)
    send_import_limit(house, 15.0)
    house.wait(30.0)
    for second in range(24):
        house.demand_kw[f"load{second % 8}"] += 0.75
        house.wait(1.0)
        assert import_mean_kw(house) <= 15.0, second
    live_under_import_limit(house, 60.0)
    assert house.power_kw > 10.0, "no more is shed than has to be"


def test_a_peak_before_is_made_up_for_while_it_moves_through_the_window(house: House) -> None:
    """The mean stays under the limit, not only what is drawn after the correction."""
    house.demand_kw = {**dict.fromkeys(house.demand_kw, 1.0), "hvac1": 2.0}
    house.wait(120.0)
    send_import_limit(house, 15.0)
    house.demand_kw |= {"ev1": 9.0, "heater1": 4.0, "range1": 4.0}
    house.wait(15.0)
    house.demand_kw |= {"dryer1": 4.0, "outlets1": 3.0}
    live_under_import_limit(house, 300.0)


def test_what_the_meter_did_not_see_is_neither_kept_nor_over() -> None:
    for import_kw, over_sec in ((2.0, 395.0), (15.0, 0.0)):
        house = House()
        house.wait(120.0)
        known = {"event_id": "seen", "correlationId": "s1", "duration_sec": 7_200.0}
        house.send("limit", import_kw=import_kw, **known)
        house.wait(300.0)
        house.demand_kw["hvac1"] = 40.0
        house.wait(5.0)  # one reading of it, which does not stand for an hour
        house.meter_works = False
        house.wait(1_800.0)
        house.demand_kw["hvac1"] = 30.0
        house.wait(1_200.0)
        house.demand_kw["hvac1"] = 3.5
        house.wait(600.0)
        house.meter_works = True
        house.wait(100.0)
        house.send("cancel", event_id="seen", correlationId="s2")
        house.wait(60.0)
        summary = house.last("completed")["summary"]
        assert summary["unseen_sec"] == pytest.approx(3_600.0, abs=10.0)
        assert summary["over_limit_sec"] == pytest.approx(over_sec, abs=60.0)
        assert summary["highest_mean_kw"] < 25.0


@pytest.mark.long
def test_what_did_not_show_in_time_goes_back_once_there_is_room() -> None:
    """A meter that is late, or equipment that ramps: a limit until further notice must not keep for
    ever what it took for not responding."""
    for lag_sec in (20.0, 60.0):
        house = House()
        house.meter_lag_sec = lag_sec
        house.wait(120.0)
        before = house.setting
        send_import_limit(house)
        house.wait(1_200.0)
        assert {"circuit.not_responding", "meter.frozen"} & set(house.alerted)
        assert 12.5 < house.power_kw <= 15.2, "most of what is allowed is drawn"
        assert house.limits["hvac1"] == 100.0, "the critical one is the first to go back"
        house.meter_lag_sec = 0.0
        house.wait(1_800.0)
        assert house.power_kw <= 15.0
        running = house.engine.running
        assert running is not None
        least_kw = min(circuit.shed_kw for circuit in running.held())
        assert 15.0 - house.power_kw < least_kw + 0.5, "nothing held would fit in"
        house.demand_kw |= dict.fromkeys(house.demand_kw, 0.9)
        house.wait(1_500.0)
        assert house.setting == before
        assert not house.engine.holds


@pytest.mark.long
@each_case("window_sec", [60.0, 900.0, 1_800.0])
def test_after_a_quiet_time_the_mean_of_a_long_window_stays_under_its_limit(
    window_sec: float,
) -> None:
    """The quiet readings leave the window one by one, while those of the rise stay in it."""
    house = House(draws_kw={**DRAWS_KW, "ev1": 0.0, "heater1": 0.0, "hvac1": 2.0})
    house.report_sec = 10.0
    house.send("limit", event_id="L", correlationId="1", import_kw=15.0, window_sec=window_sec)
    house.wait(window_sec + 100.0)
    house.demand_kw |= {"ev1": 7.2, "heater1": 9.0, "hvac1": 3.5}
    assert house.power_kw > 25.0
    until_ts = house.now + 2.0 * window_sec
    while house.now < until_ts:
        house.wait(10.0)
        assert (house.engine.site.limits.mean_kw(window_sec, house.now) or 0.0) <= 15.0
    assert house.closed["hvac1"], "without a critical load"
    assert house.power_kw >= 12.0, "and no less is drawn for ever"
