"""A building and its agent, small enough for a test: it carries the engine's effects out.

The building itself is `HouseBuilding`. Time moves only by `wait`. Every command goes through the
wire's parser, every record through JSON, every ack through the encoder; and every effect is checked
against the write-ahead rule when it is carried out. A test may hold the work back and kill the
process.
"""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from tests.dr.builders import NOW, VEN_ID
from tests.dr.house_building import HouseBuilding
from tests.dr.write_ahead import check_order
from VenAgent.contract.command_limits import CommandLimits
from VenAgent.contract.command_reader import CommandNotRead, read_command
from VenAgent.contract.json_codec import encode_json
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import (
    AnnounceEffect,
    Effects,
    PreparedEffect,
    PrepareEffect,
    RaiseAlertEffect,
    ReadMeterEffect,
    ReleaseEffect,
    RestoreEffect,
    SaveEventEffect,
    SaveFactEffect,
    SaveFingerprintEffect,
    SendAckEffect,
    SwitchEffect,
    WriteEffect,
)
from VenAgent.dr.engine import Engine
from VenAgent.dr.engine_recovery import RecoveredEngineState
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Panel
from VenAgent.dr.policy import SUPPORTED_FEATURES, Policy
from VenAgent.storage.event_record import from_event_record, to_event_record

Ack = Mapping[str, Any]


class Killed(Exception):
    """The process ends here, as the test asked."""


class House(HouseBuilding):
    def __init__(
        self,
        panel: Panel | None = None,
        draws_kw: Mapping[str, float] | None = None,
        policy: Policy | None = None,
    ):
        super().__init__(panel, draws_kw)
        self.policy = policy or Policy(restore_stagger_sec=0.0, rebound_sec=0.0)
        self.report_sec = 5.0
        self.lot = 0.0
        """What is drawn of `randomize_start_sec`, as a part of it."""
        self.failure_code = ReasonCode.WRITE_FAILED
        self.refusal: str | None = None
        self.may_pass = False
        """The refusal is a silence: who does not answer may be back soon."""
        self.failed_alone = False
        """It is one request that got lost, of a device that is there."""
        self.hold = False
        """While True, work that waits for another agent is not begun."""
        self.kill_after: int | None = None
        """Carry out so many effects, then die."""
        self.after_effect: Callable[[], None] | None = None
        """Called when an effect was carried out."""

        self.acks: list[Ack] = []
        self.replies: list[Ack] = []
        self.announced: list[Event] = []
        self.released: list[str] = []
        self.wanted: dict[str, dict[str, float | bool]] = {}
        """What circuits were successfully switched to by command."""
        self.unsure: set[str] = set()
        """Those for which that failed, and the like: they may be one or the other."""
        self.put_back: set[str] = set()
        """Restored, and known to the engine to be."""
        self.jobs: deque[Callable[[House], Effects]] = deque()
        self.journal: dict[str, str] = {}
        self.journal_ts = NOW
        """When it was last written."""
        self.remembered: list[str] = []
        self.unsent: list[str] = []
        self.fingerprints: dict[str, str] = {}
        self.facts: dict[str, str] = {}
        self.alerts: dict[tuple[str, str], str] = {}
        """Those that are not over."""
        self.alerted: list[str] = []
        self.engine = Engine(self.panel, VEN_ID, self.policy)

    # ---- the agent ---------------------------------------------------------------------------

    def send(self, op: str, **fields: Any) -> list[Ack]:
        """A command over the wire; the acks that it brought at once."""
        return self.send_payload(json.dumps({"op": op, **fields}).encode())

    def send_payload(self, payload: bytes) -> list[Ack]:
        known = len(self.acks)
        limits = CommandLimits(max_shed_kw=self.panel.max_kw, supported=SUPPORTED_FEATURES)
        try:
            command = read_command(payload, ven_id=VEN_ID, limits=limits, now=self.now)
        except CommandNotRead as rejected:
            self.do(self.engine.refuse(rejected, self.now))
        else:
            self.do(self.engine.command(command, self.now, lot=self.lot))
        return self.acks[known:]

    def wait(self, seconds: float) -> None:
        """Let time pass: the meter reports regularly, the engine wakes at its deadlines."""
        until, idle_ticks = self.now + seconds, 0
        while True:
            deadline = self.engine.next_deadline()
            if deadline is not None and deadline <= self.now:
                idle_ticks += 1
                assert idle_ticks < 20, "the engine asks for ticks and does nothing in them"
                self.do(self.engine.tick(self.now))
                continue
            idle_ticks = 0
            if self.now >= until:
                return
            next_report = (self.now // self.report_sec + 1) * self.report_sec
            steps = [until, next_report, *([] if deadline is None else [deadline])]
            self.now = min(steps)
            if self.now == next_report:
                self.do(self._report())

    def reconfigure(self, panel: Panel) -> None:
        """The agent's configuration is edited."""
        self.configured = panel
        self.engine.reconfigure(panel, VEN_ID)

    def set_clock(self, step_sec: float) -> None:
        self.move_clock(step_sec)
        self.do(self.engine.clock_stepped(step_sec, self.now))

    def move_clock(self, step_sec: float) -> None:
        """The clock alone: the engine has not heard of it."""
        self.now += step_sec
        self._shown = (self._shown[0] + step_sec, self._shown[1])

    def go_back_by_themselves(self) -> None:
        """The devices' lease ran out: contactors close, limits open."""
        for circuit in self.engine.running.held() if self.engine.running else ():
            if circuit.is_switch:
                self.closed[circuit.circuit_id] = True
            else:
                self.limits[circuit.circuit_id] = float(circuit.before)

    def wait_until_over(self, most_sec: float = 10_000.0) -> None:
        """Until no event runs or waits."""
        end = self.now + most_sec
        while self.engine.running is not None or self.engine.scheduled:
            assert self.now < end, f"still {self.engine.running or self.engine.scheduled}"
            self.wait(self.report_sec)

    def wait_until_all_are_back(self, most_sec: float = 10_000.0) -> None:
        """Until every circuit that could not be put back in its event's time is back."""
        end = self.now + most_sec
        while self.engine.site.unrestored.circuit_ids:
            assert self.now < end, self.engine.trouble()
            self.wait(self.report_sec)

    def work(self, jobs: int = 1_000) -> None:
        """Begin the work that was held back."""
        while self.jobs and jobs:
            jobs -= 1
            self.do(self.jobs.popleft()(self))

    def do(self, effects: Effects) -> None:
        """Write the decision down, all of it or nothing, then do it."""
        check_order(effects, self.journal, self.remembered, self.policy)
        if self.journal_and_acks(effects):
            self._live_on()
        for effect in effects:
            if not isinstance(effect, (SaveEventEffect, SaveFactEffect, SaveFingerprintEffect)):
                self._carry_out(effect)
                self._live_on()
        if not self.hold:
            self.work()

    def journal_and_acks(self, effects: Effects) -> bool:
        """Keep records and acks in one transaction; whether there were any."""
        self.journal_ts = self.now
        for effect in effects:
            if isinstance(effect, SaveEventEffect):
                record = to_event_record(effect.event)
                self.journal[effect.event.event_id] = json.dumps(record, allow_nan=False)
            elif isinstance(effect, SaveFactEffect):
                self.facts[effect.name] = json.dumps(effect.value, allow_nan=False)
            elif isinstance(effect, SaveFingerprintEffect):
                self.fingerprints[effect.correlation_id] = effect.fingerprint
            elif isinstance(effect, SendAckEffect):
                self.unsent.append(json.dumps(effect.body, allow_nan=False))
                if effect.is_reply:
                    self.remembered.append(self.unsent[-1])
        return any(
            isinstance(effect, (SaveEventEffect, SaveFactEffect, SendAckEffect))
            for effect in effects
        )

    def _live_on(self) -> None:
        if self.after_effect is not None:
            self.after_effect()
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after == 0:
                raise Killed

    def as_if_killed(self) -> House:
        """Another, as this one is now, whose process has just died: restart it."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (dict, list, set, deque)):
                setattr(other, name, copy.copy(value))
        other.wanted = {circuit_id: dict(points) for circuit_id, points in self.wanted.items()}
        other.after_effect = None
        other.engine = Engine(self.configured, VEN_ID, self.policy)
        return other

    def restart(self, *, work_was_done: bool = False) -> None:
        """Kill the process and start another with what the journal holds.

        Work that was asked for may have reached the devices, or not; no one heard of it.
        """
        self.kill_after = None
        known_back = set(self.put_back)
        for job in self.jobs if work_was_done else ():
            job(self)
        self.put_back &= known_back
        self.jobs.clear()
        for body in self.unsent.copy():
            self._send_ack(json.loads(body), is_reply=body in self.remembered)
        records = [json.loads(record) for record in self.journal.values()]
        events = [from_event_record(record) for record in records]
        self.engine = Engine(self.configured, VEN_ID, self.policy)
        recovered = RecoveredEngineState(
            events=[event for event in events if not event.done],
            replies=[json.loads(body) for body in self.remembered],
            fingerprints=list(self.fingerprints.items()),
            past=[
                (e.event_id, e.request.modification - (not e.cannot_begin_again))
                for e in events
                if e.done
            ],
            facts={name: json.loads(fact) for name, fact in self.facts.items()},
            last_ts=self.journal_ts,
        )
        self.do(self.engine.resume(recovered, self.now))

    # ---- effects -----------------------------------------------------------------------------

    def _carry_out(self, effect: Any) -> None:
        match effect:
            case SendAckEffect():
                self._send_ack(effect.body, is_reply=effect.is_reply)
            case PrepareEffect():
                self.jobs.append(lambda house: house._prepare(effect))
            case WriteEffect():
                self.jobs.append(lambda house: house._shed(effect))
            case RestoreEffect():
                asked_ts = self.now
                self.jobs.append(lambda house: house._restore(effect, asked_ts))
            case ReadMeterEffect():
                self.jobs.append(House._report)
            case ReleaseEffect():
                self.released += [effect.task_id] if effect.task_id else []
            case AnnounceEffect():
                self.announced.append(effect.event)
            case SwitchEffect():
                self.jobs.append(lambda house: house._switch(effect))
            case RaiseAlertEffect(message=None):
                self.alerts.pop((effect.code, effect.subject), None)
            case RaiseAlertEffect():
                self.alerts[effect.code, effect.subject] = effect.message or ""
                self.alerted.append(effect.code)
            case _:
                raise AssertionError(f"unheard of: {effect!r}")

    def _report(self) -> Effects:
        return self.engine.reading(self.read(), self.now)

    def _prepare(self, effect: PrepareEffect) -> Effects:
        assert effect.until_ts <= self.now + 2 * 86_400.0, "no actuator reserves for ever"
        code = ReasonCode.NOT_ANSWERED if self.may_pass else ReasonCode.RESERVATION_REFUSED
        refusal = None if self.refusal is None else Reason(code, self.refusal)
        outcome = PreparedEffect(
            self.read(), refusal, self.may_pass, effect.task_id, self.failed_alone
        )
        return self.engine.prepared(effect.event_id, outcome, self.now)

    def _shed(self, effect: WriteEffect) -> Effects:
        self.put_back -= {write.circuit_id for write in effect.writes}
        failures = self._write(effect.writes)
        reading = self.read() if effect.verify else None
        return self.engine.written(effect.event_id, self._reasons(failures), self.now, reading)

    def _reasons(self, failures: dict[str, str]) -> dict[str, Reason]:
        return {name: Reason(self.failure_code, why) for name, why in failures.items()}

    def _restore(self, effect: RestoreEffect, asked_ts: float) -> Effects:
        twice = self.put_back & {write.circuit_id for write in effect.writes}
        assert self.now != asked_ts or not twice, f"{twice} restored already"
        failures = self._write(effect.writes)
        reading = self.read()
        written = {write.circuit_id for write in effect.writes}
        effects = self.engine.restored(
            effect.event_id, self._reasons(failures), self.now, reading, written
        )
        for saved in effects:
            if isinstance(saved, SaveEventEffect) and saved.event.event_id == effect.event_id:
                self.put_back |= {c.circuit_id for c in saved.event.circuits if c.restored}
        return effects

    def _switch(self, effect: SwitchEffect) -> Effects:
        self.put_back -= {write.circuit_id for write in effect.writes}
        failures = self._write(effect.writes)
        for write in effect.writes:
            if failures or write.circuit_id in self.stuck:
                self.unsure.add(write.circuit_id)
            else:
                self.wanted.setdefault(write.circuit_id, {})[write.point] = write.value
        return self.engine.switched(effect.switch_id, self._reasons(failures), self.now)

    def _send_ack(self, body: Ack, *, is_reply: bool) -> None:
        encode_json(dict(body))
        self.unsent.remove(json.dumps(body))
        self.acks.append(body)
        if is_reply:
            self.replies.append(body)

    def recorded(self, event_id: str) -> Event:
        return from_event_record(json.loads(self.journal[event_id]))

    # ---- what a test asks --------------------------------------------------------------------

    def statuses(self, correlation_id: str | None = None) -> list[str]:
        """The acks' statuses in order: all, or those to one command."""
        return [
            ack["status"]
            for ack in self.acks
            if correlation_id is None or ack["correlationId"] == correlation_id
        ]

    def replies_to(self, correlation_id: str) -> list[str]:
        return [a["status"] for a in self.replies if a["correlationId"] == correlation_id]

    def last(self, status: str) -> Ack:
        return next(ack for ack in reversed(self.acks) if ack["status"] == status)


def send_event(house: House, shed_kw: float = 5.0, **fields: Any) -> list[Ack]:
    """An event of ten minutes, with ids; the acks that it brought at once."""
    known = {"correlationId": "c1", "event_id": "e1", "duration_sec": 600.0}
    return house.send("event", shed_kw=shed_kw, **{**known, **fields})
