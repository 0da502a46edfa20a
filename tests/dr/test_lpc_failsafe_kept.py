"""EEBus LPC: what does not end a failsafe, and what it outlasts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.house import House, send_event
from tests.dr.lpc_sender import (
    LPC,
    beat_as_lpc_sender,
    enter_lpc_failsafe,
    lpc_state,
    send_lpc_limit,
)
from tests.support.each_case import each_case
from VenAgent.contract.commands import PingCommand
from VenAgent.dr.effects import SaveEventEffect
from VenAgent.dr.event_limit import EventLimit
from VenAgent.dr.grid_limits import GridLimitState


def test_failsafe_is_not_left_by_a_heartbeat_alone(house: House) -> None:
    """LPC-921; elsewhere the house was unlimited between the heartbeat and the next limit."""
    enter_lpc_failsafe(house)
    beat_as_lpc_sender(house, 1_200.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2


@each_case("beside_a_shed", [False, True])
def test_failsafe_is_left_by_a_new_limit_that_has_none(beside_a_shed: bool) -> None:
    house = House()
    house.wait(60.0)
    send_lpc_limit(house)
    if beside_a_shed:
        send_event(house, 3.0)
    house.wait(150.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    house.send("limit", event_id="limit", import_kw=12.0, modification=1, correlationId="l2")
    house.wait(30.0)
    assert "accepted" in house.replies_to("l2")
    accepted = next(ack for ack in house.acks if ack["correlationId"] == "l2")
    assert accepted["import_kw"] == 12.0
    assert lpc_state(house) is GridLimitState.LIMITED
    assert house.engine.import_limit_kw(house.now) == 12.0


@pytest.mark.long
def test_failsafe_does_not_lapse(house: House) -> None:
    """What is not known is never unlimited, however long it is not known."""
    enter_lpc_failsafe(house, failsafe_min_sec=600.0)
    house.report_sec = 60.0
    house.wait(90_000.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2


def test_failsafe_outlasts_the_limits_own_end(house: House) -> None:
    enter_lpc_failsafe(house, duration_sec=300.0)
    house.wait(900.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2
    assert house.engine.running is not None


@pytest.mark.parametrize("down_sec", [1.0, 30.0, 7_200.0])
def test_failsafe_survives_restarts_and_power_cuts(house: House, down_sec: float) -> None:
    """Elsewhere a restart was the way out of it."""
    enter_lpc_failsafe(house)
    house.now += down_sec
    house.restart()
    house.wait(30.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2


def test_a_sender_not_heard_while_the_agent_was_down_is_failsafe_at_the_start(
    house: House,
) -> None:
    house.wait(60.0)
    send_lpc_limit(house)
    beat_as_lpc_sender(house, 100.0)
    house.now += 300.0
    house.restart()
    house.wait(1.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE


def test_an_earlier_heartbeat_is_known_after_a_restart(house: House) -> None:
    house.wait(60.0)
    send_lpc_limit(house)
    beat_as_lpc_sender(house, 600.0)
    house.restart()
    house.wait(20.0)
    assert lpc_state(house) is GridLimitState.LIMITED


def test_the_same_delivery_again_is_no_new_limit(house: House) -> None:
    enter_lpc_failsafe(house)
    send_lpc_limit(house)  # the broker's, under the same correlationId
    house.wait(30.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE


def test_a_refused_limit_is_no_new_limit(house: House) -> None:
    enter_lpc_failsafe(house)
    (ack,) = send_lpc_limit(house, 9.0, correlationId="l2")
    assert ack["status"] == "rejected"
    house.wait(30.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE


@pytest.mark.long
@pytest.mark.parametrize("step_sec", [0.0, 3_600.0, -7_200.0])
def test_its_minimum_counts_on_over_a_restart_and_a_clock_that_was_set(
    house: House, step_sec: float
) -> None:
    """Neither a restart nor the clock is a way out of it, nor makes it longer."""
    enter_lpc_failsafe(house, failsafe_min_sec=600.0)
    house.set_clock(step_sec)
    house.now += 100.0
    house.restart()
    house.wait(1.0)
    send_lpc_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    beat_as_lpc_sender(house, 470.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.engine.import_limit_kw(house.now) == 4.2
    beat_as_lpc_sender(house, 60.0)
    assert lpc_state(house) is GridLimitState.LIMITED
    assert house.engine.import_limit_kw(house.now) == 9.0


def test_a_clock_that_the_power_cut_set_back_does_not_end_it(house: House) -> None:
    enter_lpc_failsafe(house, failsafe_min_sec=600.0)
    house.now -= 7_200.0
    house.restart()
    send_lpc_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    beat_as_lpc_sender(house, 560.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    beat_as_lpc_sender(house, 120.0)
    assert lpc_state(house) is GridLimitState.LIMITED


def test_a_failsafe_above_the_limit_rules_as_it_was_given(house: House) -> None:
    """What the sender wants of a site that does not hear it is the sender's to say."""
    house.wait(60.0)
    send_lpc_limit(house, 5.0, failsafe_kw=9.0)
    house.wait(100.0)
    assert house.power_kw <= 5.0
    house.wait(300.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert 5.0 < house.power_kw <= 9.0


def test_a_limit_that_ends_as_its_sender_would_be_missed_is_over(house: House) -> None:
    """It was to end then in any case: failsafe is for a limit that still rules."""
    house.wait(60.0)
    send_lpc_limit(house, duration_sec=LPC["heartbeat_sec"])
    house.wait(200.0)
    assert house.engine.running is None
    assert lpc_state(house) is not GridLimitState.FAILSAFE
    assert not house.opened()


def test_heartbeats_are_written_down_a_few_times_in_their_time_only(house: House) -> None:
    """Each is a write to the disk; a restart takes the sender for silent too early at most by what
    was not written."""
    send_lpc_limit(house)
    saved = 0
    for number in range(120):
        house.wait(5.0)
        ping = PingCommand(op="ping", correlation_id=f"p{number}")
        effects = house.engine.heard(ping, house.now)
        saved += sum(isinstance(each, SaveEventEffect) for each in effects)
        house.do(effects)
    assert saved == 20, "one each quarter of 120 s, in 600 s"


def test_what_is_known_of_a_limit_moves_with_the_clock_and_ends_with_its_failsafe() -> None:
    known = EventLimit(heartbeat_ts=10.0, failsafe_ts=20.0, new_limit_ts=30.0)
    moved = known.shifted(-5.0)
    assert (moved.heartbeat_ts, moved.failsafe_ts, moved.new_limit_ts) == (5.0, 15.0, 25.0)
    assert EventLimit().shifted(-5.0) == EventLimit()
    again = known.in_failsafe(40.0, failsafe_kw=4.2, least_sec=600.0)
    assert (again.failsafe_kw, again.failsafe_least_sec) == (4.2, 600.0)
    assert again.out_of_failsafe().failsafe_kw is None
    assert (again.failsafe_ts, again.new_limit_ts) == (40.0, None), "a limit of before counts not"
    left = known.out_of_failsafe()
    assert (left.failsafe_ts, left.new_limit_ts, left.heartbeat_ts) == (None, None, 10.0)
    assert known.without_new_limit() == replace(known, new_limit_ts=None)
