"""The event engine: when a write, a restore, the meter or a reservation fails."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.dr.builders import DRAWS_KW, TOTAL_KW
from tests.dr.house import House, send_event
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.backoff import RETRY_SEC
from VenAgent.dr.effects import PreparedEffect
from VenAgent.dr.event_state import EventState
from VenAgent.dr.event_work import WORK_LIMIT_SEC
from VenAgent.dr.restoration import LONGEST_PAUSE_SEC


def test_a_failed_write_is_left_out_and_the_next_load_takes_its_place(house: House) -> None:
    house.broken = {"heater1"}
    send_event(house, 4.5)
    accepted = house.last("accepted")
    assert "heater1" in accepted["reason"]
    assert "heater1" not in {entry["id"] for entry in accepted["circuits_curtailed"]}
    assert accepted["actual_shed_kw"] == pytest.approx(4.5, rel=0.05)
    assert TOTAL_KW - house.power_kw == pytest.approx(4.5, rel=0.05)


def test_replacements_that_fail_are_replaced_too(house: House) -> None:
    house.broken = {"heater1", "dryer1"}
    send_event(house, 4.5)
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(4.5, rel=0.05)
    attempts = [write.circuit_id for write in house.written]
    assert attempts.count("heater1") == attempts.count("dryer1") == 1


def test_with_nothing_to_take_its_place_the_rest_is_confirmed_honestly(house: House) -> None:
    house.broken = {"ev1"}
    send_event(house, 18.9)
    assert house.last("accepted")["actual_shed_kw"] == pytest.approx(18.9 - 7.2 + 0.692, abs=0.01)


def test_a_circuit_that_responded_without_saying_so_is_put_back_too(house: House) -> None:
    before = house.setting
    house.silent = {"heater1"}
    send_event(house, 4.5)
    assert "heater1" in house.opened()
    house.silent = set()
    house.wait(700.0)
    assert house.setting == before


def test_nothing_confirmed_is_a_failure_and_every_attempt_is_put_back(house: House) -> None:
    before = house.setting
    house.silent = set(DRAWS_KW)
    send_event(house, 7.5)
    assert house.statuses("c1") == ["failed"]
    assert house.last("failed")["ok"] is False
    assert "heater1" in house.last("failed")["reason"]
    assert house.last("failed")["circuits_curtailed"] == []
    attempted = {write.circuit_id for write in house.written}
    house.silent = set()
    house.wait(100.0)
    put_back = house.written[-len(attempted) :]
    assert {write.circuit_id for write in put_back} == attempted
    assert house.setting == before
    assert house.engine.running is None


def test_a_refused_reservation_is_a_failure_with_the_reason(house: House) -> None:
    house.refusal = "the actuator refused the reservation: held by lighting.agent"
    (ack,) = send_event(house)
    assert (ack["status"], ack["ok"]) == ("failed", False)
    assert ack["reason"] == house.refusal
    assert house.written == []
    assert house.engine.running is None
    house.refusal = None
    assert send_event(house, correlationId="c2", event_id="e2")[0]["status"] == "accepted"


def test_a_meter_that_cannot_be_read_is_a_failure(house: House) -> None:
    house.meter_works = False
    (ack,) = send_event(house)
    assert ack["status"] == "failed"
    assert "meter" in ack["reason"]
    assert house.written == []
    assert house.engine.running is None
    assert len(house.released) == 1


def test_no_reading_at_all_is_a_failure(house: House) -> None:
    house.hold = True
    send_event(house)
    house.do(house.engine.prepared("e1", PreparedEffect(), house.now))
    assert house.statuses() == ["failed"]


def test_a_house_with_nothing_to_shed_is_a_failure() -> None:
    house = House(draws_kw=dict.fromkeys(DRAWS_KW, 0.0))
    (ack,) = send_event(house)
    assert ack["status"] == "failed"
    assert house.written == []


def test_a_restore_that_fails_is_tried_again_until_it_succeeds(house: House) -> None:
    before = house.setting
    send_event(house, 7.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(60.0)
    assert house.opened() == {"heater1"}
    assert "heater1" in (house.engine.trouble() or "")
    assert "dryer1" not in (house.engine.trouble() or "")
    assert house.statuses() == ["accepted", "measured"]
    house.wait(1000.0)
    assert house.opened() == {"heater1"}
    house.broken = set()
    house.wait(61.0)
    assert house.setting == before
    assert house.engine.trouble() is None
    assert house.statuses() == ["accepted", "measured", "completed"]
    assert len(house.released) == 1


def test_a_failed_restore_backs_off(house: House) -> None:
    send_event(house, 4.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(59.0)
    tries: list[float] = []
    known = len(house.written)
    for _ in range(3000):
        house.wait(0.1)
        if len(house.written) > known:
            known = len(house.written)
            tries.append(house.now)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    before_the_event_is_over = [1.0, 2.0, 5.0, *[LONGEST_PAUSE_SEC] * 5, 2.0]  # a minute
    expected = [*before_the_event_is_over, *[RETRY_SEC[-1]] * 9]
    assert gaps == pytest.approx(expected[: len(gaps)], abs=0.11)
    assert len(gaps) >= len(RETRY_SEC)
    assert list(RETRY_SEC) == sorted(RETRY_SEC)


def test_only_what_is_not_back_is_written_again(house: House) -> None:
    send_event(house, 7.5, duration_sec=60.0)
    house.broken = {"heater1"}
    house.wait(60.0)
    known = len(house.written)
    house.wait(20.0)
    assert {write.circuit_id for write in house.written[known:]} == {"heater1"}


def test_a_restore_command_that_fails_at_first_is_acked_once(house: House) -> None:
    send_event(house)
    house.broken = {"heater1"}
    house.send("restore", correlationId="c2")
    assert house.statuses("c2") == ["failed"]
    assert "heater1" in house.last("failed")["reason"]
    house.broken = set()
    house.wait(10.0)
    assert house.replies_to("c2") == ["failed"]
    assert house.statuses("c1")[-1] == "completed"
    assert not house.opened()


def test_a_restore_that_said_nothing_but_is_seen_to_be_back_is_done(house: House) -> None:
    send_event(house, duration_sec=60.0)
    house.silent = {"heater1"}
    house.wait(60.0)
    assert house.engine.running is None
    assert house.statuses()[-1] == "completed"


def test_reports_about_another_event_or_at_another_time_change_nothing(house: House) -> None:
    send_event(house)
    engine, record = house.engine, house.journal["e1"]
    assert engine.prepared("e1", PreparedEffect(reading=house.read()), house.now) == []
    late = Reason(ReasonCode.NOT_ANSWERED, "late")
    assert engine.written("e1", {"heater1": late}, house.now) == []
    assert engine.restored("e1", {}, house.now) == []
    assert engine.prepared("other", PreparedEffect(reading=house.read()), house.now) == []
    assert house.journal["e1"] == record
    assert house.engine.running is not None
    assert house.engine.running.state is EventState.ACTIVE


def test_an_event_whose_writes_never_come_back_ends_at_its_end(house: House) -> None:
    """Whatever holds them up, the circuits it tried are put back."""
    send_event(house, duration_sec=60.0)
    assert house.opened()
    house.engine.running.to(EventState.SHEDDING)  # as if the confirmation were lost
    house.wait(60.0 + WORK_LIMIT_SEC - 1.0)
    assert house.engine.running is not None
    house.wait(2.0)
    assert house.opened() == set()
    assert house.engine.running is None


def test_an_event_that_is_never_prepared_ends_at_its_end_and_says_so(house: House) -> None:
    house.hold = True
    send_event(house, duration_sec=60.0)
    house.wait(61.0 + WORK_LIMIT_SEC)
    assert house.last("failed")["reason"] == "its end came before its writes were confirmed"
    assert house.engine.running is None
    house.hold = False
    house.work()  # the work that was held up does nothing any more
    assert house.written == []


def test_a_restore_that_was_confirmed_and_not_done_is_tried_again(house: House) -> None:
    before = house.setting
    send_event(house, 4.5, duration_sec=60.0)
    house.stuck = {"heater1"}
    house.wait(70.0)
    assert house.opened() == {"heater1"}
    assert ("restore.failed", "heater1") in house.alerts
    house.stuck = set()
    house.wait(30.0)
    assert house.setting == before
    assert house.engine.running is None


def test_a_release_that_was_confirmed_and_not_done_goes_back_with_the_event(
    house: House,
) -> None:
    before = house.setting
    send_event(house, 7.5)
    house.stuck = {"dryer1"}
    send_event(house, 4.5, modification=1, correlationId="m1")
    assert "dryer1" in house.opened()
    house.stuck = set()
    house.wait(700.0)
    assert house.setting == before
