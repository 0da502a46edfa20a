"""What must hold of the engine whatever happens, and wherever the process dies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dr.builders import DRAWS_KW, NOW
from tests.dr.house import House, Killed

PROTECTED = "fridge1"
CIRCUIT_IDS = st.sampled_from([*DRAWS_KW, "pool1"])
EVENT_IDS = st.sampled_from(["e1", "e2", "e3"])
KILOWATTS = st.sampled_from([0.5, 3.0, 7.5, 12.0, 19.5, 40.0])
DURATIONS = st.sampled_from([1.0, 30.0, 120.0, 600.0])


class Trial:
    """A house, with each command that was sent to it."""

    def __init__(self) -> None:
        self.house = House()
        self.house.report_sec = 20.0
        self.house.limits["ev1"] = 80.0
        self.house.limits["lights1"] = 45.0
        self.before = self.house.setting
        self.sent: list[tuple[str, dict[str, object]]] = []

    def send(self, op: str, **fields: object) -> None:
        command = {**fields, "correlationId": f"c{len(self.sent)}"}
        self.sent.append((op, command))
        self.house.send(op, **command)

    # Each step of a trial is one of these.

    def event(self, event_id: str, shed_kw: float, duration_sec: float, delay_sec: float) -> None:
        start = {} if delay_sec == 0.0 else {"start_ts": self.house.now + delay_sec}
        self.send("event", event_id=event_id, shed_kw=shed_kw, duration_sec=duration_sec, **start)

    def shed_load(self, circuit_id: str, shed_kw: float, duration_sec: float) -> None:
        self.send("shedLoad", loadId=circuit_id, reduceKw=shed_kw, duration_sec=duration_sec)

    def end(self, op: str, event_id: str | None) -> None:
        self.send(op, **({} if event_id is None else {"event_id": event_id}))

    def ping(self) -> None:
        self.send("ping")

    def nonsense(self) -> None:
        self.send("event", shed_kw="much")

    def again(self, index: int) -> None:
        if self.sent:
            op, command = self.sent[index % len(self.sent)]
            self.house.send(op, **command)

    def wait(self, seconds: float) -> None:
        self.house.wait(seconds)

    def hold(self, hold: bool) -> None:
        self.house.hold = hold
        if not hold:
            self.house.work()

    def work(self, jobs: int) -> None:
        self.house.work(jobs)

    def fault(self, kind: str, circuit_ids: set[str]) -> None:
        setattr(self.house, kind, circuit_ids)

    def meter(self, works: bool) -> None:
        self.house.meter_works = works

    def reservation(self, refusal: str | None) -> None:
        self.house.refusal = refusal

    def restart(self, work_was_done: bool) -> None:
        self.house.restart(work_was_done=work_was_done)

    def stop(self) -> None:
        self.house.do(self.house.engine.stop(self.house.now))

    def finish(self) -> None:
        """All faults end, and all that was begun comes to its end."""
        house = self.house
        house.broken = house.silent = house.stuck = set()
        house.meter_works, house.refusal, house.hold = True, None, False
        house.work()
        house.wait_until_over()


FAULTY = st.sets(st.sampled_from(list(DRAWS_KW)), max_size=4)
STEPS: st.SearchStrategy[tuple[object, ...]] = st.one_of(
    st.tuples(
        st.just(Trial.event),
        EVENT_IDS,
        KILOWATTS,
        DURATIONS,
        st.sampled_from([0.0, 0.0, 15.0, 90.0]),
    ),
    st.tuples(st.just(Trial.shed_load), CIRCUIT_IDS, KILOWATTS, DURATIONS),
    st.tuples(st.just(Trial.end), st.sampled_from(["restore", "cancel"]), st.none() | EVENT_IDS),
    st.tuples(st.sampled_from([Trial.ping, Trial.nonsense, Trial.stop])),
    st.tuples(st.just(Trial.again), st.integers(0, 9)),
    st.tuples(st.just(Trial.wait), st.sampled_from([0.5, 5.0, 45.0, 300.0])),
    st.tuples(st.just(Trial.hold), st.booleans()),
    st.tuples(st.just(Trial.work), st.integers(1, 2)),
    st.tuples(st.just(Trial.fault), st.sampled_from(["broken", "silent"]), FAULTY),
    st.tuples(st.sampled_from([Trial.meter, Trial.restart]), st.booleans()),
    st.tuples(st.just(Trial.reservation), st.sampled_from([None, "held by another agent"])),
)


@settings(deadline=None, max_examples=150)
@given(steps=st.lists(STEPS, min_size=1, max_size=14))
def test_whatever_happens_the_house_is_put_back_and_every_command_is_answered_once(
    steps: list[tuple[Callable[..., None], ...]],
) -> None:
    trial = Trial()
    for step, *values in steps:
        step(trial, *values)
    trial.finish()
    house = trial.house
    assert house.setting == trial.before
    assert PROTECTED not in {write.circuit_id for write in house.written}
    assert house.engine.next_deadline() is None
    assert house.engine.trouble() is None
    for op, command in trial.sent:
        correlation_id = str(command["correlationId"])
        answers = house.answers_to(correlation_id)
        if answers[:1] == ["scheduled"]:  # and once more when it begins, or cannot
            answers = answers[1:] or ["scheduled"]
        refused = house.statuses(correlation_id)[:1] == ["rejected"]
        assert len(answers) == 1 or (refused and not answers), (op, command, answers)


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
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5)
    house.wait(10.0)
    house.send("restore", correlationId="c2")


def a_restore_that_fails_at_first(house: House) -> None:
    house.send("event", event_id="e1", correlationId="c1", shed_kw=3.0)
    house.broken = {"dryer1"}
    house.send("restore", correlationId="c2")
    house.wait(0.5)
    house.broken = set()
    house.wait(10.0)


def a_restore_while_it_begins(house: House) -> None:
    house.hold = True
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5)
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
    house.send("event", event_id="e1", correlationId="c1", shed_kw=8.5, start_ts=NOW + 30.0)
    house.send("cancel", correlationId="c2", event_id="e1")


STORIES = [
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


@pytest.mark.parametrize("work_was_done", [False, True], ids=["work lost", "work done"])
@pytest.mark.parametrize("story", STORIES)
def test_killed_after_any_effect_nothing_stays_shed_and_every_command_is_answered_once(
    story: Callable[[House], None], work_was_done: bool
) -> None:
    """A command whose first record was not reached is the broker's to deliver again."""
    wrong: list[tuple[int, str, object]] = []
    for effects_done in range(1, 200):
        house = House()
        house.limits["ev1"] = 80.0
        before = house.setting
        house.kill_after = effects_done
        try:
            story(house)
        except Killed:
            pass
        else:
            break
        house.broken = house.silent = set()
        house.refusal = None
        begun = {"c1"} | ({"c2"} if '"correlation_id": "c2"' in str(house.journal) else set())
        house.hold = False
        house.restart(work_was_done=work_was_done)
        house.wait_until_over()
        if house.setting != before:
            wrong.append((effects_done, "shed for ever", house.setting))
        for correlation_id in begun:
            answers = house.answers_to(correlation_id)
            if answers[:1] == ["scheduled"]:
                answers = answers[1:] or ["scheduled"]
            if len(answers) != 1:
                wrong.append((effects_done, correlation_id, answers))
    else:
        pytest.fail("the story does not end")
    assert wrong == []
