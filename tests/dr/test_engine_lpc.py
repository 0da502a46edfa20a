"""The event engine as the controllable system of EEBus LPC: heartbeats, limits, failsafe.

Named after the states and rules of the high-level test specification (LPC-916, LPC-921,
LPC-TS-012); some are what other systems got wrong in the field.
"""

from __future__ import annotations

import json

import pytest

from tests.dr.house import House, send_event
from tests.dr.lpc_sender import (
    beat_as_lpc_sender,
    lpc_state,
    send_lpc_limit,
)
from tests.support.each_case import each_case
from VenAgent.contract.commands import Command, LimitCommand, PingCommand, RestoreCommand
from VenAgent.dr.grid_limits import GridLimitState
from VenAgent.storage.event_record import from_event_record

# ---- unlimited, limited --------------------------------------------------------------------------


def test_unlimited_autonomous_until_a_sender_is_heard_then_controlled(house: House) -> None:
    assert lpc_state(house) is GridLimitState.UNLIMITED_AUTONOMOUS
    house.send("ping", correlationId="p")
    assert lpc_state(house) is GridLimitState.UNLIMITED_CONTROLLED
    house.wait(121.0)
    assert lpc_state(house) is GridLimitState.UNLIMITED_AUTONOMOUS


@pytest.mark.long
def test_limited_while_the_heartbeat_comes(house: House) -> None:
    send_lpc_limit(house)
    beat_as_lpc_sender(house, 3_600.0)
    assert lpc_state(house) is GridLimitState.LIMITED
    assert 4.2 < house.power_kw <= 15.0
    assert "limit.failsafe" not in house.alerted


@pytest.mark.long
@pytest.mark.parametrize("op", ["ping", "event", "restore", "limit", "same"])
def test_any_command_is_a_heartbeat(house: House, op: str) -> None:
    send_lpc_limit(house)
    for number in range(4):
        house.wait(100.0)
        named = {"correlationId": f"h{number}"}
        if op == "same":  # the limit again, as a broker delivers it
            send_lpc_limit(house)
        elif op == "limit":
            send_lpc_limit(house, **named)
        elif op == "event":
            send_event(house, 0.5, event_id=f"e{number}", duration_sec=10.0, **named)
        else:
            house.send(op, **named, **({"event_id": "none"} if op == "restore" else {}))
    assert lpc_state(house) is GridLimitState.LIMITED
    house.wait(121.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE


def test_a_command_of_the_site_itself_is_none(house: House) -> None:
    send_lpc_limit(house)
    house.wait(100.0)
    ping = PingCommand(op="ping", correlation_id="page-1")
    house.do(house.engine.command(ping, house.now, from_sender=False))
    house.wait(25.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE


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
    send_lpc_limit(house)
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
    send_lpc_limit(house)
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
    send_lpc_limit(house)
    house.wait(100.0)
    house.send("ping", correlationId="p", issued_ts=house.now - 90.0)
    house.wait(31.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE


@pytest.mark.long
def test_without_a_heartbeat_time_no_failsafe_is_watched(house: House) -> None:
    house.send("limit", import_kw=15.0, event_id="limit", correlationId="l1")
    house.wait(7_200.0)
    assert lpc_state(house) is GridLimitState.LIMITED


# ---- failsafe: entered ---------------------------------------------------------------------------


def test_failsafe_begins_to_the_second_and_is_kept_acked_and_alerted(house: House) -> None:
    house.wait(60.0)
    send_lpc_limit(house)
    house.wait(119.0)
    assert lpc_state(house) is GridLimitState.LIMITED
    house.wait(2.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    ack = house.last("adjusted")
    house.wait(20.0)
    assert house.power_kw <= 4.2
    assert ("limit.failsafe", "limit") in house.alerts
    failsafe = next(a for a in house.acks if a.get("reason_code") == "failsafe")
    assert (failsafe["import_kw"], failsafe["limit_state"]) == (4.2, "failsafe")
    assert ack["event_id"] == "limit"


def test_failsafe_rules_beside_a_shed_that_runs(house: House) -> None:
    house.wait(120.0)
    send_lpc_limit(house)
    send_event(house, 3.0)
    house.wait(150.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
    assert house.power_kw <= 4.2
    house.wait(600.0)
    assert house.power_kw <= 4.2


def test_failsafe_without_a_reading_begins_all_the_same(house: House) -> None:
    house.wait(60.0)
    send_lpc_limit(house)
    house.meter_works = False
    house.wait(130.0)
    assert lpc_state(house) is GridLimitState.FAILSAFE
