"""An attack on the core: anything, in any order, and what must hold all the same.

A hypothesis state machine drives the house (house.py): commands that are new, changed, repeated,
late or out of order, restarts with work lost or done, a cloud that is away, writes and readings
that fail, people, other agents, and a clock that is set.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.dr.builders import DRAWS_KW
from tests.dr.house import House
from VenAgent.dr.ending import WORK_LIMIT_SEC
from VenAgent.dr.event import EventState

EVENT_IDS = st.sampled_from(["e1", "e2", "e3"])
KILOWATTS = st.sampled_from([0.5, 3.0, 7.5, 12.0, 19.5, 40.0])
DURATIONS = st.sampled_from([1.0, 30.0, 120.0, 600.0])
DELAYS = st.sampled_from([0.0, 0.0, 15.0, 90.0])
FAULTY = st.sets(st.sampled_from(list(DRAWS_KW)), max_size=4)
GRACE_SEC = WORK_LIMIT_SEC + 1.0
"""After an event's end its circuits are on their way back, whatever the agents around it do."""


class Attack(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.house = House()
        self.house.report_sec = 20.0
        self.house.limits["ev1"] = 80.0
        self.house.limits["lights1"] = 45.0
        self.before = self.house.setting
        self.sent: list[tuple[str, dict[str, object]]] = []
        self.on_their_way: list[tuple[str, dict[str, object]]] = []
        self.cloud_is_away = False
        self.clock_set_ts = 0.0
        self.highest: dict[str, int] = {}
        """Of each event, the highest modification that was accepted."""

    # ---- commands ------------------------------------------------------------------------

    def command(self, op: str, **fields: object) -> None:
        """Send it now, or when the cloud is back."""
        command = {**fields, "correlationId": f"c{len(self.sent)}"}
        self.sent.append((op, command))
        if self.cloud_is_away:
            self.on_their_way.append((op, command))
        else:
            self.deliver(op, command)

    def deliver(self, op: str, command: dict[str, object]) -> None:
        self.house.send(op, **command)

    @rule(
        event_id=EVENT_IDS,
        shed_kw=KILOWATTS,
        duration_sec=DURATIONS,
        delay_sec=DELAYS,
        number=st.integers(0, 3),
        priority=st.sampled_from([None, None, 0, 2]),
    )
    def event(
        self,
        event_id: str,
        shed_kw: float,
        duration_sec: float,
        delay_sec: float,
        number: int,
        priority: int | None,
    ) -> None:
        """A new event, or a modification, equal, older or newer."""
        fields: dict[str, object] = {"event_id": event_id, "modification": number}
        fields |= {"shed_kw": shed_kw, "duration_sec": duration_sec}
        if delay_sec:
            fields["start_ts"] = self.house.now + delay_sec
        if priority is not None:
            fields["event_priority"] = priority
        self.command("event", **fields)

    @rule(circuit=st.sampled_from([*DRAWS_KW, "pool1"]), shed_kw=KILOWATTS, duration=DURATIONS)
    def shed_load(self, circuit: str, shed_kw: float, duration: float) -> None:
        self.command("shedLoad", loadId=circuit, reduceKw=shed_kw, duration_sec=duration)

    @rule(op=st.sampled_from(["restore", "cancel"]), event_id=st.none() | EVENT_IDS)
    def end(self, op: str, event_id: str | None) -> None:
        self.command(op, **({} if event_id is None else {"event_id": event_id}))

    @rule()
    def ping(self) -> None:
        self.command("ping")

    @rule()
    def nonsense(self) -> None:
        self.command("event", shed_kw="much")

    @rule(index=st.integers(0, 9))
    def duplicate(self, index: int) -> None:
        if self.sent:
            op, command = self.sent[index % len(self.sent)]
            if (op, command) not in self.on_their_way:
                self.deliver(op, command)

    @rule()
    def lose_the_cloud(self) -> None:
        self.cloud_is_away = True

    @rule(turn=st.integers(0, 5))
    def cloud_comes_back(self, turn: int) -> None:
        """What was delayed arrives, in another order."""
        self.cloud_is_away = False
        waiting, self.on_their_way = self.on_their_way, []
        cut = turn % (len(waiting) or 1)
        for op, command in waiting[cut:] + waiting[:cut]:
            self.deliver(op, command)

    # ---- the site ------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 5.0, 45.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.house.wait(seconds)

    @rule(hold=st.booleans())
    def hold(self, hold: bool) -> None:
        self.house.hold = hold
        if not hold:
            self.house.work()

    @rule(jobs=st.integers(1, 2))
    def work(self, jobs: int) -> None:
        self.house.work(jobs)

    @rule(kind=st.sampled_from(["broken", "silent", "stuck"]), circuits=FAULTY)
    def fault(self, kind: str, circuits: set[str]) -> None:
        if kind != "stuck" or self.house.meter_works:
            setattr(self.house, kind, circuits)

    @rule(works=st.booleans())
    def meter(self, works: bool) -> None:
        """Without it no one can know of a contactor that says it moved and did not."""
        self.house.meter_works = works
        if not works:
            self.house.stuck = set()

    @rule(circuit=st.sampled_from(list(DRAWS_KW)), change_kw=st.sampled_from([-1.0, 2.0]))
    def demand(self, circuit: str, change_kw: float) -> None:
        house = self.house
        house.demand_kw[circuit] = max(0.0, house.demand_kw[circuit] + change_kw)

    @rule(refusal=st.sampled_from([None, "held by another agent"]))
    def reservation(self, refusal: str | None) -> None:
        self.house.refusal = refusal

    @rule()
    def preempt(self) -> None:
        running = self.house.engine.running
        if running is not None:
            effects = self.house.engine.preempted(running.task_id, "lighting", self.house.now)
            self.house.do(effects)

    @rule(seconds=st.sampled_from([30.0, 300.0]))
    def opt_out(self, seconds: float) -> None:
        house = self.house
        house.do(house.engine.opt_out("cooking", house.now + seconds, house.now))

    # ---- the process and its clock -------------------------------------------------------

    @rule(work_was_done=st.booleans())
    def crash(self, work_was_done: bool) -> None:
        self.house.restart(work_was_done=work_was_done)

    @rule()
    def stop_and_start(self) -> None:
        house = self.house
        house.do(house.engine.stop(house.now))
        house.restart(work_was_done=True)

    @rule(step_sec=st.sampled_from([-3600.0, -20.0, 40.0, 3600.0]))
    def set_the_clock(self, step_sec: float) -> None:
        self.house.now += step_sec
        self.clock_set_ts = self.house.now
        self.house.do(self.house.engine.clock_stepped(step_sec, self.house.now))
        self.house.wait(0.0)

    # ---- what must hold ------------------------------------------------------------------

    @invariant()
    def without_an_event_nothing_is_shed(self) -> None:
        if self.house.engine.running is None:
            assert self.house.setting == self.before

    @invariant()
    def after_its_end_an_event_is_on_its_way_back(self) -> None:
        event = self.house.engine.running
        if event is None:
            return
        known_since_ts = max(event.end_ts, self.clock_set_ts)
        if self.house.now > known_since_ts + GRACE_SEC:
            assert event.state is EventState.RESTORING

    @invariant()
    def the_highest_modification_wins(self) -> None:
        """No event that runs or waits is of an older modification than one that was accepted."""
        house = self.house
        for ack in house.acks:
            if ack["status"] in ("accepted", "scheduled") and ack.get("event_id"):
                known = self.highest.get(ack["event_id"], 0)
                self.highest[ack["event_id"]] = max(known, ack["modification"])
        running = house.engine.running
        for event in [*house.engine.scheduled.values(), *([running] if running else [])]:
            assert event.modification >= self.highest.get(event.event_id, 0)

    @invariant()
    def no_circuit_is_written_past_its_event(self) -> None:
        """The protected ones are checked with each write (House)."""
        for write in self.house.written:
            assert write.circuit_id != "fridge1"

    def teardown(self) -> None:
        """All faults end, all that was begun comes to its end: everything is as it was."""
        if not hasattr(self, "house"):
            return
        house = self.house
        house.broken = house.silent = house.stuck = set()
        house.meter_works, house.refusal, house.hold = True, None, False
        house.work()
        self.cloud_comes_back(0)
        house.wait_until_over(40_000.0)
        house.wait(1.0)
        assert house.setting == self.before
        assert house.engine.next_deadline() is None
        assert house.engine.trouble() is None
        for op, command in self.sent:
            self.check_answered(op, str(command["correlationId"]))

    def check_answered(self, op: str, correlation_id: str) -> None:
        """Once; `scheduled` may be followed by how it went on."""
        house = self.house
        answers = house.answers_to(correlation_id)
        refused = house.statuses(correlation_id)[:1] == ["rejected"]
        final = [status for status in answers if status != "scheduled"]
        assert answers or refused, (op, correlation_id, "was never answered")
        assert len(final) <= 1, (op, correlation_id, answers)


Attack.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestAttack = Attack.TestCase
