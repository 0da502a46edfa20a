"""An attack on the core: anything, in any order, and what must hold all the same.

A hypothesis state machine drives the house (house.py): commands that are new, changed, repeated,
late or out of order, restarts with work lost or done, a lost journal, a cloud that is away, writes
and readings that fail, leases that run out, people, other agents, a configuration that is edited,
and a clock that is set while the agent runs and while it does not.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.dr.builders import DRAWS_KW, switch
from tests.dr.house import House
from tests.support.example_count import example_count
from VenAgent.dr.event_state import EventState
from VenAgent.dr.event_work import WORK_LIMIT_SEC
from VenAgent.dr.policy import Policy

LIMITS = ("l1", "l2")
LIMIT_IDS = st.sampled_from(LIMITS)
EVENT_IDS = st.sampled_from(["e1", "e2", "e3"])
KILOWATTS = st.sampled_from([0.5, 3.0, 7.5, 12.0, 19.5, 40.0])
DURATIONS = st.sampled_from([1.0, 30.0, 120.0, 600.0])
DELAYS = st.sampled_from([0.0, 0.0, 15.0, 90.0])
FAULTY = st.sets(st.sampled_from(list(DRAWS_KW)), max_size=4)
CIRCUITS = st.sampled_from(list(DRAWS_KW))
STEPS_SEC = st.sampled_from([-3600.0, -20.0, 40.0, 3600.0])
GRACE_SEC = WORK_LIMIT_SEC + 1.0
"""After an event's end its circuits are being restored, whatever the agents around it do."""


class Attack(RuleBasedStateMachine):
    limit_ids = LIMITS

    @initialize(stagger_sec=st.sampled_from([0.0, 10.0]))
    def begin(self, stagger_sec: float) -> None:
        self.start(House(policy=Policy(restore_stagger_sec=stagger_sec, rebound_sec=0.0)))

    def start(self, house: House) -> None:
        self.house = house
        self.house.report_sec = 20.0
        self.house.limits["ev1"] = 80.0
        self.house.limits["lights1"] = 45.0
        self.before = self.house.setting
        self.replies_lost = self.was_restarted = False
        self.sent: list[tuple[str, dict[str, object]]] = []
        self.on_their_way: list[tuple[str, dict[str, object]]] = []
        self.cloud_is_away = False
        self.clock_set_ts = 0.0
        self.accepted: dict[str, set[int]] = {}
        """Of each event, the modifications that were accepted and did not fail later."""

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
        self.house.wait(0.0)  # what is due by it now, such as the end of a limit that it took over

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

    @rule(
        event_id=EVENT_IDS,
        powers_kw=st.lists(st.sampled_from([0.0, 3.0, 7.5, 12.0]), min_size=2, max_size=3),
        each_sec=st.sampled_from([5.0, 60.0, 300.0]),
        number=st.integers(0, 3),
        is_test=st.booleans(),
    )
    def levels(
        self,
        event_id: str,
        powers_kw: list[float],
        each_sec: float,
        number: int,
        is_test: bool,
    ) -> None:
        """An event of several intervals."""
        intervals = [{"duration_sec": each_sec, "shed_kw": kw} for kw in powers_kw]
        if max(powers_kw):
            self.command(
                "event", event_id=event_id, modification=number, intervals=intervals, test=is_test
            )

    @rule(
        event_id=LIMIT_IDS,
        import_kw=st.sampled_from([0.0, 4.2, 9.0, 15.0, 30.0]),
        duration_sec=st.sampled_from([None, None, 120.0, 600.0]),
        delay_sec=DELAYS,
        number=st.integers(0, 3),
        heartbeat_sec=st.sampled_from([None, 60.0]),
        least_sec=st.sampled_from([0.0, 300.0]),
    )
    def limit(
        self,
        event_id: str,
        import_kw: float,
        duration_sec: float | None,
        delay_sec: float,
        number: int,
        heartbeat_sec: float | None,
        least_sec: float,
    ) -> None:
        """A limit, with or without an end and a heartbeat that will be lost."""
        fields: dict[str, object] = {"event_id": event_id, "modification": number}
        fields["import_kw"] = import_kw
        if duration_sec is not None:
            fields["duration_sec"] = duration_sec
        if delay_sec:
            fields["start_ts"] = self.house.now + delay_sec
        if heartbeat_sec is not None:
            fields |= {"heartbeat_sec": heartbeat_sec, "failsafe_kw": 4.2}
            fields["failsafe_min_sec"] = least_sec
        self.command("limit", **fields)

    @rule(event_id=LIMIT_IDS)
    def end_a_limit(self, event_id: str) -> None:
        self.command("cancel", event_id=event_id)

    @rule(powers_kw=KILOWATTS)
    def ask_only(self, powers_kw: float) -> None:
        """A dry run changes nothing."""
        house = self.house
        before = (set(house.journal), house.setting, len(house.jobs))
        if not self.cloud_is_away:
            self.command("event", shed_kw=powers_kw, event_id="dry", dry_run=True)
            assert (set(house.journal), house.setting, len(house.jobs)) == before

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

    @rule(shed_kw=KILOWATTS, duration_sec=DURATIONS)
    def change(self, shed_kw: float, duration_sec: float) -> None:
        """A newer modification of the event that runs."""
        event = self.house.engine.running
        if event is not None:
            newest = event.newest_request.modification
            fields = {"event_id": event.event_id, "modification": newest + 1}
            self.command("event", shed_kw=shed_kw, duration_sec=duration_sec, **fields)

    @rule(index=st.integers(0, 3), named=st.booleans())
    def ask_the_same(self, index: int, named: bool) -> None:
        """Under another correlation id, or without one."""
        if not self.sent:
            return
        op, command = self.sent[-1 - index % len(self.sent)]
        again = {name: value for name, value in command.items() if name != "correlationId"}
        if named:
            self.command(op, **again)
        elif not self.cloud_is_away and op != "setLoad":
            self.deliver(op, again)

    @rule(shed_kw=KILOWATTS)
    def send_event_of_higher_precedence(self, shed_kw: float) -> None:
        """A short event that comes before the one that runs."""
        self.command("event", shed_kw=shed_kw, duration_sec=60.0, event_priority=0)

    @rule(circuit=CIRCUITS, enabled=st.booleans())
    def set_load(self, circuit: str, enabled: bool) -> None:
        self.command("setLoad", loadId=circuit, enabled=enabled)

    @rule(index=st.integers(0, 7), enabled=st.booleans(), fails=st.booleans())
    def set_load_of_the_event(self, index: int, enabled: bool, fails: bool) -> None:
        """One that it holds; a switch that fails leaves it to the event."""
        house = self.house
        held = [c.circuit_id for c in house.engine.running.held()] if house.engine.running else []
        if held and not house.jobs and not self.cloud_is_away:
            circuit, broken = held[index % len(held)], house.broken
            house.broken = broken | ({circuit} if fails else set())
            unsure = set(house.unsure)
            self.set_load(circuit, enabled)
            if fails and not house.jobs:
                house.broken, house.unsure = broken, unsure

    @rule(circuit=CIRCUITS, priority=st.integers(2, 5))
    def set_priority(self, circuit: str, priority: int) -> None:
        self.command("setLoad", loadId=circuit, priority=priority)

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
        if kind == "stuck":  # what is not read can be known by no one
            circuits = circuits & self.read_by_their_point()
        if kind != "stuck" or self.house.meter_works:
            setattr(self.house, kind, circuits)

    def read_by_their_point(self) -> set[str]:
        """The circuits that the configuration reads by the point that is there."""
        wired = self.house.panel.by_id
        return {c.id for c in self.house.configured.circuits if c.point == wired[c.id].point}

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
    def take_the_devices(self) -> None:
        running = self.house.engine.running
        if running is not None:
            effects = self.house.engine.preempted(running.task_id, "lighting", self.house.now)
            self.house.do(effects)

    @rule(circuit=CIRCUITS)
    def hand(self, circuit: str) -> None:
        """A person opens a contactor, or closes it."""
        house, event = self.house, self.house.engine.running
        touched = {c.circuit_id for c in event.circuits} if event is not None else set()
        if circuit in touched or house.jobs:
            self.house.unsure.add(circuit)  # seen in time it is theirs, else it goes back as it was
        house.closed[circuit] = not house.closed[circuit]
        house.wanted.setdefault(circuit, {})[house.panel.by_id[circuit].switch_point] = (
            house.closed[circuit]
        )

    @rule()
    def lease_runs_out(self) -> None:
        self.house.go_back_by_themselves()
        self.house.do(self.house.engine.lease_lapsed(self.house.now))

    @rule(kind=st.sampled_from(["as it was", "without", "another control", "another order"]))
    def configuration(self, kind: str) -> None:
        circuits = list(self.house.panel.circuits)
        if kind == "without":
            circuits = [c for c in circuits if c.id not in ("heater1", "ev1")]
        elif kind == "another control":
            circuits = [switch(c.id, priority=4) if c.id == "ev1" else c for c in circuits]
        elif kind == "another order":
            circuits = [
                c if c.last_resort else replace(c, priority=6 - c.priority) for c in circuits
            ]
        self.house.reconfigure(replace(self.house.panel, circuits=tuple(circuits)))
        self.house.stuck &= self.read_by_their_point()

    @rule(seconds=st.sampled_from([30.0, 300.0]))
    def opt_out(self, seconds: float) -> None:
        house = self.house
        house.do(house.engine.opt_out("cooking", house.now + seconds, house.now))

    # ---- the process and its clock -------------------------------------------------------

    @rule(work_was_done=st.booleans())
    def crash(self, work_was_done: bool) -> None:
        self.was_restarted = True
        self.house.restart(work_was_done=work_was_done)

    @rule()
    def stop_and_start(self) -> None:
        house = self.house
        house.do(house.engine.stop(house.now))
        house.restart(work_was_done=True)

    @rule(step_sec=STEPS_SEC)
    def set_the_clock(self, step_sec: float) -> None:
        left_sec = self.left_sec()
        self.house.set_clock(step_sec)
        self.compare(left_sec)
        self.house.wait(0.0)

    @rule(step_sec=STEPS_SEC)
    def power_cut(self, step_sec: float) -> None:
        """The clock has no battery."""
        self.house.wait(0.0)
        self.house.journal_ts = self.house.now
        left_sec = self.left_sec()
        self.house.move_clock(step_sec)
        self.house.restart()
        self.compare(left_sec)

    def left_sec(self) -> dict[str, float]:
        """How long each event that has begun still lasts."""
        engine, now = self.house.engine, self.house.now
        begun = [e for e in engine.scheduled.values() if e.active_ts and e.request.start_ts <= now]
        begun += [engine.running] if engine.running is not None else []
        return {event.event_id: max(0.0, event.request.end_ts - now) for event in begun}

    def compare(self, before: dict[str, float]) -> None:
        """A clock that is set makes no event longer."""
        self.clock_set_ts = self.house.now
        for event_id, left_sec in self.left_sec().items():
            assert left_sec <= before.get(event_id, left_sec) + 1e-3

    @rule()
    def lose_the_journal(self) -> None:
        """What reads as shed is brought back if the actuator knows of a reservation of ours."""
        house = self.house
        event = house.engine.running
        whole = not (house.broken or house.silent or house.stuck or house.jobs)
        if event is None or not event.task_id or not whole or not house.meter_works:
            return
        house.journal.clear()
        house.facts.clear()
        house.remembered.clear()
        house.unsent.clear()
        house.put_back.clear()
        house.acks.clear()
        self.replies_lost, self.accepted = True, {}
        known = {c.id: c.point for c in house.configured.circuits}
        shed = {c.circuit_id: c.point for c in event.circuits}
        lost = [name for name in house.panel.by_id if name not in known]
        lost += [name for name, point in shed.items() if known.get(name) != point]
        self.house.unsure |= set(lost)
        house.restart()
        house.do(house.engine.recover(house.read(), house.now))
        self.before |= dict.fromkeys(house.limits, 100.0)
        self.house.unsure |= {name for name in house.limits if house.limits[name] != 100.0}
        for name, points in house.wanted.items():
            points.pop(house.panel.by_id[name].point, None)

    # ---- what must hold ------------------------------------------------------------------

    @invariant()
    def without_an_event_nothing_is_shed(self) -> None:
        if self.house.engine.running is None and not self.house.jobs:
            self.check_setting()

    def check_setting(self) -> None:
        house = self.house
        for circuit in house.panel.circuits:
            if circuit.id in self.house.unsure | house.engine.site.unrestored.circuit_ids:
                continue  # of the latter it is known, and they are tried on
            wanted = house.wanted.get(circuit.id, {})
            assert house.closed[circuit.id] == wanted.get(circuit.switch_point, True), circuit.id
            if circuit.id in house.limits:
                limit = wanted.get(circuit.point, self.before[circuit.id])
                assert house.limits[circuit.id] == limit, circuit.id

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
        """No event that runs or waits is of an older modification than one that was accepted; one
        that waited and was ended by command is told so, and counts no more."""
        house = self.house
        for ack in house.acks:
            known = self.accepted.setdefault(ack.get("event_id") or "", set())
            if ack["status"] in ("accepted", "scheduled") and "modification" in ack:
                known.add(ack["modification"])
            elif ack["status"] in ("failed", "superseded"):
                known.discard(ack.get("modification", 0))
        running = house.engine.running
        for event in [*house.engine.scheduled.values(), *([running] if running else [])]:
            highest = max(self.accepted.get(event.event_id, ()), default=0)
            assert event.newest_request.modification >= highest

    @invariant()
    def no_circuit_is_written_past_its_event(self) -> None:
        """The protected ones are checked with each write (House)."""
        for write in self.house.written:
            assert write.circuit_id != "fridge1" or write.value is True

    def teardown(self) -> None:
        """All faults end, all that was begun comes to its end: everything is as it was."""
        if not hasattr(self, "house"):
            return
        house = self.house
        house.broken = house.silent = house.stuck = set()
        house.meter_works, house.refusal, house.hold = True, None, False
        house.work()
        self.cloud_comes_back(0)
        self.check_limits()
        for event_id in self.limit_ids:
            self.command("cancel", event_id=event_id, modification=9)
        house.wait_until_over(400_000.0)
        house.wait_until_all_are_back(10_000.0)
        house.wait(1.0)
        self.check_setting()
        assert house.engine.next_deadline() is None
        assert house.engine.trouble() is None
        for op, command in () if self.replies_lost else self.sent:
            self.check_acked(op, str(command["correlationId"]))

    def check_limits(self) -> None:
        """Once all is there again a limit is kept within its window and what the slowest device
        takes, or it is said that it is not."""
        house = self.house
        house.report_sec = 5.0
        house.wait(300.0)
        for limits in house.engine.site.all_limits:
            ruling, running = limits.strictest(house.now), house.engine.running
            if ruling is None or running is None or running.state is not EventState.ACTIVE:
                continue
            mean_kw = limits.mean_kw(ruling.request.window_sec, house.now)
            is_kept = mean_kw is not None and mean_kw <= limits.allowed_kw(ruling) + 1e-6
            assert is_kept or ("limit.exceeded", "") in house.alerts
            if ruling.limit.is_failsafe and limits is house.engine.site.limits:
                assert limits.allowed_kw(ruling) <= 4.2
                assert ("limit.failsafe", ruling.event_id) in house.alerts or self.was_restarted

    def check_acked(self, op: str, correlation_id: str) -> None:
        """Once; `scheduled` may be followed by how it went on."""
        house = self.house
        replies = house.replies_to(correlation_id)
        refused = house.statuses(correlation_id)[:1] == ["rejected"]
        final = [status for status in replies if status != "scheduled"]
        assert replies or refused, (op, correlation_id, "was never acked")
        assert len(final) <= 1, (op, correlation_id, replies)


Attack.TestCase.settings = settings(
    max_examples=example_count(100), stateful_step_count=25, deadline=None
)
TestAttack = Attack.TestCase
