"""EEBus LPC: what ends a failsafe, and when."""

from __future__ import annotations

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House
from tests.dr.lpc_sender import (
    beat_as_lpc_sender,
    enter_lpc_failsafe,
    lpc_state,
    send_lpc_limit,
)
from VenAgent.contract.commands import PingCommand
from VenAgent.dr.grid_limits import GridLimitState


def test_failsafe_is_left_by_a_heartbeat_and_a_following_limit(house: House) -> None:
    """LPC-916: at once where no minimum was given, and to the limit that was given."""
    enter_lpc_failsafe(house)
    house.send("ping", correlationId="p")
    send_lpc_limit(house, 9.0, correlationId="l2", modification=1)
    assert lpc_state(house) is GridLimitState.LIMITED
    assert house.replies_to("l2") == ["accepted"]
    beat_as_lpc_sender(house, 300.0)
    assert 4.2 < house.power_kw <= 9.0
    assert ("limit.failsafe", "limit") not in house.alerts


def test_the_same_limit_as_a_new_command_leaves_it_too(house: House) -> None:
    enter_lpc_failsafe(house)
    send_lpc_limit(house, correlationId="l2")
    assert "failsafe_left" in {a.get("reason_code") for a in house.acks}
    assert lpc_state(house) is GridLimitState.LIMITED
    beat_as_lpc_sender(house, 200.0)
    assert 4.2 < house.power_kw <= 15.0


def the_minimum_stands_and_then_the_new_limit_rules(house: House) -> None:
    """Of ten minutes, and of 9 kW."""
    beat_as_lpc_sender(house, 500.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2
    beat_as_lpc_sender(house, 300.0)
    assert lpc_state(house) is GridLimitState.LIMITED
    assert 4.2 < house.power_kw <= 9.0


def test_it_stays_for_its_minimum_though_a_new_limit_came(house: House) -> None:
    """LPC-TS-012, by our wire for any new limit; then the new one rules."""
    enter_lpc_failsafe(house, failsafe_min_sec=600.0)
    send_lpc_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.replies_to("l2") == ["accepted"]
    assert house.replies[-1]["reason_code"] == "failsafe"
    the_minimum_stands_and_then_the_new_limit_rules(house)


@pytest.mark.parametrize(
    "left_out",
    [
        {"failsafe_min_sec": None},
        {"failsafe_min_sec": 0.0},
        {"failsafe_min_sec": None, "failsafe_kw": None, "heartbeat_sec": None},
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_change_that_leaves_the_failsafe_out_does_not_shorten_the_one_that_rules(
    house: House, left_out: dict[str, float | None], restarts: bool
) -> None:
    """LPC-TS-012: what it was to last at least when it began stands."""
    enter_lpc_failsafe(house, failsafe_min_sec=600.0)
    changed = {"failsafe_kw": 4.2, "heartbeat_sec": 120.0, "correlationId": "l2"} | left_out
    known = {name: value for name, value in changed.items() if value is not None}
    house.send("limit", event_id="limit", import_kw=9.0, modification=1, **known)
    if restarts:
        house.restart()
    the_minimum_stands_and_then_the_new_limit_rules(house)


@pytest.mark.long
def test_a_sender_that_falls_silent_again_has_to_give_a_new_limit_again(house: House) -> None:
    """LPC-921: not by a heartbeat alone, with a limit as old as its silence."""
    for silent_sec in (130.0, 500.0, 10_800.0):
        house = enter_lpc_failsafe(House(), failsafe_min_sec=600.0)
        house.report_sec = 30.0
        fields = {"failsafe_min_sec": 600.0, "correlationId": "l2", "modification": 1}
        send_lpc_limit(house, 9.0, **fields)
        house.wait(silent_sec)
        house.report_sec = 5.0
        beat_as_lpc_sender(house, 700.0)
        assert lpc_state(house) is GridLimitState.FAILSAFE, silent_sec
        assert house.power_kw <= 4.2
        send_lpc_limit(house, 9.0, **{**fields, "correlationId": "l3"})
        house.wait(1.0)
        assert lpc_state(house) is GridLimitState.LIMITED


@pytest.mark.long
def test_a_silence_that_a_restart_hides_voids_the_new_limit_too(house: House) -> None:
    enter_lpc_failsafe(house, failsafe_min_sec=600.0)
    send_lpc_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    house.now += 900.0
    house.restart()
    house.send("ping", correlationId="p")
    house.wait(10.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    send_lpc_limit(house, 9.0, correlationId="l3", modification=2, failsafe_min_sec=3_600.0)
    house.now += 900.0  # and one that is heard before anybody looked at the clock
    ping = PingCommand(op="ping", correlation_id="q")
    house.do(house.engine.heard(ping, house.now))
    beat_as_lpc_sender(house, 3_600.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE


def test_a_limit_under_another_id_leaves_it_and_both_rule(house: House) -> None:
    enter_lpc_failsafe(house)
    send_lpc_limit(house, 12.0, event_id="second", correlationId="l2")
    assert lpc_state(house) is GridLimitState.LIMITED
    beat_as_lpc_sender(house, 300.0)
    assert 4.2 < house.power_kw <= 12.0


def test_its_senders_cancel_ends_it(house: House) -> None:
    before = house.setting
    enter_lpc_failsafe(house)
    house.send("cancel", event_id="limit", correlationId="x")
    house.wait(60.0)
    assert house.setting == before
    assert ("limit.failsafe", "limit") not in house.alerts
    assert house.replies_to("x") == ["success"]


@pytest.mark.parametrize("other_kw", [18.0, 3.0])
def test_its_alert_is_over_with_it_when_another_limit_rules_on(
    house: House, other_kw: float
) -> None:
    house.wait(60.0)
    house.send("limit", import_kw=other_kw, event_id="grid", correlationId="g1")
    send_lpc_limit(house)
    house.wait(125.0)
    assert ("limit.failsafe", "limit") in house.alerts
    house.send("cancel", event_id="limit", correlationId="x")
    house.wait(60.0)
    assert lpc_state(house) is GridLimitState.LIMITED
    assert ("limit.failsafe", "limit") not in house.alerts


def test_a_limit_whose_end_passed_in_failsafe_ends_when_it_is_left(house: House) -> None:
    enter_lpc_failsafe(house, duration_sec=300.0)
    house.wait(600.0)
    send_lpc_limit(house, 9.0, correlationId="l2", modification=1, duration_sec=300.0)
    beat_as_lpc_sender(house, 200.0)
    assert 4.2 < house.power_kw <= 9.0
    beat_as_lpc_sender(house, 120.0)
    assert house.engine.running is None
    assert not house.opened()


def test_a_clock_that_is_set_neither_begins_nor_ends_it(house: House) -> None:
    house.wait(60.0)
    send_lpc_limit(house, failsafe_min_sec=600.0)
    house.set_clock(3_600.0)
    house.wait(60.0)
    assert lpc_state(house) is GridLimitState.LIMITED
    house.wait(61.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    send_lpc_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    house.set_clock(-7_200.0)
    beat_as_lpc_sender(house, 500.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    beat_as_lpc_sender(house, 200.0)
    assert lpc_state(house) is GridLimitState.LIMITED
    assert house.now < NOW


def test_a_stricter_new_limit_rules_at_once_though_the_failsafe_has_to_last() -> None:
    """What is stricter is no way out of failsafe: the grid asks for it now."""
    house = House()
    house.wait(60.0)
    fields = {"failsafe_kw": 9.0, "heartbeat_sec": 60.0, "failsafe_min_sec": 3600.0}
    house.send("limit", event_id="lpc", correlationId="a", import_kw=15.0, **fields)
    house.wait(120.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    for number, (asked_kw, rules_kw) in enumerate(((6.0, 6.0), (12.0, 9.0), (20.0, 9.0))):
        house.send(
            "limit",
            event_id="lpc",
            correlationId=f"b{number}",
            modification=number + 1,
            import_kw=asked_kw,
            **fields,
        )
        house.wait(40.0)
        assert lpc_state(house) is GridLimitState.FAILSAFE
        assert house.engine.import_limit_kw(house.now) == rules_kw
        assert house.power_kw <= rules_kw
    house.wait(100.0)
    assert house.engine.import_limit_kw(house.now) == 9.0


def test_a_limit_with_levels_begins_them_anew_when_it_leaves_failsafe(house: House) -> None:
    intervals = [{"duration_sec": 100.0, "import_kw": kw} for kw in (18.0, 8.0, 15.0)]
    fields = {"intervals": intervals, "failsafe_kw": 6.0, "heartbeat_sec": 60.0}
    house.send("limit", event_id="lpc", correlationId="a", **fields)
    house.wait(600.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    house.send("limit", event_id="lpc", correlationId="b", **fields)
    for allowed_kw in (18.0, 8.0, 15.0):
        for _ in range(3):
            house.wait(30.0)
            house.send("ping", correlationId=f"p{house.now}")
            assert house.engine.import_limit_kw(house.now) == allowed_kw
        house.wait(10.0)
    house.wait(30.0)
    assert house.statuses()[-1] == "completed"
