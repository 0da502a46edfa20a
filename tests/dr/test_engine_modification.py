"""The event engine: the same event again, changed, older, or after it has ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import NOW, TOTAL_KW, panel_of, switch
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.policy import Policy, ReleasePolicy


def modified(house: House, number: int, shed_kw: float, **fields: object) -> list:
    known = {"modification": number, "correlationId": f"m{number}"}
    return send_event(house, shed_kw, **{**known, **fields})


def shed_kw(house: House) -> float:
    return TOTAL_KW - house.power_kw


# ---- changed in flight ------------------------------------------------------------------------


def test_more_is_shed_without_a_restore_in_between(house: House) -> None:
    send_event(house, 4.5)
    modified(house, 1, 7.5)
    assert shed_kw(house) == pytest.approx(7.5, rel=0.05)
    assert [w.circuit_id for w in house.written].count("heater1") == 1
    assert house.replies_to("m1") == ["accepted"]
    ack = house.last("accepted")
    assert (ack["modification"], ack["requested_shed_kw"]) == (1, 7.5)
    assert ack["correlationId"] == "m1"


def test_less_is_shed_and_only_what_is_too_much_goes_back(house: House) -> None:
    send_event(house, 7.5)
    assert house.opened() == {"heater1", "dryer1"}
    modified(house, 1, 4.5)
    assert house.opened() == {"heater1"}
    assert [(w.circuit_id, w.value) for w in house.written[2:]] == [("dryer1", True)]
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(4.5)


def test_when_no_circuit_fits_by_going_back_others_take_their_place(house: House) -> None:
    send_event(house, 4.5)
    modified(house, 1, 3.0)
    assert house.opened() == {"dryer1"}
    assert shed_kw(house) == pytest.approx(3.0)


def test_a_limit_is_let_up_by_what_is_too_much(house: House) -> None:
    house.send("shedLoad", loadId="ev1", reduceKw=4.0, event_id="e1", correlationId="c1")
    low = house.limits["ev1"]
    house.send(
        "shedLoad", loadId="ev1", reduceKw=2.0, event_id="e1", correlationId="c2", modification=1
    )
    assert low < house.limits["ev1"] < 100.0
    assert shed_kw(house) == pytest.approx(2.0, rel=0.05)


def test_a_limit_goes_lower_when_more_is_asked_of_it(house: House) -> None:
    house.send("shedLoad", loadId="ev1", reduceKw=2.0, event_id="e1", correlationId="c1")
    house.send(
        "shedLoad", loadId="ev1", reduceKw=5.0, event_id="e1", correlationId="c2", modification=1
    )
    assert shed_kw(house) == pytest.approx(5.0, rel=0.05)
    house.send("restore", correlationId="c3")
    assert house.limits["ev1"] == 100.0


def test_a_critical_limit_never_goes_below_its_floor_however_often_it_is_changed(
    house: House,
) -> None:
    for number in range(4):
        modified(house, number, 40.0 + number)
    assert house.drawn_kw("hvac1") >= 0.8 * 3.5


def test_it_ends_at_its_new_end_and_not_at_the_old_one(house: House) -> None:
    before = house.setting
    send_event(house, 4.5, duration_sec=600.0)
    modified(house, 1, 4.5, duration_sec=60.0)
    house.wait(61.0)
    assert house.setting == before
    assert house.last("completed")["modification"] == 1
    send_event(house, 4.5, event_id="e2", correlationId="c2", duration_sec=60.0)
    house.send(
        "event", shed_kw=4.5, event_id="e2", correlationId="m2", modification=1, duration_sec=300.0
    )
    house.wait(200.0)
    assert house.opened() == {"heater1"}
    house.wait(101.0)
    assert house.setting == before


@pytest.mark.long
def test_an_event_of_days_is_prolonged_with_a_later_start_without_a_restore(house: House) -> None:
    """As the operator's side does it: no command lasts longer than a day."""
    house.report_sec = 60.0  # two days of a report each five seconds take long
    before, ends_ts = house.setting, NOW + 23 * 3600.0
    send_event(house, 4.5, start_ts=NOW, duration_sec=82_800.0)
    written = len(house.written)
    for number in (1, 2, 3):
        house.wait(NOW + number * 39_600.0 - house.now)
        ends_ts += 39_600.0
        modified(house, number, 4.5, start_ts=ends_ts - 84_600.0, duration_sec=84_600.0)
        assert house.replies_to(f"m{number}")[0] == "accepted"
    assert [w.value for w in house.written[written:]].count(True) == 0
    assert house.opened() == {"heater1"}
    house.wait(ends_ts - house.now + 61.0)
    assert house.setting == before
    summary = house.last("completed")["summary"]
    assert summary["start_ts"] == NOW
    assert summary["end_ts"] == pytest.approx(ends_ts, abs=60.0)


def test_a_change_while_it_begins_is_carried_out_as_soon_as_it_has_begun(house: House) -> None:
    house.hold = True
    send_event(house, 4.5)
    modified(house, 1, 7.5)
    assert house.acks == []
    house.hold = False
    house.work()
    assert house.replies_to("c1") == ["accepted"]
    assert house.replies_to("m1") == ["accepted"]
    assert shed_kw(house) == pytest.approx(7.5, rel=0.05)


def test_a_change_that_moves_the_start_away_restores_and_begins_again_then(house: House) -> None:
    before = house.setting
    send_event(house, 4.5)
    modified(house, 1, 4.5, start_ts=NOW + 300.0)
    assert house.setting == before
    assert house.replies_to("m1") == ["scheduled"]
    house.wait(301.0)
    assert house.opened() == {"heater1"}
    assert house.statuses("m1") == ["scheduled", "accepted", "measured"]


def test_a_change_while_it_is_restored_begins_it_again(house: House) -> None:
    send_event(house, 4.5)
    house.broken = {"heater1"}
    house.send("restore", correlationId="r1")
    modified(house, 1, 3.0)
    house.broken = set()
    house.wait(5.0)
    assert house.opened() == {"dryer1"}
    assert house.replies_to("m1") == ["accepted"]


def test_a_scheduled_event_is_changed_before_it_begins(house: House) -> None:
    send_event(house, 4.5, start_ts=NOW + 300.0)
    modified(house, 1, 3.0, start_ts=NOW + 100.0)
    assert house.replies_to("m1") == ["scheduled"]
    house.wait(101.0)
    assert house.opened() == {"dryer1"}
    assert set(house.engine.scheduled) == set()


def test_a_change_survives_a_crash(house: House) -> None:
    house.hold = True
    send_event(house, 4.5)
    modified(house, 1, 7.5, duration_sec=60.0)
    house.hold = False
    house.restart()
    assert shed_kw(house) == pytest.approx(7.5, rel=0.05)
    assert house.replies_to("m1") == ["accepted"]
    house.wait(61.0)
    assert not house.opened()


# ---- again, older, ended ----------------------------------------------------------------------


def test_the_same_content_under_another_correlation_id_gets_the_same_ack(house: House) -> None:
    (first, *_) = send_event(house)
    written = list(house.written)
    (again,) = send_event(house, correlationId="c2")
    assert again == {**first, "correlationId": "c2"}
    assert house.written == written


def test_asked_twice_while_it_begins_both_get_the_ack(house: House) -> None:
    house.hold = True
    send_event(house)
    send_event(house, correlationId="c2")
    house.hold = False
    house.work()
    assert house.replies_to("c1") == house.replies_to("c2") == ["accepted"]
    assert house.engine.replies.sent_to("c2") is not None


@pytest.mark.parametrize(
    ("number", "kw"), [(1, 6.0), (0, 5.0)], ids=["equal, other content", "lower"]
)
def test_what_is_stale_is_refused_and_changes_nothing(house: House, number: int, kw: float) -> None:
    send_event(house, 5.0, modification=1)
    setting = house.setting
    (ack,) = send_event(house, kw, modification=number, correlationId="c2")
    assert (ack["status"], ack["ok"]) == ("rejected", False)
    assert "modification 1" in ack["reason"]
    assert house.setting == setting
    assert house.engine.running.request.modification == 1


def test_an_event_that_has_ended_begins_again_only_with_a_higher_modification(
    house: House,
) -> None:
    send_event(house, duration_sec=60.0)
    house.wait(61.0)
    written = list(house.written)
    (ack,) = send_event(house, correlationId="c2")
    assert ack["status"] == "rejected"
    assert "is over" in ack["reason"]
    house.restart()
    (ack,) = send_event(house, correlationId="c3")
    assert ack["status"] == "rejected"
    assert house.written == written
    modified(house, 1, 4.5)
    assert house.opened() == {"heater1"}


def test_an_event_that_could_not_begin_may_be_tried_again(house: House) -> None:
    house.meter_works = False
    send_event(house)
    house.meter_works = True
    assert send_event(house, correlationId="c2")[0]["status"] == "accepted"


def test_a_cancellation_that_overtakes_its_event_keeps_it_from_beginning(house: House) -> None:
    (ack,) = house.send("cancel", event_id="e1", correlationId="x1")
    assert ack["status"] == "rejected"
    house.restart()
    (ack,) = send_event(house)
    assert ack["status"] == "rejected"
    assert house.written == []
    assert modified(house, 1, 4.5)[0]["status"] == "accepted"


def test_a_command_that_waited_for_an_hour_in_a_session_does_no_harm(house: House) -> None:
    (ack,) = send_event(house, issued_ts=NOW - 3_600.0)
    assert ack["status"] == "rejected"
    assert "3600 s ago" in ack["reason"]
    (ack,) = send_event(house, expires_ts=NOW - 1.0, correlationId="c2")
    assert ack["status"] == "rejected"
    assert house.written == []


def test_a_restore_takes_back_a_change_that_still_waits(house: House) -> None:
    house.hold = True
    send_event(house, 4.5)
    modified(house, 1, 7.5)
    house.send("restore", correlationId="r1")
    house.hold = False
    house.work()
    assert not house.opened()
    assert house.replies_to("m1") == ["failed"]
    assert house.replies_to("r1") == ["success"]
    assert len(house.replies_to("c1")) == 1


@each_case(
    ("order", "back"),
    [
        (ReleasePolicy.MOST_IMPORTANT_FIRST, {"range1"}),
        (ReleasePolicy.LEAST_IMPORTANT_FIRST, {"dryer1"}),
    ],
)
@each_case("by_command", [False, True])
def test_the_site_says_which_loads_return_first(
    order: ReleasePolicy, back: set[str], by_command: bool
) -> None:
    """When an event is changed to less, and when the meter shows that it sheds too much."""
    draws_kw = {"heater1": 4.0, "dryer1": 3.0, "range1": 3.0}
    panel = panel_of(
        switch("heater1", priority=5), switch("dryer1", priority=5), switch("range1", priority=3)
    )
    policy = Policy(restore_stagger_sec=0.0, rebound_sec=0.0, release_order=order)
    house = House(panel, {**draws_kw}, policy)
    send_event(house, 10.0)
    assert house.opened() == set(draws_kw)
    if by_command:
        send_event(house, 7.0, modification=1, correlationId="m1")
    else:
        event = house.engine.running
        event.change(replace(event.request, shed_kw=7.0))
        event.note_acked()
        house.wait(60.0)
    assert house.opened() == set(draws_kw) - back


# ---- the answer of a release is lost -----------------------------------------------------------


@pytest.mark.parametrize("is_late", [False, True])
def test_a_release_whose_answer_got_lost_is_one(house: House, is_late: bool) -> None:
    """An alert "did not respond" stood against a circuit that we had let go."""
    send_event(house, 7.5)
    house.wait(60.0)
    house.silent = {"dryer1", "heater1"}
    if is_late:  # the device does it a moment after it was given up
        house.broken = {"dryer1", "heater1"}
    modified(house, 1, 4.5)
    if is_late:
        house.closed["dryer1"] = True
    house.silent, house.broken = set(), set()
    house.wait(120.0)
    assert house.opened() == {"heater1"}
    assert house.alerts == {}
    modified(house, 2, 7.5)
    house.wait(60.0)
    assert house.opened() == {"heater1", "dryer1"}
    house.wait(2_000.0)
    assert not house.opened()


def test_a_release_that_failed_is_none(house: House) -> None:
    send_event(house, 7.5)
    house.wait(60.0)
    house.broken = {"dryer1", "heater1"}
    modified(house, 1, 4.5)
    house.wait(30.0)
    running = house.engine.running
    assert running is not None
    assert {c.circuit_id for c in running.held()} == {"heater1", "dryer1"}
    house.broken = set()
    house.wait(2_000.0)
    assert not house.opened()
