"""The event engine: people at the site, circuits switched by command, and the clock."""

from __future__ import annotations

import pytest

from tests.dr.builders import DRAWS_KW, NOW
from tests.dr.house import House, send_event
from VenAgent.dr.policy import Policy, StopPolicy


def opt_out(house: House, until_ts: float | None = None) -> None:
    house.do(house.engine.opt_out("baking today", until_ts, house.now))


# ---- opting out -------------------------------------------------------------------------------


def test_opting_out_ends_the_event_and_says_so(house: House) -> None:
    before = house.setting
    send_event(house)
    opt_out(house)
    assert house.setting == before
    assert house.statuses() == ["accepted", "measured", "opted_out", "completed"]
    assert house.last("opted_out")["reason"] == "opted out at the site: baking today"


def test_opting_out_while_it_begins_is_the_ack(house: House) -> None:
    house.hold = True
    send_event(house)
    opt_out(house)
    house.hold = False
    house.work()
    assert house.replies_to("c1") == ["opted_out"]
    assert not house.opened()


def test_opted_out_no_event_begins_also_after_a_restart(house: House) -> None:
    send_event(house, start_ts=NOW + 100.0, event_id="e0", correlationId="c0")
    opt_out(house)
    house.restart()
    (ack,) = send_event(house)
    assert (ack["status"], ack["ok"]) == ("opted_out", True)
    assert "baking today" in ack["reason"]
    house.wait(150.0)
    assert house.statuses("c0") == ["scheduled", "opted_out"]
    assert house.written == []
    house.do(house.engine.opt_in(house.now))
    assert send_event(house, event_id="e2", correlationId="c2")[0]["status"] == "accepted"


def test_opting_out_for_a_while_ends_by_itself(house: House) -> None:
    opt_out(house, NOW + 60.0)
    assert send_event(house)[0]["status"] == "opted_out"
    house.wait(61.0)
    assert house.engine.opted_out(house.now) is None
    assert send_event(house, event_id="e2", correlationId="c2")[0]["status"] == "accepted"


# ---- switched by command ----------------------------------------------------------------------


def test_a_circuit_is_switched_and_the_ack_follows_the_write(house: House) -> None:
    house.send("setLoad", loadId="dryer1", enabled=False, correlationId="s1")
    assert house.opened() == {"dryer1"}
    (ack,) = (ack for ack in house.acks if ack["correlationId"] == "s1")
    assert ack["status"] == "success"
    assert ack["data"] == {"loadId": "dryer1", "enabled": False}
    house.send("setLoad", loadId="dryer1", enabled=True, correlationId="s2")
    assert house.opened() == set()


def test_a_switch_that_fails_says_so(house: House) -> None:
    house.broken = {"dryer1"}
    house.send("setLoad", loadId="dryer1", enabled=False, correlationId="s1")
    assert house.replies_to("s1") == ["failed"]
    assert "no answer" in house.last("failed")["reason"]


@pytest.mark.parametrize("done", [False, True], ids=["not written", "written"])
def test_a_switch_survives_a_crash_and_is_acked_once(house: House, done: bool) -> None:
    house.hold = True
    house.send("setLoad", loadId="dryer1", enabled=False, correlationId="s1")
    house.hold = False
    house.restart(work_was_done=done)
    assert house.opened() == {"dryer1"}
    assert house.replies_to("s1") == ["success"]
    house.restart()
    assert house.replies_to("s1") == ["success"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"loadId": "pool1", "enabled": False}, "unknown circuit"),
        ({"loadId": "fridge1", "enabled": False}, "critical"),
        ({"loadId": "fridge1", "priority": 5}, "critical"),
        ({"loadId": "dryer1"}, "enabled or priority"),
        ({"loadId": "dryer1", "priority": 6}, "priority: must be"),
    ],
)
def test_what_cannot_be_set_is_refused(house: House, fields: dict, reason: str) -> None:
    (ack,) = house.send("setLoad", correlationId="s1", **fields)
    assert ack["status"] == "rejected"
    assert reason in ack["reason"]
    assert house.written == []


def test_a_circuit_switched_on_during_an_event_is_left_to_who_did_it(house: House) -> None:
    send_event(house, 4.5)
    house.send("setLoad", loadId="heater1", enabled=True, correlationId="s1")
    assert "heater1" not in house.opened()
    house.wait(30.0)
    assert "heater1" not in house.opened()
    heater = [w.value for w in house.written if w.circuit_id == "heater1"]
    house.send("restore", correlationId="r1")
    assert [w.value for w in house.written if w.circuit_id == "heater1"] == heater


def test_a_changed_priority_changes_who_is_shed_first_and_survives(house: House) -> None:
    (ack,) = house.send("setLoad", loadId="heater1", priority=2, correlationId="p1")
    assert ack["data"] == {"loadId": "heater1", "priority": 2}
    house.restart()
    send_event(house, 4.5)
    assert "heater1" not in house.opened()
    assert house.engine.panel.by_id["heater1"].priority == 2


def test_a_priority_changed_in_the_configuration_since_is_the_newer_word(house: House) -> None:
    house.send("setLoad", loadId="heater1", priority=2, correlationId="p1")
    engine = house.engine
    engine.reconfigure(house.panel, engine.ven_id)
    assert engine.panel.by_id["heater1"].priority == 2
    edited = house.panel.by_id["heater1"].__class__(
        **{**house.panel.by_id["heater1"].__dict__, "priority": 3}
    )
    circuits = tuple(edited if c.id == "heater1" else c for c in house.panel.circuits)
    engine.reconfigure(type(house.panel)(200.0, 240.0, circuits), engine.ven_id)
    assert engine.panel.by_id["heater1"].priority == 3


# ---- stopping, a lost journal ------------------------------------------------------


def test_a_site_that_resumes_leaves_the_event_to_the_next_start() -> None:
    house = House(policy=Policy(restore_stagger_sec=0.0, on_stop=StopPolicy.RESUME))
    send_event(house, 4.5)
    house.do(house.engine.stop(house.now))
    assert house.opened() == {"heater1"}
    house.restart()
    assert house.opened() == {"heater1"}
    house.wait(601.0)
    assert not house.opened()


def test_nothing_begins_any_more_once_the_agent_stops(house: House) -> None:
    send_event(house, 4.5)
    send_event(house, 3.0, event_id="e2", correlationId="c2")
    house.do(house.engine.stop(house.now))
    house.work()
    assert not house.opened()
    house.restart()
    assert house.opened() == {"dryer1"}, "the one that waited begins at the next start"


def test_with_the_journal_lost_whatever_reads_as_shed_is_brought_back(house: House) -> None:
    before = house.setting
    send_event(house, 15.0)
    house.journal.clear()
    house.remembered.clear()
    house.restart()
    assert house.setting != before
    house.do(house.engine.recover(house.read(), house.now))
    house.wait(10.0)
    assert house.setting == before
    assert house.engine.running is None
    assert house.engine.recover(house.read(), house.now) == []


def test_every_circuit_that_is_spared_has_its_reason(house: House) -> None:
    house.demand_kw["range1"] = 0.0
    house.closed["outlets1"] = False
    house.broken = {"dryer1"}
    send_event(house, 7.5)
    reasons = house.engine.reasons_spared(house.now)
    held = {c.circuit_id for c in house.engine.running.circuits if c.counts}
    assert set(reasons) == set(DRAWS_KW) - held
    codes = {circuit_id: reason.code.value for circuit_id, reason in reasons.items()}
    assert codes["fridge1"] == "critical"
    assert codes["outlets1"] == "switched_off"
    assert codes["range1"] == "draws_nothing"
    assert codes["dryer1"] == "write_failed"
    assert "no answer" in reasons["dryer1"].text
    assert codes["hvac1"] == "last_resort"
