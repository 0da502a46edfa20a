"""Carrying out one event: reserve, read, plan, write, keep on target, put back.

One thing is under way at a time: while it is, the event is SHEDDING or RESTORING, and what else is
wanted of it waits for the report. `prepared`, `written` and `restored` are those reports.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

from VenAgent.contract.acks import AckStatus
from VenAgent.dr.backoff import Backoff
from VenAgent.dr.curtailment_plan import Moves
from VenAgent.dr.effects import (
    Announce,
    Effects,
    Prepare,
    Prepared,
    RaiseAlert,
    ReadMeter,
    SaveEvent,
    Write,
)
from VenAgent.dr.event import Event, EventRequest, EventState
from VenAgent.dr.event_completion import EventCompletion
from VenAgent.dr.panel import Reading
from VenAgent.dr.settlement import inherit_baseline, take_baseline
from VenAgent.dr.site_state import SiteState
from VenAgent.dr.toward import moves_toward

RESERVE_BEYOND_END_SEC = 300.0
"""The reservation outlasts the event by this, so that a restore may be tried again under it."""
TRY_AGAIN_MOST_SEC = 5.0
"""Between two tries to reserve and read, while an agent that is needed gives no answer."""
TRY_FOR_SEC = 30.0
"""So long what is new is tried; what was shed before a restart, until the event's end."""
NOTHING_TO_SHED = (
    "no circuit can be shed now: all are critical, switched off, unread or draw nothing"
)


class EventExecution(EventCompletion):
    """Has at most one event at a time; None between events."""

    def __init__(self, context: SiteState) -> None:
        super().__init__(context)
        self._aimed_kw = 0.0
        """The shed that there will be when the moves under way have succeeded."""
        self._why = ""
        """Why circuits are added or released now."""
        self._reassert = False
        self._lapsed = False
        """The devices went back by themselves while other work was under way."""
        self._lost_to: tuple[str, str] | None = None
        """A reservation that was taken from us meanwhile, and by whom."""

    # ---- beginning -----------------------------------------------------------------------

    def begin(self, event: Event, now: float, heir_of: Event | None = None) -> Effects:
        """Begin `event`, or go on with it; what `heir_of` holds shed becomes its own."""
        self.event = event
        event.to(EventState.SHEDDING)
        event.set_aside = None
        event.metered.go_on(now)
        if heir_of is not None:
            event.circuits, heir_of.circuits = heir_of.circuits, []
            inherit_baseline(event, heir_of)
        self._reassert = self._lapsed = False
        self._why = "" if event.active_ts is None else "it goes on where it was set aside"
        return self._reserve_anew(event, now)

    def change(self, ask: EventRequest, now: float) -> Effects:
        """A later modification of the event that runs. It waits until the work under way is done,
        and what begins later than now, or has no more to change, until the event is over."""
        event = self._the_event()
        self._context.answers.expect(ask.correlation_id)
        superseded: Effects = []
        if event.next_ask is not ask:
            superseded = self._supersede(event.take_next(), ask.modification, now)
        if event.state is not EventState.ACTIVE or ask.start_ts > now:
            event.next_ask = ask
            if event.state is EventState.ACTIVE:
                return self._end(event, now)
            return [SaveEvent(event.event_id, event.as_record()), *superseded]
        event.change(ask)
        event.to(EventState.SHEDDING)
        return self._reserve_anew(event, now)

    def _supersede(self, overtaken: Event | None, modification: int, now: float) -> Effects:
        """A modification that a later one overtook before it could be applied."""
        if overtaken is None:
            return []
        reason = f"superseded by modification {modification} before it could be applied"
        return self._context.answers.to_event(overtaken, AckStatus.FAILED, now, reason=reason)

    def _reserve_anew(self, event: Event, now: float) -> Effects:
        event.task_id = f"{event.event_id}/{now:.3f}"
        return [*self._prepare(event), Announce(event.as_record())]

    def _prepare(self, event: Event) -> Effects:
        return [
            SaveEvent(event.event_id, event.as_record()),
            Prepare(event.event_id, event.task_id, event.end_ts + RESERVE_BEYOND_END_SEC),
        ]

    # ---- planning and writing ------------------------------------------------------------

    def prepared(self, event_id: str, outcome: Prepared, now: float) -> Effects:
        """The reservation and the fresh reading are there, or why not: plan and write."""
        event = self._at(event_id, EventState.SHEDDING)
        if event is None:
            return []
        if self._is_ending(event):
            return self._end(event, now)
        reading = outcome.reading
        if not outcome.is_complete and self._may_try_again(event, outcome, now):
            return self._try_again(event, outcome, now)
        if outcome.refusal is not None:
            return self._cannot(event, outcome.refusal, now)
        if reading is None or reading.power_kw is None:
            return self._cannot(event, "the meter could not be read; nothing was shed", now)
        self._context.latest = reading
        if event.baseline_kw is None:
            take_baseline(event, self._context, reading.power_kw, now)
        if self._reassert and event.held():
            self._reassert = False
            return self._write_again(event)
        held_kw = event.shed_by(reading.power_kw) if event.held() else 0.0
        moves = moves_toward(event, self._context, reading, held_kw, now, by_command=not self._why)
        if moves.circuits:
            return self._move(event, moves, held_kw, now)
        if abs(event.requested_kw - held_kw) <= self._context.policy.band * event.requested_kw:
            self._aimed_kw = held_kw
            return self._activate(event, now)
        return self._cannot(event, NOTHING_TO_SHED, now)

    def _may_try_again(self, event: Event, outcome: Prepared, now: float) -> bool:
        """Whether those that the event needs may only not be there yet: after a power cut the
        agents come up one after the other, and one that is restarted is back within seconds. Who
        asks for an event now is told at once that it cannot begin."""
        if self._reassert and event.held():
            return True
        self._try_until_ts = self._try_until_ts or now + TRY_FOR_SEC
        is_known = event.answered or bool(event.held())
        return outcome.may_pass and is_known and now < self._try_until_ts

    def _try_again(self, event: Event, outcome: Prepared, now: float) -> Effects:
        self._again.failed(now)
        self._again.due_ts = min(self._again.due_ts or now, now + TRY_AGAIN_MOST_SEC)
        if not event.held():
            return []
        why = outcome.refusal or "the meter could not be read"
        return [RaiseAlert("shed.short", f"event {event.event_id} cannot go on yet: {why}")]

    def _move(self, event: Event, moves: Moves, held_kw: float, now: float) -> Effects:
        self._moves, self._aimed_kw = moves, held_kw + moves.delta_kw
        for circuit in moves.circuits:
            if circuit.shed_ts == now and not circuit.releasing:
                self._context.wear.shed(circuit.circuit_id, now)
        record = SaveEvent(event.event_id, event.as_record())
        return [record, self._context.keep_wear(), self._write(event)]

    def _write(self, event: Event) -> Write:
        writes = tuple(circuit.write() for circuit in self._moves.circuits)
        return Write(event.event_id, writes, verify=self._moves.some_go_back)

    def _write_again(self, event: Event) -> Effects:
        """Tell every circuit once more what it is to be: someone may not have heard it."""
        again = [circuit for circuit in event.held() if not circuit.switching]
        for circuit in again:
            circuit.rewrite(circuit.value, circuit.final_kw)
        self._moves = Moves(tuple(again))
        self._aimed_kw = event.requested_kw
        return [SaveEvent(event.event_id, event.as_record()), self._write(event)]

    def written(
        self,
        event_id: str,
        failures: Mapping[str, str],
        now: float,
        reading: Reading | None = None,
    ) -> Effects:
        """The writes ended; `failures` has a reason by circuit id, all others are confirmed.

        A circuit that went back is given up only when `reading`, taken after, does not contradict.
        """
        event = self._at(event_id, EventState.SHEDDING)
        if event is None:
            return []
        missing_kw = event.requested_kw - self._aimed_kw
        may_replace = bool(failures) and not self._moves.some_go_back
        effects: Effects = []
        for circuit in self._moves.circuits:
            circuit.failure = failures.get(circuit.circuit_id)
            if circuit.releasing:
                circuit.releasing = False
                if circuit.failure is None and reading is not None:
                    circuit.failure = circuit.contradiction(reading, circuit.before)
                if circuit.failure is None:
                    event.circuits.remove(circuit)
                    self._context.wear.put_back(circuit.circuit_id, now)
                continue
            circuit.confirmed = circuit.failure is None
            if circuit.failure is not None:
                missing_kw += circuit.shed_kw
                effects.append(_failed_write(circuit.circuit_id, circuit.failure))
        self._moves = Moves()
        if self._is_ending(event):
            return [*effects, *self._end(event, now)]
        before = self._context.latest  # what has gone back since is not as it shows
        band_kw = self._context.policy.band * event.requested_kw
        if may_replace and before is not None and missing_kw > band_kw:
            held_kw = event.requested_kw - missing_kw
            moves = moves_toward(
                event, self._context, before, held_kw, now, by_command=not self._why
            )
            if moves.circuits:
                return [*effects, *self._move(event, moves, held_kw, now)]
        if event.active_ts is None and not any(circuit.confirmed for circuit in event.circuits):
            reasons = "; ".join(f"{c.circuit_id}: {c.failure}" for c in event.circuits)
            return [*effects, *self._fail(event, f"no write was confirmed: {reasons}", now)]
        return [*effects, *self._activate(event, now)]

    def _activate(self, event: Event, now: float, note: str | None = None) -> Effects:
        """The writes are back: the event is under way, or on its way again."""
        answers = self._context.answers
        self._again, self._try_until_ts = Backoff(), None
        event.to(EventState.ACTIVE)
        is_first = event.active_ts is None
        event.active_ts = event.active_ts or now
        event.measured_kw = None
        self._on_target.restart(expected_kw=self._aimed_kw)
        reason = "; ".join(text for text in (note or self._why, event.left_out()) if text)
        words = {"reason": reason} if reason else {}
        if is_first or not event.answered:
            told = answers.to_event(event, AckStatus.ACCEPTED, now, **words)
        elif self._why:
            told = [answers.follow_up(event, AckStatus.ADJUSTED, now, **words)]
        else:
            told = []
        self._why = ""
        record = event.as_record()
        effects = [
            SaveEvent(event.event_id, record),
            self._context.keep_wear(),
            *told,
            Announce(record),
            ReadMeter(),
        ]
        return effects + self._catch_up(event, now)

    def _catch_up(self, event: Event, now: float) -> Effects:
        """What came while the work was under way."""
        if event.next_ask is not None:
            return self.change(event.next_ask, now)
        lost_to, self._lost_to = self._lost_to, None
        if lost_to is not None and lost_to[0] == event.task_id:
            return self.preempted(*lost_to, now)
        return self.lapsed(now) if self._lapsed else []

    def _cannot(self, event: Event, reason: str, now: float) -> Effects:
        """The plan came to nothing. What is shed already stays so, and the event goes on."""
        if event.active_ts is None and not event.held():
            return self._fail(event, reason, now)
        self._aimed_kw, self._why, self._reassert = event.predicted_kw, "", False
        effects = self._activate(event, now, reason)
        self._on_target.hold_off(now)
        return [*effects, RaiseAlert("shed.short", f"event {event.event_id}: {reason}")]

    # ---- while it is active --------------------------------------------------------------

    def reading(self, reading: Reading, now: float) -> Effects:
        """A new reading of the panel; one without the power proves nothing."""
        event = self.event
        if event is None or event.state is not EventState.ACTIVE or reading.power_kw is None:
            return []
        if reading.ts < (event.active_ts or 0.0):
            return []
        effects, why = self._on_target.look(event, reading, now)
        return effects if why is None else effects + self._adjust(event, reading, why, now)

    def _adjust(self, event: Event, reading: Reading, why: str, now: float) -> Effects:
        """Add or release circuits, if any would help; else say so and leave it for a while."""
        held_kw = event.shed_by(reading.power_kw or 0.0)
        if not moves_toward(
            copy.deepcopy(event), self._context, reading, held_kw, now, by_command=False
        ).circuits:
            self._on_target.hold_off(now)
            if held_kw >= event.requested_kw:
                return []
            return [RaiseAlert("shed.short", f"event {event.event_id}: {why}, and no load is left")]
        event.to(EventState.SHEDDING)
        self._why = why
        return self._prepare(event) if event.task_id else self._reserve_anew(event, now)

    # ---- what others do to it ------------------------------------------------------------

    def preempted(self, task_id: str, by_whom: str, now: float) -> Effects:
        """Another agent took our devices: they go back while the actuator still lets us write."""
        event = self.event
        if event is None or event.task_id != task_id:
            return []
        if event.state is EventState.SHEDDING:
            self._lost_to = (task_id, by_whom)
        if event.state is not EventState.ACTIVE:
            return []
        event.task_id = ""
        event.to(EventState.SHEDDING)
        self._why = f"the devices were taken by {by_whom}"
        taken = [circuit for circuit in event.held() if not circuit.switching]
        for circuit in taken:
            circuit.releasing = True
        self._moves, self._aimed_kw = Moves(tuple(taken)), 0.0
        alert = RaiseAlert("devices.preempted", f"event {event.event_id}: {self._why}")
        return [SaveEvent(event.event_id, event.as_record()), self._write(event), alert]

    def lapsed(self, now: float) -> Effects:
        """The devices' lease ran out and they went back by themselves: shed again."""
        event = self.event
        self._lapsed = event is not None and event.state is EventState.SHEDDING
        if event is None or event.state is not EventState.ACTIVE:
            return []
        event.to(EventState.SHEDDING)
        self._reassert, self._why = True, "the devices had gone back by themselves"
        return self._reserve_anew(event, now)

    # ---- after a restart -----------------------------------------------------------------

    def take_over(self, event: Event, now: float) -> Effects:
        """Go on with what an earlier process left under way."""
        self.event = event
        if event.state is EventState.RECEIVED:
            return self.begin(event, now)
        if event.state is EventState.RESTORING:
            self._way_back.begin(event, now)
            return self._way_back.due(event, now) if event.held() else self._complete(event, now)
        if event.end_ts <= now and event.ending is None:
            event.ending = "the agent was not running when the event's end came"
        if event.state is EventState.ACTIVE:
            if self._is_ending(event):
                return self._end(event, now)
            event.to(EventState.SHEDDING)
        elif self._is_ending(event):
            return (
                self._end(event, now)
                if event.circuits or event.active_ts is not None
                else self._fail(
                    event, event.ending or "restored by command before it had begun", now
                )
            )
        for circuit in [c for c in event.circuits if c.releasing]:
            circuit.releasing = False
        self._reassert = bool(event.circuits)
        return self._reserve_anew(event, now)

    # ---- time ----------------------------------------------------------------------------

    def tick(self, now: float) -> Effects:
        """Time has passed: call it at `next_deadline` or later."""
        event = self.event
        if event is None:
            return []
        if self._overdue_ts is not None and self._overdue_ts <= now:
            return self._end(event, now)
        if event.state is EventState.RESTORING:
            # all that is left may have been taken in hand by a person
            return self._way_back.due(event, now) if event.held() else self._complete(event, now)
        if event.state is EventState.SHEDDING and (self._again.due_ts or math.inf) <= now:
            self._again.due_ts = None
            return self._prepare(event)
        return self._on_target.tick(event, now) if event.state is EventState.ACTIVE else []

    def next_deadline(self) -> float | None:
        """When `tick` is next needed; the event's end is the engine's to watch."""
        event = self.event
        if event is None:
            return None
        if event.state is EventState.RESTORING:
            return self._way_back.next_deadline() if event.held() else 0.0
        if event.state is EventState.ACTIVE:
            return self._on_target.next_deadline(event)
        times = [ts for ts in (self._overdue_ts, self._again.due_ts) if ts is not None]
        return min(times, default=None)


def _failed_write(circuit_id: str, why: str) -> RaiseAlert:
    return RaiseAlert("write.failed", f"{circuit_id} could not be shed: {why}", circuit_id)
