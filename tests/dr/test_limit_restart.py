"""Limits over restarts, kills, power cuts and orderly stops."""

from __future__ import annotations

import json

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House, Killed, send_event
from tests.dr.limited_house import live_under_import_limit, send_import_limit
from VenAgent.dr.policy import Policy
from VenAgent.storage.event_record import from_event_record


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_limit_survives_a_restart_and_a_power_cut(house: House, is_cut: bool) -> None:
    house.wait(60.0)
    send_import_limit(house)
    house.wait(60.0)
    if is_cut:
        house.now += 3_600.0
        house.go_back_by_themselves()
    house.restart()
    house.wait(30.0)
    assert house.power_kw <= 15.0
    live_under_import_limit(house, 300.0, since_sec=75.0)
    house.send("cancel", correlationId="x", event_id="limit")
    house.wait(60.0)
    assert not house.opened()
    assert house.limits["ev1"] == 100.0


def test_an_orderly_stop_puts_all_back_and_the_next_start_keeps_the_limit(house: House) -> None:
    house.wait(60.0)
    before = house.setting
    send_import_limit(house)
    house.wait(60.0)
    house.do(house.engine.stop(house.now))
    assert house.setting == before
    assert house.engine.running is None
    assert "completed" not in house.statuses("l1")
    house.restart()
    house.wait(30.0)
    assert house.power_kw <= 15.0


@pytest.mark.long
def test_killed_at_any_effect_the_limit_is_kept_and_acked_once() -> None:
    for effects in range(1, 40):
        house = House()
        house.wait(60.0)
        house.kill_after = effects
        try:
            send_import_limit(house)
            house.wait(30.0)
            send_event(house, 9.0)
            house.wait(30.0)
        except Killed:
            house.restart(work_was_done=bool(effects % 2))
        house.kill_after = None
        house.wait(60.0)
        if house.statuses("l1"):
            assert house.power_kw <= 15.0, effects
            assert house.replies_to("l1") == ["accepted"], effects


def test_a_record_of_before_the_kinds_is_read(house: House) -> None:
    send_event(house)
    record = json.loads(house.journal["e1"])
    for name in ("kind", "levels", "window_sec", "is_test", "start_delay_sec", "heartbeat_sec"):
        del record["request"][name]
    for name in ("level_starts", "failsafe_ts", "reference_kw", "over_limit_sec"):
        del record[name]
    event = from_event_record(record)
    assert (event.request.kind.value, event.wanted_kw, event.end_ts) == ("shed", 5.0, NOW + 600.0)


@pytest.mark.long
def test_a_reservation_of_a_limit_is_renewed_each_day() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0, rebound_sec=0.0))
    house.report_sec = 60.0
    house.wait(60.0)
    send_import_limit(house)
    first = house.engine.running.task_id if house.engine.running else ""
    house.wait(90_000.0)
    assert house.engine.running is not None
    assert house.engine.running.task_id not in ("", first)
    assert house.power_kw <= 15.0


def test_a_stop_while_a_limit_is_being_restored_finishes_that(house: House) -> None:
    """Found by the attack machine."""
    before = house.setting
    send_import_limit(house)
    house.wait(60.0)
    house.hold = True
    house.send("cancel", correlationId="x", event_id="limit")
    house.do(house.engine.stop(house.now))
    house.hold = False
    house.restart(work_was_done=True)
    house.wait(30.0)
    assert house.setting == before
    assert house.engine.running is None
