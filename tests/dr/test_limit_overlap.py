"""Limits that are changed, of several levels, and beside other events."""

from __future__ import annotations

import pytest

from tests.dr.house import House, send_event
from tests.dr.limited_house import import_mean_kw, live_under_import_limit, send_import_limit

# ---- levels and changes --------------------------------------------------------------------------


def test_a_limit_of_several_levels(house: House) -> None:
    """A dynamic operating envelope: one allowance for each interval."""
    intervals = [{"duration_sec": 300.0, "import_kw": kw} for kw in (18.0, 8.0, 20.0)]
    house.wait(60.0)
    send_import_limit(house, None, intervals=intervals)
    for allowed_kw in (18.0, 8.0, 20.0):
        house.wait(5.0)
        for _ in range(57):
            house.wait(5.0)
            assert house.power_kw <= allowed_kw
        assert house.engine.running is not None
        assert house.engine.running.limit_terms.import_kw == allowed_kw
        house.wait(10.0)
    house.wait(20.0)
    assert house.statuses()[-1] == "completed"
    assert not house.opened()


def test_a_later_modification_changes_it_without_a_restore(house: House) -> None:
    house.wait(60.0)
    send_import_limit(house)
    house.wait(60.0)
    written = len(house.written)
    send_import_limit(house, 8.0, modification=1, correlationId="l2")
    assert house.replies_to("l2") == ["accepted"]
    assert house.power_kw <= 8.0
    assert all(w.value is not True for w in house.written[written:])
    send_import_limit(house, 22.0, modification=2, correlationId="l3")
    house.wait(200.0)
    assert 15.0 < house.power_kw <= 22.0


# ---- beside other events -------------------------------------------------------------------------


def test_limits_and_sheds_overlap_and_the_stricter_rules(house: House) -> None:
    house.wait(120.0)
    send_import_limit(house, 15.0)
    house.wait(120.0)
    ack = send_event(house, 3.0)[0]
    assert ack["status"] == "accepted"
    assert ack["baseline_kw"] == pytest.approx(22.6, rel=0.05), "as it would be without the limit"
    house.wait(60.0)
    assert house.power_kw <= 15.0
    send_event(house, 12.0, event_id="e2", correlationId="c2", duration_sec=120.0)
    house.wait(60.0)
    assert house.power_kw <= 22.6 - 12.0 + 0.7
    house.wait(700.0)
    assert import_mean_kw(house) <= 15.0
    assert house.engine.running is not None
    assert house.engine.running.event_id == "limit"
    assert house.replies_to("c1")[-1] == "accepted"
    assert house.replies_to("l1") == ["accepted"]


def test_a_shed_keeps_the_limit_while_loads_rise(house: House) -> None:
    house.wait(120.0)
    send_event(house, 4.5)
    house.wait(30.0)
    assert send_import_limit(house, 19.0)[0]["status"] == "accepted"
    house.demand_kw["ev1"] = 11.0
    live_under_import_limit(house, 300.0, 19.0, since_sec=75.0)
    house.wait(400.0)
    assert house.statuses("c1")[-1] == "completed"
    live_under_import_limit(house, 300.0, 19.0)


def test_a_shed_that_ends_hands_what_the_limit_needs_over(house: House) -> None:
    """No circuit goes back that the limit has to take again."""
    house.wait(120.0)
    send_import_limit(house, 15.0)
    house.wait(60.0)
    held = house.opened()
    send_event(house, 12.0, duration_sec=120.0)
    house.wait(60.0)
    written = len(house.written)
    live_under_import_limit(house, 120.0)
    back = {w.circuit_id for w in house.written[written:] if w.value is True}
    again = {w.circuit_id for w in house.written[written:] if w.value is False}
    assert not back & again
    assert held


def test_an_event_cancelled_in_mid_write_leaves_no_gap(house: House) -> None:
    house.wait(120.0)
    send_import_limit(house, 15.0)
    house.wait(60.0)
    send_event(house, 9.0)
    house.wait(30.0)
    house.hold = True
    send_event(house, 12.0, modification=1, correlationId="m1")
    house.send("cancel", correlationId="x", event_id="e1")
    house.hold = False
    house.work()
    assert house.power_kw <= 15.0
    live_under_import_limit(house, 120.0)
    assert house.replies_to("x") == ["success"]


def test_of_two_limits_the_stricter_rules_and_then_the_other(house: House) -> None:
    house.wait(60.0)
    send_import_limit(house, 15.0)
    ack = send_import_limit(house, 8.0, event_id="second", correlationId="l2", duration_sec=300.0)[
        0
    ]
    assert ack["status"] == "accepted"
    house.wait(60.0)
    assert house.power_kw <= 8.0
    send_import_limit(house, 18.0, event_id="third", correlationId="l3")
    assert house.replies_to("l3") == ["accepted"]
    house.wait(120.0)
    assert house.power_kw <= 8.0
    house.wait(300.0)
    assert 8.0 < house.power_kw <= 15.0
    house.send("cancel", correlationId="x", event_id="limit")
    house.wait(200.0)
    assert 15.0 < house.power_kw <= 18.0
    house.send("cancel", correlationId="y", event_id="third")
    house.wait(60.0)
    assert not house.opened()
    assert house.limits["ev1"] == 100.0


@pytest.mark.long
def test_two_limits_over_windows_of_their_own_are_both_kept(house: House) -> None:
    house.wait(60.0)
    for event_id, import_kw, window_sec in (("long", 12.0, 900.0), ("short", 14.0, 10.0)):
        fields = {"import_kw": import_kw, "window_sec": window_sec}
        house.send("limit", event_id=event_id, correlationId=event_id, **fields)
    house.wait(1_000.0)
    for step in range(200):
        house.demand_kw["range1"] = 2.4 if step % 20 < 10 else 9.0
        house.wait(5.0)
        for import_kw, window_sec in ((12.0, 900.0), (14.0, 10.0)):
            mean_kw = house.engine.site.limits.mean_kw(window_sec, house.now)
            assert mean_kw is not None
            assert mean_kw <= import_kw


def test_an_opt_out_ends_the_shed_and_leaves_the_limit(house: House) -> None:
    house.wait(60.0)
    send_import_limit(house, 15.0)
    send_event(house, 12.0)
    house.wait(30.0)
    house.do(house.engine.opt_out("cooking", house.now + 600.0, house.now))
    house.wait(1.0)
    assert house.power_kw <= 15.0
    live_under_import_limit(house, 300.0, since_sec=75.0)
    assert "opted_out" in house.statuses("c1")
