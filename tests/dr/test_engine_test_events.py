"""The event engine: events that are a test, and those that are only asked about."""

from __future__ import annotations

import json

from tests.dr.builders import NOW
from tests.dr.house import House, send_event
from VenAgent.reporting.event_view import event_view_for_bus, event_view_for_page


def test_a_test_is_carried_out_and_marked_in_every_ack_and_in_the_journal(house: House) -> None:
    send_event(house, 4.5, test=True)
    assert house.opened() == {"heater1"}
    house.wait(700.0)
    assert house.statuses() == ["accepted", "measured", "completed"]
    assert [ack["test"] for ack in house.acks] == [True, True, True]
    assert json.loads(house.journal["e1"])["request"]["is_test"] is True
    over = house.recorded("e1")
    assert event_view_for_bus(over)["test"] is event_view_for_page(over)["test"] is True
    assert all(event.request.is_test for event in house.announced)


def test_a_test_stays_one_over_a_restart(house: House) -> None:
    send_event(house, 4.5, test=True)
    house.restart()
    house.wait(700.0)
    assert house.last("completed")["test"] is True


def test_another_event_is_no_test(house: House) -> None:
    send_event(house, 4.5, test=False)
    assert "test" not in house.last("accepted")
    assert house.engine.running is not None
    assert event_view_for_bus(house.engine.running)["test"] is False


def test_a_test_and_the_same_event_in_earnest_are_not_the_same(house: House) -> None:
    """Else whoever repeats a test in earnest would be told that it runs already."""
    send_event(house, 4.5, test=True)
    (ack,) = send_event(house, 4.5, correlationId="c2")
    assert (ack["status"], ack["reason_code"]) == ("rejected", "modification_outdated")


# ---- dry run -------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_shed_and_does_nothing(house: House) -> None:
    house.wait(10.0)
    (ack,) = send_event(house, 7.5, dry_run=True)
    assert (ack["status"], ack["ok"], ack["dry_run"]) == ("success", True, True)
    assert {c["id"] for c in ack["circuits_curtailed"]} == {"heater1", "dryer1"}
    assert (ack["actual_shed_kw"], ack["shed_basis"]) == (7.5, "predicted")
    assert (house.written, house.jobs, house.journal, house.announced) == ([], house.jobs, {}, [])
    assert house.engine.running is None
    assert not house.engine.scheduled
    house.wait(700.0)
    assert house.written == []
    assert len(house.acks) == 1


def test_what_a_dry_run_said_is_what_the_event_then_sheds(house: House) -> None:
    house.wait(10.0)
    (asked,) = send_event(house, 9.0, dry_run=True, correlationId="d1")
    send_event(house, 9.0)
    assert house.last("accepted")["circuits_curtailed"] == asked["circuits_curtailed"]


def test_a_dry_run_that_comes_again_gets_the_same_ack(house: House) -> None:
    house.wait(10.0)
    first = send_event(house, dry_run=True)
    house.demand_kw["heater1"] = 0.0
    house.wait(10.0)
    assert send_event(house, dry_run=True) == first
    house.restart()
    assert send_event(house, dry_run=True) == first


def test_a_dry_run_of_what_cannot_be_shed_fails_with_its_reason(house: House) -> None:
    house.demand_kw = dict.fromkeys(house.demand_kw, 0.0)
    house.wait(10.0)
    (ack,) = send_event(house, dry_run=True)
    assert (ack["status"], ack["reason_code"]) == ("failed", "nothing_to_shed")


def test_a_dry_run_without_a_reading_does_not_guess(house: House) -> None:
    (ack,) = send_event(house, dry_run=True)
    assert (ack["status"], ack["reason_code"]) == ("failed", "meter_unreadable")
    house.wait(10.0)
    house.meter_works = False
    house.now += 300.0
    (ack,) = send_event(house, dry_run=True, correlationId="c2")
    assert (ack["status"], ack["reason_code"]) == ("failed", "meter_unreadable")


def test_a_dry_run_leaves_the_event_that_runs_as_it_is(house: House) -> None:
    """One of the same id says what its change would shed, one of another what is left beside it."""
    house.wait(10.0)
    send_event(house, 4.5)
    house.wait(10.0)
    written, record = list(house.written), house.journal["e1"]
    (ack,) = send_event(house, 7.5, modification=1, correlationId="d1", dry_run=True)
    assert {c["id"] for c in ack["circuits_curtailed"]} == {"heater1", "dryer1"}
    (ack,) = send_event(house, 3.0, event_id="e2", correlationId="d2", dry_run=True)
    assert [c["id"] for c in ack["circuits_curtailed"]] == ["dryer1"]
    assert ack["reason_code"] == "lower_precedence"
    assert (house.written, house.journal["e1"]) == (written, record)


def test_a_dry_run_while_the_site_is_opted_out_says_so(house: House) -> None:
    house.wait(10.0)
    house.do(house.engine.opt_out("cooking", NOW + 900.0, house.now))
    (ack,) = send_event(house, dry_run=True)
    assert (ack["status"], ack["reason_code"]) == ("opted_out", "opted_out")
    assert house.journal == {}


def test_a_dry_run_of_one_circuit_names_it(house: House) -> None:
    house.wait(10.0)
    (ack,) = house.send("shedLoad", loadId="ev1", reduceKw=3.0, dry_run=True, test=True)
    assert [c["id"] for c in ack["circuits_curtailed"]] == ["ev1"]
    assert (ack["test"], ack["dry_run"]) == (True, True)
