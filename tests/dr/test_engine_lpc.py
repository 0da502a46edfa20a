"""The event engine as the controllable system of EEBus LPC: heartbeats, failsafe, and back.

Named after the states and rules of the high-level test specification (LPC-916, LPC-921,
LPC-TS-012); some are what other systems got wrong in the field.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.dr.builders import NOW
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.contract.commands import Command, LimitCommand, PingCommand, RestoreCommand
from VenAgent.dr.effects import SaveEventEffect
from VenAgent.dr.event_limit import EventLimit
from VenAgent.dr.grid_limits import GridLimitState
from VenAgent.storage.event_record import from_event_record

LPC = {"failsafe_kw": 4.2, "heartbeat_sec": 120.0}


def send_limit(house: House, import_kw: float = 15.0, **fields: object) -> list:
    known = {"correlationId": "l1", "event_id": "limit", **LPC}
    return house.send("limit", import_kw=import_kw, **{**known, **fields})


def state(house: House) -> GridLimitState:
    return house.engine.site.limits.state(house.now)


def beat(house: House, seconds: float, every_sec: float = 60.0) -> None:
    """The sender's heartbeat, and its time."""
    end = house.now + seconds
    while house.now < end:
        house.send("ping", correlationId=f"p{house.now:.0f}")
        house.wait(min(every_sec, end - house.now))


def in_failsafe(house: House, **fields: object) -> House:
    house.wait(60.0)
    send_limit(house, **fields)
    house.wait(125.0)
    assert state(house) is GridLimitState.FAILSAFE
    return house


# ---- unlimited, limited --------------------------------------------------------------------------


def test_unlimited_autonomous_until_a_sender_is_heard_then_controlled(house: House) -> None:
    assert state(house) is GridLimitState.UNLIMITED_AUTONOMOUS
    house.send("ping", correlationId="p")
    assert state(house) is GridLimitState.UNLIMITED_CONTROLLED
    house.wait(121.0)
    assert state(house) is GridLimitState.UNLIMITED_AUTONOMOUS


@pytest.mark.long
def test_limited_while_the_heartbeat_comes(house: House) -> None:
    send_limit(house)
    beat(house, 3_600.0)
    assert state(house) is GridLimitState.LIMITED
    assert 4.2 < house.power_kw <= 15.0
    assert "limit.failsafe" not in house.alerted


@pytest.mark.long
@pytest.mark.parametrize("op", ["ping", "event", "restore", "limit", "same"])
def test_any_command_is_a_heartbeat(house: House, op: str) -> None:
    send_limit(house)
    for number in range(4):
        house.wait(100.0)
        named = {"correlationId": f"h{number}"}
        if op == "same":  # the limit again, as a broker delivers it
            send_limit(house)
        elif op == "limit":
            send_limit(house, **named)
        elif op == "event":
            send_event(house, 0.5, event_id=f"e{number}", duration_sec=10.0, **named)
        else:
            house.send(op, **named, **({"event_id": "none"} if op == "restore" else {}))
    assert state(house) is GridLimitState.LIMITED
    house.wait(121.0)
    assert state(house) is GridLimitState.FAILSAFE


def test_a_command_of_the_site_itself_is_none(house: House) -> None:
    send_limit(house)
    house.wait(100.0)
    ping = PingCommand(op="ping", correlation_id="page-1")
    house.do(house.engine.command(ping, house.now, from_sender=False))
    house.wait(25.0)
    assert state(house) is GridLimitState.FAILSAFE


@each_case("restarted", [False, True])
def test_a_limit_of_the_site_itself_is_changed_and_ended_there(restarted: bool) -> None:
    house = House()

    def at_the_site(command: Command) -> str:
        house.do(house.engine.command(command, house.now, from_sender=False))
        acks = [ack for ack in house.acks if ack["correlationId"] == command.correlation_id]
        return str(acks[-1].get("reason_code") or acks[-1]["status"])

    def limit(import_kw: float, modification: int = 0) -> str:
        fields = {"event_id": "limit", "import_kw": import_kw, "modification": modification}
        correlation_id = f"rpc-{len(house.acks)}"
        return at_the_site(LimitCommand(op="limit", correlation_id=correlation_id, **fields))

    limit(15.0)
    house.wait(10.0)
    if restarted:
        house.restart()
    limit(14.0, 1)
    house.wait(10.0)
    assert house.engine.running is not None
    assert house.engine.running.limit_terms.import_kw == 14.0
    at_the_site(RestoreCommand(op="restore", correlation_id="rpc-end", event_id="limit"))
    house.wait(60.0)
    assert house.engine.running is None
    house.send("limit", event_id="limit", correlationId="c", import_kw=15.0, modification=2)
    house.wait(10.0)
    assert limit(40.0, 3) == "only_its_sender"


def test_nobody_at_the_site_ends_a_limit(house: House) -> None:
    send_limit(house)
    house.wait(10.0)

    def at_the_site(event_id: str | None) -> str:
        correlation_id = f"page-{len(house.acks)}"
        command = RestoreCommand(op="restore", correlation_id=correlation_id, event_id=event_id)
        house.do(house.engine.command(command, house.now, from_sender=False))
        acks = [ack for ack in house.acks if ack["correlationId"] == correlation_id]
        return str(acks[-1].get("reason_code"))

    assert at_the_site(None) == at_the_site("limit") == "only_its_sender"
    send_event(house, 2.0, event_id="shed", correlationId="s1")
    assert at_the_site("limit") == "only_its_sender"  # it is kept beside
    assert at_the_site(None) == "None"  # the shed
    house.wait(60.0)
    assert house.engine.running is not None
    assert house.engine.running.event_id == "limit"
    house.send("restore", event_id="limit", correlationId="r")
    assert house.replies_to("r") == ["success"]
    assert not house.opened()


def test_a_limit_that_is_ended_beside_a_shed_has_who_ended_it_in_its_record(house: House) -> None:
    send_limit(house)
    house.wait(10.0)
    send_event(house, 2.0, event_id="shed", correlationId="s1")
    house.send("cancel", event_id="limit", correlationId="x")
    assert house.replies_to("x") == ["success"]
    record = from_event_record(json.loads(house.journal["limit"]))
    assert record.ended_by is not None
    assert (record.ended_by.op, record.ended_by.correlation_id) == ("cancel", "x")
    assert record.end_reason is not None
    assert record.end_reason.code.value == "ended_by_command"


def test_a_ping_that_waited_in_the_brokers_queue_is_a_sign_of_when_it_was_sent(
    house: House,
) -> None:
    send_limit(house)
    house.wait(100.0)
    house.send("ping", correlationId="p", issued_ts=house.now - 90.0)
    house.wait(31.0)
    assert state(house) is GridLimitState.FAILSAFE


@pytest.mark.long
def test_without_a_heartbeat_time_no_failsafe_is_watched(house: House) -> None:
    house.send("limit", import_kw=15.0, event_id="limit", correlationId="l1")
    house.wait(7_200.0)
    assert state(house) is GridLimitState.LIMITED


# ---- failsafe: entered ---------------------------------------------------------------------------


def test_failsafe_begins_to_the_second_and_is_kept_acked_and_alerted(house: House) -> None:
    house.wait(60.0)
    send_limit(house)
    house.wait(119.0)
    assert state(house) is GridLimitState.LIMITED
    house.wait(2.0)
    assert state(house) is GridLimitState.FAILSAFE
    ack = house.last("adjusted")
    house.wait(20.0)
    assert house.power_kw <= 4.2
    assert ("limit.failsafe", "limit") in house.alerts
    failsafe = next(a for a in house.acks if a.get("reason_code") == "failsafe")
    assert (failsafe["import_kw"], failsafe["limit_state"]) == (4.2, "failsafe")
    assert ack["event_id"] == "limit"


def test_failsafe_rules_beside_a_shed_that_runs(house: House) -> None:
    house.wait(120.0)
    send_limit(house)
    send_event(house, 3.0)
    house.wait(150.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2
    house.wait(600.0)
    assert house.power_kw <= 4.2


def test_failsafe_without_a_reading_begins_all_the_same(house: House) -> None:
    house.wait(60.0)
    send_limit(house)
    house.meter_works = False
    house.wait(130.0)
    assert state(house) is GridLimitState.FAILSAFE


# ---- failsafe: not left --------------------------------------------------------------------------


def test_failsafe_is_not_left_by_a_heartbeat_alone(house: House) -> None:
    """LPC-921; elsewhere the house was unlimited between the heartbeat and the next limit."""
    in_failsafe(house)
    beat(house, 1_200.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2


@each_case("beside_a_shed", [False, True])
def test_failsafe_is_left_by_a_new_limit_that_has_none(beside_a_shed: bool) -> None:
    house = House()
    house.wait(60.0)
    send_limit(house)
    if beside_a_shed:
        send_event(house, 3.0)
    house.wait(150.0)
    assert state(house) is GridLimitState.FAILSAFE
    house.send("limit", event_id="limit", import_kw=12.0, modification=1, correlationId="l2")
    house.wait(30.0)
    assert "accepted" in house.replies_to("l2")
    accepted = next(ack for ack in house.acks if ack["correlationId"] == "l2")
    assert accepted["import_kw"] == 12.0
    assert state(house) is GridLimitState.LIMITED
    assert house.engine.import_limit_kw(house.now) == 12.0


@pytest.mark.long
def test_failsafe_does_not_lapse(house: House) -> None:
    """What is not known is never unlimited, however long it is not known."""
    in_failsafe(house, failsafe_min_sec=600.0)
    house.report_sec = 60.0
    house.wait(90_000.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2


def test_failsafe_outlasts_the_limits_own_end(house: House) -> None:
    in_failsafe(house, duration_sec=300.0)
    house.wait(900.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2
    assert house.engine.running is not None


@pytest.mark.parametrize("down_sec", [1.0, 30.0, 7_200.0])
def test_failsafe_survives_restarts_and_power_cuts(house: House, down_sec: float) -> None:
    """Elsewhere a restart was the way out of it."""
    in_failsafe(house)
    house.now += down_sec
    house.restart()
    house.wait(30.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2


def test_a_sender_not_heard_while_the_agent_was_down_is_failsafe_at_the_start(
    house: House,
) -> None:
    house.wait(60.0)
    send_limit(house)
    beat(house, 100.0)
    house.now += 300.0
    house.restart()
    house.wait(1.0)
    assert state(house) is GridLimitState.FAILSAFE


def test_an_earlier_heartbeat_is_known_after_a_restart(house: House) -> None:
    house.wait(60.0)
    send_limit(house)
    beat(house, 600.0)
    house.restart()
    house.wait(20.0)
    assert state(house) is GridLimitState.LIMITED


def test_the_same_delivery_again_is_no_new_limit(house: House) -> None:
    in_failsafe(house)
    send_limit(house)  # the broker's, under the same correlationId
    house.wait(30.0)
    assert state(house) is GridLimitState.FAILSAFE


def test_a_refused_limit_is_no_new_limit(house: House) -> None:
    in_failsafe(house)
    (ack,) = send_limit(house, 9.0, correlationId="l2")
    assert ack["status"] == "rejected"
    house.wait(30.0)
    assert state(house) is GridLimitState.FAILSAFE


# ---- failsafe: left ------------------------------------------------------------------------------


def test_failsafe_is_left_by_a_heartbeat_and_a_following_limit(house: House) -> None:
    """LPC-916: at once where no minimum was given, and to the limit that was given."""
    in_failsafe(house)
    house.send("ping", correlationId="p")
    send_limit(house, 9.0, correlationId="l2", modification=1)
    assert state(house) is GridLimitState.LIMITED
    assert house.replies_to("l2") == ["accepted"]
    beat(house, 300.0)
    assert 4.2 < house.power_kw <= 9.0
    assert ("limit.failsafe", "limit") not in house.alerts


def test_the_same_limit_as_a_new_command_leaves_it_too(house: House) -> None:
    in_failsafe(house)
    send_limit(house, correlationId="l2")
    assert "failsafe_left" in {a.get("reason_code") for a in house.acks}
    assert state(house) is GridLimitState.LIMITED
    beat(house, 200.0)
    assert 4.2 < house.power_kw <= 15.0


def test_it_stays_for_its_minimum_though_a_new_limit_came(house: House) -> None:
    """LPC-TS-012, by our wire for any new limit; then the new one rules."""
    in_failsafe(house, failsafe_min_sec=600.0)
    send_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.replies_to("l2") == ["accepted"]
    assert house.replies[-1]["reason_code"] == "failsafe"
    beat(house, 500.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2
    beat(house, 300.0)
    assert state(house) is GridLimitState.LIMITED
    assert 4.2 < house.power_kw <= 9.0


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
    in_failsafe(house, failsafe_min_sec=600.0)
    changed = {"failsafe_kw": 4.2, "heartbeat_sec": 120.0, "correlationId": "l2"} | left_out
    known = {name: value for name, value in changed.items() if value is not None}
    house.send("limit", event_id="limit", import_kw=9.0, modification=1, **known)
    if restarts:
        house.restart()
    beat(house, 500.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2
    beat(house, 300.0)
    assert state(house) is GridLimitState.LIMITED
    assert 4.2 < house.power_kw <= 9.0


@pytest.mark.long
def test_a_sender_that_falls_silent_again_has_to_give_a_new_limit_again(house: House) -> None:
    """LPC-921: not by a heartbeat alone, with a limit as old as its silence."""
    for silent_sec in (130.0, 500.0, 10_800.0):
        house = in_failsafe(House(), failsafe_min_sec=600.0)
        house.report_sec = 30.0
        fields = {"failsafe_min_sec": 600.0, "correlationId": "l2", "modification": 1}
        send_limit(house, 9.0, **fields)
        house.wait(silent_sec)
        house.report_sec = 5.0
        beat(house, 700.0)
        assert state(house) is GridLimitState.FAILSAFE, silent_sec
        assert house.power_kw <= 4.2
        send_limit(house, 9.0, **{**fields, "correlationId": "l3"})
        house.wait(1.0)
        assert state(house) is GridLimitState.LIMITED


@pytest.mark.long
def test_a_silence_that_a_restart_hides_voids_the_new_limit_too(house: House) -> None:
    in_failsafe(house, failsafe_min_sec=600.0)
    send_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    house.now += 900.0
    house.restart()
    house.send("ping", correlationId="p")
    house.wait(10.0)
    assert state(house) is GridLimitState.FAILSAFE
    send_limit(house, 9.0, correlationId="l3", modification=2, failsafe_min_sec=3_600.0)
    house.now += 900.0  # and one that is heard before anybody looked at the clock
    ping = PingCommand(op="ping", correlation_id="q")
    house.do(house.engine.heard(ping, house.now))
    beat(house, 3_600.0)
    assert state(house) is GridLimitState.FAILSAFE


def test_a_limit_under_another_id_leaves_it_and_both_rule(house: House) -> None:
    in_failsafe(house)
    send_limit(house, 12.0, event_id="second", correlationId="l2")
    assert state(house) is GridLimitState.LIMITED
    beat(house, 300.0)
    assert 4.2 < house.power_kw <= 12.0


def test_its_senders_cancel_ends_it(house: House) -> None:
    before = house.setting
    in_failsafe(house)
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
    send_limit(house)
    house.wait(125.0)
    assert ("limit.failsafe", "limit") in house.alerts
    house.send("cancel", event_id="limit", correlationId="x")
    house.wait(60.0)
    assert state(house) is GridLimitState.LIMITED
    assert ("limit.failsafe", "limit") not in house.alerts


def test_a_limit_whose_end_passed_in_failsafe_ends_when_it_is_left(house: House) -> None:
    in_failsafe(house, duration_sec=300.0)
    house.wait(600.0)
    send_limit(house, 9.0, correlationId="l2", modification=1, duration_sec=300.0)
    beat(house, 200.0)
    assert 4.2 < house.power_kw <= 9.0
    beat(house, 120.0)
    assert house.engine.running is None
    assert not house.opened()


def test_a_clock_that_is_set_neither_begins_nor_ends_it(house: House) -> None:
    house.wait(60.0)
    send_limit(house, failsafe_min_sec=600.0)
    house.set_clock(3_600.0)
    house.wait(60.0)
    assert state(house) is GridLimitState.LIMITED
    house.wait(61.0)
    assert state(house) is GridLimitState.FAILSAFE
    send_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    house.set_clock(-7_200.0)
    beat(house, 500.0)
    assert state(house) is GridLimitState.FAILSAFE
    beat(house, 200.0)
    assert state(house) is GridLimitState.LIMITED
    assert house.now < NOW


def test_a_stricter_new_limit_rules_at_once_though_the_failsafe_has_to_last() -> None:
    """What is stricter is no way out of failsafe: the grid asks for it now."""
    house = House()
    house.wait(60.0)
    fields = {"failsafe_kw": 9.0, "heartbeat_sec": 60.0, "failsafe_min_sec": 3600.0}
    house.send("limit", event_id="lpc", correlationId="a", import_kw=15.0, **fields)
    house.wait(120.0)
    assert state(house) is GridLimitState.FAILSAFE
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
        assert state(house) is GridLimitState.FAILSAFE
        assert house.engine.import_limit_kw(house.now) == rules_kw
        assert house.power_kw <= rules_kw
    house.wait(100.0)
    assert house.engine.import_limit_kw(house.now) == 9.0


def test_a_limit_with_levels_begins_them_anew_when_it_leaves_failsafe(house: House) -> None:
    intervals = [{"duration_sec": 100.0, "import_kw": kw} for kw in (18.0, 8.0, 15.0)]
    fields = {"intervals": intervals, "failsafe_kw": 6.0, "heartbeat_sec": 60.0}
    house.send("limit", event_id="lpc", correlationId="a", **fields)
    house.wait(600.0)
    assert state(house) is GridLimitState.FAILSAFE
    house.send("limit", event_id="lpc", correlationId="b", **fields)
    for allowed_kw in (18.0, 8.0, 15.0):
        for _ in range(3):
            house.wait(30.0)
            house.send("ping", correlationId=f"p{house.now}")
            assert house.engine.import_limit_kw(house.now) == allowed_kw
        house.wait(10.0)
    house.wait(30.0)
    assert house.statuses()[-1] == "completed"


@pytest.mark.long
@pytest.mark.parametrize("step_sec", [0.0, 3_600.0, -7_200.0])
def test_its_minimum_counts_on_over_a_restart_and_a_clock_that_was_set(
    house: House, step_sec: float
) -> None:
    """Neither a restart nor the clock is a way out of it, nor makes it longer."""
    in_failsafe(house, failsafe_min_sec=600.0)
    house.set_clock(step_sec)
    house.now += 100.0
    house.restart()
    house.wait(1.0)
    send_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    beat(house, 470.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert house.engine.import_limit_kw(house.now) == 4.2
    beat(house, 60.0)
    assert state(house) is GridLimitState.LIMITED
    assert house.engine.import_limit_kw(house.now) == 9.0


def test_a_clock_that_the_power_cut_set_back_does_not_end_it(house: House) -> None:
    in_failsafe(house, failsafe_min_sec=600.0)
    house.now -= 7_200.0
    house.restart()
    send_limit(house, 9.0, correlationId="l2", modification=1, failsafe_min_sec=600.0)
    beat(house, 560.0)
    assert state(house) is GridLimitState.FAILSAFE
    beat(house, 120.0)
    assert state(house) is GridLimitState.LIMITED


def test_a_failsafe_above_the_limit_rules_as_it_was_given(house: House) -> None:
    """What the sender wants of a site that does not hear it is the sender's to say."""
    house.wait(60.0)
    send_limit(house, 5.0, failsafe_kw=9.0)
    house.wait(100.0)
    assert house.power_kw <= 5.0
    house.wait(300.0)
    assert state(house) is GridLimitState.FAILSAFE
    assert 5.0 < house.power_kw <= 9.0


def test_a_limit_that_ends_as_its_sender_would_be_missed_is_over(house: House) -> None:
    """It was to end then in any case: failsafe is for a limit that still rules."""
    house.wait(60.0)
    send_limit(house, duration_sec=LPC["heartbeat_sec"])
    house.wait(200.0)
    assert house.engine.running is None
    assert state(house) is not GridLimitState.FAILSAFE
    assert not house.opened()


def test_heartbeats_are_written_down_a_few_times_in_their_time_only(house: House) -> None:
    """Each is a write to the disk; a restart takes the sender for silent too early at most by what
    was not written."""
    send_limit(house)
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
