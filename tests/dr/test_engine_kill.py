"""Wherever the process dies, nothing stays shed and every command is acked once."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.dr.builders import DRAWS_KW, NOW
from tests.dr.house import House
from tests.support.each_case import each_case
from VenAgent.dr.policy import Policy


def a_whole_event(house: House) -> None:
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5, duration_sec=60.0)
    house.wait(100.0)


def an_event_with_failures(house: House) -> None:
    house.silent = {"heater1"}
    house.send("event", event_id="e1", correlationId="c1", shed_kw=7.5, duration_sec=60.0)
    house.silent = {"dryer1", "range1"}
    house.wait(100.0)


def an_event_of_which_nothing_is_confirmed(house: House) -> None:
    house.silent = set(DRAWS_KW)
    house.send("event", event_id="e1", correlationId="c1", shed_kw=3.0, duration_sec=60.0)


def a_refused_reservation(house: House) -> None:
    house.refusal = "held by another agent"
    house.send("event", event_id="e1", correlationId="c1", shed_kw=3.0, duration_sec=60.0)


def a_restore_by_command(house: House) -> None:
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5, duration_sec=120.0)
    house.wait(10.0)
    house.send("restore", correlationId="c2")


def a_restore_that_fails_at_first(house: House) -> None:
    house.send("event", event_id="e1", correlationId="c1", shed_kw=3.0, duration_sec=120.0)
    house.broken = {"dryer1"}
    house.send("restore", correlationId="c2")
    house.wait(0.5)
    house.broken = set()
    house.wait(10.0)


def a_restore_while_it_begins(house: House) -> None:
    house.hold = True
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5, duration_sec=120.0)
    house.work(1)
    house.send("restore", correlationId="c2")
    house.hold = False
    house.work()


def a_scheduled_event(house: House) -> None:
    house.send(
        "event", event_id="e1", correlationId="c1", shed_kw=8.5, duration_sec=60.0,
        start_ts=NOW + 30.0,
    )  # fmt: skip
    house.wait(100.0)


def a_cancelled_event(house: House) -> None:
    house.send(
        "event", event_id="e1", correlationId="c1", shed_kw=8.5, duration_sec=60.0,
        start_ts=NOW + 30.0,
    )  # fmt: skip
    house.send("cancel", correlationId="c2", event_id="e1")


def a_modification(house: House) -> None:
    house.send("event", event_id="e1", correlationId="c1", shed_kw=4.5, duration_sec=60.0)
    house.send(
        "event", event_id="e1", correlationId="c2", shed_kw=8.5, duration_sec=30.0, modification=1
    )
    house.wait(100.0)


def an_event_of_higher_precedence_in_between(house: House) -> None:
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5, duration_sec=90.0)
    house.send(
        "event", event_id="e2", correlationId="c2", shed_kw=4.5, duration_sec=30.0, event_priority=0
    )
    house.wait(100.0)


def a_contactor_that_does_not_respond(house: House) -> None:
    house.stuck = {"heater1"}
    house.send("event", event_id="e1", correlationId="c1", shed_kw=4.5, duration_sec=60.0)
    house.wait(100.0)


def a_way_back_in_steps(house: House) -> None:
    house.engine.site.policy = house.policy = Policy(
        restore_stagger_sec=2.0, limit_ramp_sec=10.0, rebound_sec=0.0
    )
    house.send("event", event_id="e1", correlationId="c1", shed_kw=15.0, duration_sec=60.0)
    house.wait(30.0)
    house.send("restore", correlationId="c2")
    house.wait(60.0)


def an_opt_out(house: House) -> None:
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5, duration_sec=60.0)
    house.do(house.engine.opt_out("cooking", house.now + 10.0, house.now))
    house.wait(100.0)


STORIES = [
    a_modification,
    an_event_of_higher_precedence_in_between,
    a_contactor_that_does_not_respond,
    a_way_back_in_steps,
    an_opt_out,
    a_whole_event,
    an_event_with_failures,
    an_event_of_which_nothing_is_confirmed,
    a_refused_reservation,
    a_restore_by_command,
    a_restore_that_fails_at_first,
    a_restore_while_it_begins,
    a_scheduled_event,
    a_cancelled_event,
]


@pytest.mark.long
@each_case("story", STORIES, ids=lambda story: story.__name__)
def test_killed_after_any_effect_nothing_stays_shed_and_every_command_is_acked_once(
    story: Callable[[House], None],
) -> None:
    """Work that was under way was lost, or done. A command whose first record was not reached is
    the broker's to deliver again."""
    wrong: list[tuple[int, str, object]] = []
    house = House()
    house.limits["ev1"] = 80.0
    before = house.setting
    moments = itertools.count(1)

    def kill() -> None:
        effects_done = next(moments)
        for fate in ("work lost", "work done"):
            killed = house.as_if_killed()
            faults = faults_after(killed, before, work_was_done=fate == "work done")
            wrong.extend((effects_done, fate, fault) for fault in faults)

    house.after_effect = kill
    story(house)
    assert wrong == []
    assert next(moments) > 3


def faults_after(
    house: House, before: dict[str, float | bool], *, work_was_done: bool
) -> list[object]:
    """What is wrong when a house that was killed has been restarted and all is over."""
    house.broken = house.silent = house.stuck = set()
    house.refusal = None
    begun = {"c1"} | ({"c2"} if '"correlation_id": "c2"' in str(house.journal) else set())
    house.hold = False
    house.restart(work_was_done=work_was_done)
    house.report_sec = 20.0
    house.wait_until_over()
    faults: list[object] = []
    if house.setting != before:
        faults.append(("shed for ever", house.setting))
    for correlation_id in begun:
        replies = house.replies_to(correlation_id)
        if replies[:1] == ["scheduled"]:
            replies = replies[1:] or ["scheduled"]
        if len(replies) != 1:
            faults.append((correlation_id, replies))
    return faults
