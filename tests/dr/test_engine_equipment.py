"""The event engine: what the equipment bears, how circuits go back, and the time after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import NOW, TOTAL_KW, house_panel, limit, panel_of, percent
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.panel import Panel
from VenAgent.dr.policy import EndurancePolicy, Policy


def bearing(**by_circuit: EndurancePolicy) -> Panel:
    """The house's panel, with circuits that do not bear everything."""
    panel = house_panel()
    circuits = (
        replace(c, endurance=by_circuit[c.id]) if c.id in by_circuit else c for c in panel.circuits
    )
    return replace(panel, circuits=tuple(circuits))


# ---- minimum times and sheds a day ------------------------------------------------------------


def test_a_circuit_is_not_shed_again_before_its_minimum_on_time() -> None:
    house = House(bearing(heater1=EndurancePolicy(min_on_sec=600.0)))
    send_event(house, 4.5, duration_sec=60.0)
    house.wait(61.0)
    send_event(house, 4.5, event_id="e2", correlationId="c2", duration_sec=60.0)
    assert "heater1" not in house.opened()
    assert "must stay on" in house.engine.reasons_spared(house.now)["heater1"].text
    house.wait(700.0)
    send_event(house, 4.5, event_id="e3", correlationId="c3", duration_sec=60.0)
    assert house.opened() == {"heater1"}


def test_a_circuit_that_must_stay_off_longer_than_the_event_is_spared() -> None:
    house = House(bearing(heater1=EndurancePolicy(min_off_sec=300.0)))
    send_event(house, 4.5, duration_sec=299.0)
    assert "heater1" not in house.opened()
    house.wait(300.0)
    send_event(house, 4.5, event_id="e2", correlationId="c2", duration_sec=301.0)
    assert house.opened() == {"heater1"}


def test_a_circuit_within_its_minimum_off_time_goes_back_only_after_it() -> None:
    house = House(bearing(heater1=EndurancePolicy(min_off_sec=300.0)))
    send_event(house, 7.5)
    house.wait(60.0)
    house.send("restore", correlationId="r1")
    assert house.opened() == {"heater1"}
    assert house.replies_to("r1") == []
    house.wait(240.0)
    assert not house.opened()
    assert house.replies_to("r1") == ["success"]


def test_less_leaves_a_circuit_off_that_must_stay_so() -> None:
    house = House(bearing(dryer1=EndurancePolicy(min_off_sec=300.0)))
    send_event(house, 7.5)
    send_event(house, 4.5, modification=1, correlationId="m1")
    assert house.opened() == {"heater1", "dryer1"}


@pytest.mark.long
def test_only_so_many_sheds_a_day() -> None:
    house = House(bearing(heater1=EndurancePolicy(max_sheds_per_day=2)))
    for number in range(3):
        ids = {"event_id": f"e{number}", "correlationId": f"c{number}"}
        send_event(house, 4.5, duration_sec=60.0, **ids)
        assert ("heater1" in house.opened()) is (number < 2)
        house.wait(120.0)
        house.restart()  # the count survives
    house.wait(6.0)
    assert "2 times" in house.engine.reasons_spared(house.now)["heater1"].text
    house.wait(86_400.0)
    send_event(house, 4.5, duration_sec=60.0, event_id="e9", correlationId="c9")
    assert house.opened() == {"heater1"}


def test_an_orderly_stop_does_not_wait_for_a_minimum_off_time() -> None:
    house = House(bearing(heater1=EndurancePolicy(min_off_sec=300.0)))
    send_event(house, 4.5)
    house.do(house.engine.stop(house.now))
    assert not house.opened()


# ---- the restoration -----------------------------------------------------------------------------


def closing_times(house: House, seconds: float) -> dict[str, float]:
    """When each circuit closed, in seconds from now."""
    start, open_before = house.now, house.opened()
    closed = {}
    while house.now < start + seconds:
        house.wait(0.5)
        for circuit_id in open_before - house.opened() - set(closed):
            closed[circuit_id] = house.now - start
    return closed


def test_circuits_go_back_one_after_the_other_the_most_important_first() -> None:
    house = House(policy=Policy(restore_stagger_sec=2.0))
    send_event(house, 17.1)
    assert {house.panel.by_id[name].priority for name in house.opened()} == {5, 3}
    house.send("restore", correlationId="r1")
    house.wait(30.0)
    order = [w.circuit_id for w in house.written if w.value is True]
    priorities = [house.panel.by_id[circuit_id].priority for circuit_id in order]
    assert priorities == sorted(priorities)
    assert house.replies_to("r1") == ["success"]


def test_two_seconds_lie_between_two_circuits() -> None:
    house = House(policy=Policy(restore_stagger_sec=2.0))
    send_event(house, 7.5)
    house.send("restore", correlationId="r1")
    assert len(house.opened()) == 1, "the first goes back at once"
    (later,) = closing_times(house, 10.0).values()
    assert later == pytest.approx(2.0, abs=0.5)


def test_the_order_within_a_priority_differs_from_site_to_site() -> None:
    firsts = set()
    for site in range(20):
        house = House(policy=Policy(restore_stagger_sec=2.0))
        house.engine.replies.ven_id = f"site-{site}"
        send_event(house, 7.5)
        house.send("restore", correlationId="r1")
        firsts |= {"heater1", "dryer1"} - house.opened()
    assert firsts == {"heater1", "dryer1"}


def test_a_limit_goes_back_on_a_ramp() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0, limit_ramp_sec=20.0))
    house.send("shedLoad", loadId="ev1", reduceKw=6.0, event_id="e1", correlationId="c1")
    low = house.limits["ev1"]
    house.send("restore", correlationId="r1")
    seen = [house.limits["ev1"]]
    for _ in range(25):
        house.wait(1.0)
        seen.append(house.limits["ev1"])
    steps = sorted(set(seen))
    assert seen == sorted(seen)
    assert steps[-1] == 100.0
    assert len(steps) == 5
    assert steps[0] > low
    assert house.replies_to("r1") == ["success"]


def test_a_crash_on_the_way_back_does_not_leave_anyone_behind() -> None:
    house = House(policy=Policy(restore_stagger_sec=5.0, limit_ramp_sec=20.0))
    before = house.setting
    send_event(house, 15.0)
    house.send("restore", correlationId="r1")
    house.wait(6.0)
    assert house.setting != before
    house.restart()
    house.wait(60.0)
    assert house.setting == before
    assert house.replies_to("r1") == ["success"]


def test_a_stop_on_the_way_back_hurries() -> None:
    house = House(policy=Policy(restore_stagger_sec=30.0))
    before = house.setting
    send_event(house, 15.0)
    house.send("restore", correlationId="r1")
    assert house.setting != before
    house.do(house.engine.stop(house.now))
    assert house.setting == before


# ---- the time after ---------------------------------------------------------------------------


def test_the_highest_power_of_the_quarter_of_an_hour_after_is_reported() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0))
    send_event(house, 4.5, duration_sec=60.0)
    house.wait(61.0)
    assert house.last("completed")["summary"]["rebound_kw"] is None
    house.demand_kw["heater1"] = 9.0  # it has to catch up
    house.wait(300.0)
    house.demand_kw["heater1"] = 4.5
    house.restart()
    house.wait(700.0)
    assert house.statuses("c1") == ["accepted", "measured", "completed", "rebound"]
    rebound_kw = house.last("rebound")["summary"]["rebound_kw"]
    assert rebound_kw == pytest.approx(TOTAL_KW + 4.5)
    assert house.engine.next_deadline() is None


def test_another_event_ends_the_watch_for_the_rebound() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0))
    send_event(house, 4.5, duration_sec=60.0)
    house.wait(120.0)
    send_event(house, 4.5, event_id="e2", correlationId="c2")
    assert house.statuses("c1")[-2:] == ["completed", "rebound"]
    assert house.last("rebound")["summary"]["rebound_kw"] == pytest.approx(TOTAL_KW)
    assert house.now < NOW + 900.0


# ---- registers that hold no limit --------------------------------------------------------------


@each_case("unset", [-1.0, -32_768.0, 254.0, 32_767.0, 65_535.0, 655.35])
def test_what_can_be_no_limit_is_none_though_no_one_has_said_so(unset: float) -> None:
    """Less than nothing, or more than the breaker carries."""
    house = House(panel_of(limit("ev1", 50.0)), {"ev1": 7.2})
    house.limits["ev1"] = unset
    house.drawn_kw = lambda name: (  # type: ignore[method-assign]
        7.2 if house.limits[name] == unset else House.drawn_kw(house, name)
    )
    send_event(house, 3.6, duration_sec=60.0)
    house.wait(30.0)
    assert house.power_kw == pytest.approx(3.6, abs=0.2)
    house.wait(90.0)
    assert house.limits["ev1"] == unset
    assert house.statuses("c1")[-1] == "completed"


@each_case("unset", [0.0, -1.0, 65_535.0, 254.0, 9_999.0])
@each_case("ramp_sec", [0.0, 20.0])
def test_a_limit_is_written_over_what_means_no_limit_and_that_is_given_back(
    unset: float, ramp_sec: float
) -> None:
    scale = replace(percent(50.0), unlimited=(0.0, -1.0, 65_535.0, 254.0, 9_999.0))
    policy = Policy(restore_stagger_sec=0.0, rebound_sec=0.0, limit_ramp_sec=ramp_sec)
    house = House(panel_of(limit("ev1", 50.0, scale=scale)), {"ev1": 7.2}, policy)
    house.limits["ev1"] = unset
    send_event(house, 3.6, duration_sec=60.0)
    house.wait(30.0)
    assert 0.0 < house.limits["ev1"] < 100.0
    assert house.power_kw == pytest.approx(3.6, abs=0.2)
    house.wait(90.0)
    assert house.limits["ev1"] == unset
    assert house.statuses("c1")[-1] == "completed"
    assert all(write.value != 0.0 for write in house.written[:-1])
