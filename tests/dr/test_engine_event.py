"""The event engine: an event from its beginning to its end."""

from __future__ import annotations

import pytest

from tests.dr.builders import DRAWS_KW, NOW, TOTAL_KW, VEN_ID
from tests.dr.house import House, send_event

EVENT_FIELDS = {
    "event_id",
    "requested_shed_kw",
    "actual_shed_kw",
    "shed_basis",
    "baseline_kw",
    "end_ts",
    "modification",
    "circuits_curtailed",
}


def test_an_event_sheds_what_was_asked_and_restores_what_was_there_before(house: House) -> None:
    before = house.setting
    send_event(house, 5.0)
    assert house.opened() == {"heater1"}
    assert house.limits["ev1"] == 56.0
    assert TOTAL_KW - house.power_kw == pytest.approx(5.0, rel=0.05)
    house.wait(700.0)
    assert house.setting == before
    assert house.power_kw == pytest.approx(TOTAL_KW)


def test_an_event_is_accepted_then_measured_then_completed(house: House) -> None:
    send_event(house)
    house.wait(700.0)
    assert house.statuses() == ["accepted", "measured", "completed"]
    for ack in house.acks:
        assert set(ack) >= EVENT_FIELDS
        assert (ack["op"], ack["correlationId"], ack["venId"]) == ("event", "c1", VEN_ID)
        assert ack["event_id"] == "e1"
        assert ack["ok"] is True


def test_the_accepted_ack_tells_the_circuits_and_their_sum(house: House) -> None:
    (accepted, *_) = send_event(house, 8.5)
    entries = accepted["circuits_curtailed"]
    assert {entry["id"] for entry in entries} == {"heater1", "dryer1", "ev1"}
    assert accepted["shed_basis"] == "predicted"
    assert accepted["actual_shed_kw"] == pytest.approx(sum(e["shedKw"] for e in entries), abs=0.002)
    assert accepted["requested_shed_kw"] == 8.5
    assert accepted["end_ts"] == NOW + 600.0
    assert "reason" not in accepted


def test_limits_go_back_to_what_they_were_and_not_to_full(house: House) -> None:
    house.limits["ev1"] = 80.0
    send_event(house, 12.0)
    assert house.limits["ev1"] < 80.0
    house.wait(700.0)
    assert house.limits["ev1"] == 80.0


def test_what_was_off_before_stays_off_after(house: House) -> None:
    house.closed["dryer1"] = False
    send_event(house, 48.0)
    assert "heater1" in house.opened()
    house.wait(700.0)
    assert house.opened() == {"dryer1"}


def test_an_event_lasts_exactly_its_duration(house: House) -> None:
    send_event(house, duration_sec=300.0)
    house.wait(299.9)
    assert house.opened()
    house.wait(0.1)
    assert not house.opened()
    assert house.last("completed")["summary"]["end_ts"] == NOW + 300.0


def test_an_event_without_a_duration_lasts_an_hour(house: House) -> None:
    house.send("shedPanel", shed_kw=3.0, correlationId="c1")
    house.wait(3599.0)
    assert house.opened()
    house.wait(2.0)
    assert not house.opened()


def test_an_event_without_ids_is_carried_out_and_acked(house: House) -> None:
    house.send("shedPanel", requestedReductionKw="3", durationS=60)
    house.wait(100.0)
    assert house.statuses() == ["accepted", "measured", "completed"]
    assert {ack["correlationId"] for ack in house.acks} == {None}
    assert len({ack["event_id"] for ack in house.acks}) == 1


def test_critical_circuits_are_never_switched(house: House) -> None:
    send_event(house, 48.0)
    assert house.closed["fridge1"]
    assert house.drawn_kw("hvac1") >= 0.8 * DRAWS_KW["hvac1"]
    assert "fridge1" not in {write.circuit_id for write in house.written}


def test_the_devices_are_reserved_beyond_the_end_and_released_after_it(house: House) -> None:
    house.hold = True
    send_event(house)
    task_id = house.recorded("e1").task_id
    house.hold = False
    house.work()
    house.wait(599.0)
    assert house.released == []
    house.wait(2.0)
    assert house.released == [task_id]


def test_each_change_is_announced(house: House) -> None:
    send_event(house)
    house.wait(700.0)
    assert [event.state.value for event in house.announced] == [
        "shedding",
        "active",
        "restoring",
        "completed",
    ]


def test_after_an_event_another_one_can_run(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.wait(100.0)
    send_event(house, 3.0, correlationId="c2", event_id="e2", duration_sec=60.0)
    assert house.opened() == {"dryer1"}
    house.wait(100.0)
    assert house.replies_to("c2") == ["accepted"]
    assert not house.opened()
