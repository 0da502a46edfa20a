"""The event engine: what a scheduled event needs is done ahead of its start, and given back."""

from __future__ import annotations

from tests.dr.builders import NOW
from tests.dr.house import House, send_event
from VenAgent.dr.effects import PrepareEffect, SaveEventEffect, WriteEffect
from VenAgent.dr.event_preparation import PREPARE_AHEAD_SEC
from VenAgent.dr.event_work import WORK_LIMIT_SEC

START_TS = NOW + 60.0


def scheduled(house: House, **fields: object) -> None:
    send_event(house, 7.5, start_ts=START_TS, **fields)


def near(house: House) -> None:
    """A moment before the start, all prepared."""
    house.wait(START_TS - PREPARE_AHEAD_SEC + 1.0 - house.now)
    assert house.recorded("e1").task_id
    assert house.engine.holds, "the lease is kept meanwhile"
    assert house.written == []


def test_at_its_start_an_event_has_only_to_be_written(house: House) -> None:
    scheduled(house)
    near(house)
    effects = house.engine.tick(START_TS)
    assert [type(e) for e in effects if isinstance(e, (PrepareEffect, WriteEffect))] == [
        WriteEffect
    ]
    house.do(effects)
    assert house.opened() == {"heater1", "dryer1"}
    assert house.statuses()[:2] == ["scheduled", "accepted"]


def test_its_task_is_in_the_journal_before_it_is_reserved(house: House) -> None:
    scheduled(house)
    house.hold = True
    effects = house.engine.tick(START_TS - PREPARE_AHEAD_SEC)
    kinds = [type(e) for e in effects]
    assert kinds.index(SaveEventEffect) < kinds.index(PrepareEffect)
    saved = next(e for e in effects if isinstance(e, SaveEventEffect))
    task = next(e for e in effects if isinstance(e, PrepareEffect)).task_id
    assert saved.event.task_id == task


def test_whatever_takes_the_event_away_gives_back_what_was_prepared(house: House) -> None:
    ways = {
        "cancel": lambda h: h.send("cancel", event_id="e1", correlationId="x"),
        "later": lambda h: (
            scheduled(h, modification=1, correlationId="x", duration_sec=300.0, event_priority=1)
            or h.send("cancel", event_id="e1", correlationId="y")
        ),
        "opt out": lambda h: h.do(h.engine.opt_out("guests", None, h.now)),
        "stop": lambda h: h.do(h.engine.stop(h.now)),
        "clock": lambda h: h.do(h.engine.clock_stepped(-3_600.0, h.now)),
    }
    for name, way in ways.items():
        house = House()
        scheduled(house)
        near(house)
        task_id = house.recorded("e1").task_id
        way(house)
        assert task_id in house.released, name
        assert not house.engine.holds, name
        assert house.recorded("e1").task_id != task_id, name


def test_a_task_given_up_while_it_is_reserved_is_given_back_when_that_is_done(
    house: House,
) -> None:
    scheduled(house)
    house.hold = True
    house.wait(START_TS - PREPARE_AHEAD_SEC + 1.0 - house.now)
    task_id = house.recorded("e1").task_id
    house.send("cancel", event_id="e1", correlationId="x")
    house.hold = False
    house.work()
    assert house.released == [task_id, task_id], "the first may have come before the reservation"
    house.wait(120.0)
    assert house.written == []


def test_a_kill_leaves_nothing_prepared(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    house.restart()
    assert task_id in house.released
    house.wait(120.0)
    assert house.opened() == {"heater1", "dryer1"}
    assert house.statuses().count("accepted") == 1


def test_a_kill_with_the_event_cancelled_meanwhile_leaves_nothing(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    house.now = START_TS + 700.0
    house.restart()
    assert task_id in house.released
    assert not house.engine.holds
    assert house.written == []


def test_work_that_is_still_under_way_at_the_start_is_waited_for(house: House) -> None:
    scheduled(house)
    house.hold = True
    house.wait(START_TS + 1.0 - house.now)
    assert house.statuses() == ["scheduled"]
    house.hold = False
    house.work()
    assert house.statuses()[:2] == ["scheduled", "accepted"]
    assert house.opened() == {"heater1", "dryer1"}


def test_what_could_not_be_prepared_is_done_at_the_start(house: House) -> None:
    scheduled(house)
    house.refusal = "held by lighting"
    house.wait(START_TS - 1.0 - house.now)
    house.refusal = None
    house.wait(2.0)
    assert house.statuses()[:2] == ["scheduled", "accepted"]


def test_the_plan_is_made_from_the_newest_reading(house: House) -> None:
    """A person switched the heater off in the seconds between."""
    scheduled(house)
    near(house)
    house.closed["heater1"] = False
    house.do(house.engine.reading(house.read(), house.now))
    house.wait(START_TS + 0.1 - house.now)
    assert "heater1" not in {write.circuit_id for write in house.written}


def test_what_another_agent_took_meanwhile_is_reserved_again(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    house.do(house.engine.preempted(task_id, "lighting", house.now))
    house.wait(START_TS + 0.1 - house.now)
    assert house.recorded("e1").task_id not in ("", task_id)
    assert house.opened() == {"heater1", "dryer1"}


def test_another_event_that_begins_meanwhile_has_the_devices(house: House) -> None:
    scheduled(house)
    near(house)
    task_id = house.recorded("e1").task_id
    send_event(house, 3.0, event_id="now", correlationId="n1", duration_sec=2.0)
    assert house.replies_to("n1") == ["accepted"]
    assert task_id in house.released
    house.wait(WORK_LIMIT_SEC)
    assert house.replies_to("c1")[0] == "scheduled"
    assert "e1" in {a["event_id"] for a in house.acks if a["status"] == "accepted"}
