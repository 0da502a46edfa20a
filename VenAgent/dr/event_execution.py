"""Carrying out one event: reserve, read, plan, write, keep on target, end.

One thing is under way at a time: while it is, the event is SHEDDING or RESTORING, and what else is
wanted of it waits for the report. `prepared`, `written` and `restored` are those reports.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.reasons import Reason, ReasonCode, common_reason_code
from VenAgent.dr.closed_loop import ClosedLoop
from VenAgent.dr.effects import AnnounceEffect, Effects, PreparedEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.event_activation import EventActivation
from VenAgent.dr.event_completion import CompletedEvent, EventCompletion
from VenAgent.dr.event_correction import EventCorrection
from VenAgent.dr.event_planner import EventPlanner
from VenAgent.dr.event_request import STOP, EventRequest
from VenAgent.dr.event_state import EventState
from VenAgent.dr.event_work import EventWork
from VenAgent.dr.guard_watch import GuardWatch
from VenAgent.dr.limit_watch import LimitWatch
from VenAgent.dr.load_up_plan import NOTHING_TO_RAISE
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.plan_execution import PlanExecution
from VenAgent.dr.reservation import Reservation
from VenAgent.dr.restoration import Restoration
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

NOTHING_TO_SHED = Reason(
    ReasonCode.NOTHING_TO_SHED,
    "no circuit can be shed now: all are critical, switched off, unread or draw nothing",
)
METER_UNREADABLE = Reason(
    ReasonCode.METER_UNREADABLE, "the meter could not be read; nothing was shed"
)


class EventExecution:
    """Has at most one event at a time; None between events."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self.event: Event | None = None
        self._work = EventWork()
        self._reservation = Reservation()
        self._planner = EventPlanner(site)
        self._writing = PlanExecution(site)
        self._loop = ClosedLoop(site)
        self._guards = GuardWatch(site)
        self._activation = EventActivation(
            site, self._reservation, self._writing, self._loop, self._guards, self._work
        )
        self._correction = EventCorrection(
            site,
            self._reservation,
            self._planner,
            self._writing,
            self._loop,
            self._guards,
            self._work,
        )
        self._completion = EventCompletion(site, Restoration(site))

    @property
    def limits(self) -> LimitWatch:
        return self._loop.limits

    def take_finished(self) -> CompletedEvent | None:
        """The event that is over since this was asked last."""
        return self._completion.take_finished()

    # ---- beginning -----------------------------------------------------------------------

    def begin(
        self,
        event: Event,
        now: float,
        taking_over_from: Event | None = None,
        *,
        ahead: PreparedEffect | None = None,
        is_prepared_now: bool = False,
    ) -> Effects:
        """Begin `event`, or go on with it; what `taking_over_from` holds shed becomes its own.

        `ahead`: what was prepared before its start. `is_prepared_now`: that is still under way.
        """
        self.event = event
        self._loop.begin()
        self._guards.begin()
        event.begin(now)
        self._site.take_limit(event)
        event.resume_metering(now)
        if taking_over_from is not None:
            event.take_over_from(taking_over_from)
        resumed = Reason(ReasonCode.RESUMED, "it goes on where it was preempted")
        self._work.begin(None if event.active_ts is None or event.is_limit else resumed)
        if ahead is None and not is_prepared_now:
            return self._reservation.request(event, now)
        begun: Effects = [SaveEventEffect.of(event), AnnounceEffect.of(event)]
        return begun if ahead is None else begun + self.prepared(event.event_id, ahead, now)

    def change(self, request: EventRequest, now: float) -> Effects:
        """A later modification of the event that runs. It waits until the work under way is done,
        and what begins later than now, or has no more to change, until the event is over."""
        event = self._running()
        self._site.replies.expect(request.correlation_id)
        superseded: Effects = []
        if event.pending is None or event.pending.request is not request:
            superseded = self._supersede(event.take_pending(), request.modification, now)
        if event.state is not EventState.ACTIVE or request.start_ts > now:
            event.postpone(request)
            if event.state is EventState.ACTIVE:
                ended = self._end(event, now)
                return ended + self._change_waits(request, now)
            return [SaveEventEffect.of(event), *superseded, *self._change_waits(request, now)]
        event.change(request)
        event.enter_level(now)
        event.to(EventState.SHEDDING)
        return self._reservation.request(event, now)

    def _change_waits(self, request: EventRequest, now: float) -> Effects:
        """Who changes an event that is restored for a while hears so at once."""
        if self.event is None or not self.restores_for_long(now):
            return []
        event, (restored, of) = self.event, self.event.restored_of()
        text = f"{restored} of {of} circuits are back; this modification begins then"
        return [
            self._site.replies.interim(
                request.op,
                request.correlation_id,
                AckStatus.SCHEDULED,
                now,
                Reason(ReasonCode.RESTORING, text),
                event_id=event.event_id,
                modification=request.modification,
            )
        ]

    def _supersede(self, overtaken: Event | None, modification: int, now: float) -> Effects:
        """A modification that a later one overtook before it could be applied."""
        if overtaken is None:
            return []
        text = f"superseded by modification {modification} before it could be applied"
        reason = Reason(ReasonCode.SUPERSEDED, text)
        return self._site.replies.to_event(overtaken, AckStatus.SUPERSEDED, now, reason)

    # ---- planning and writing ------------------------------------------------------------

    def prepared(self, event_id: str, outcome: PreparedEffect, now: float) -> Effects:
        """The reservation and the fresh reading are there, or why not: plan and write."""
        event = self._at(event_id, EventState.SHEDDING)
        if event is None:
            return []
        if event.is_ending:
            return self._end_or_hand_over(event, now)
        reading, work, planner = outcome.reading, self._work, self._planner
        if not outcome.is_complete and self._reservation.may_try_again(
            event, outcome, now, reassert=work.reassert
        ):
            return self._reservation.try_again(event, outcome, now)
        if reading is not None and reading.power_kw is not None:
            planner.set_baseline(event, reading.power_kw, now)
        if outcome.refusal is not None:
            return self._cannot(event, outcome.refusal, now)
        if reading is None or reading.power_kw is None:
            return self._cannot(event, METER_UNREADABLE, now)
        self._site.latest = reading
        unreached = event.unreached(reading, now)
        reassert = work.reassert or (work.is_unconfirmed and len(unreached) < len(event.held()))
        replanned = unreached if work.is_unconfirmed and not work.reassert else ()
        work.reassert = work.is_unconfirmed = False
        if reassert and event.held():
            past = self._guards.past_in(event, reading)
            return self._writing.write_again(event, past, but=replanned)
        held_kw = planner.held_kw(event, reading)
        target = planner.target(event, reading, held_kw, now)
        plan = planner.plan(
            *(event, reading, target, now), may_exchange=work.may_exchange, unreached=unreached
        )
        if plan.circuits:
            planner.note_limit(target, now)
            return self._writing.begin(event, plan, held_kw, now)
        if target.is_met or (work.is_next_level and target.missing_kw < 0.0):
            self._writing.expected_kw = held_kw
            return self._activate(event, now)
        why = NOTHING_TO_RAISE if event.is_load_up else NOTHING_TO_SHED
        return self._cannot(event, target.why_capped or why, now)

    def written(
        self,
        event_id: str,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None = None,
    ) -> Effects:
        """The writes ended; `failures` has a reason by circuit id, all others are confirmed.

        A circuit that went back is given up only when `reading`, taken after, does not contradict.
        """
        event = self._at(event_id, EventState.SHEDDING)
        if event is None:
            return []
        if self._work.is_renewal:  # what failed is written again the next time
            self._work.is_renewal = False
            self._writing.forget()
            if event.is_ending:
                return self._end_or_hand_over(event, now)
            event.to(EventState.ACTIVE)
            return [SaveEventEffect.of(event), *self._catch_up(event, now)]
        plan = self._writing.written(event, failures, now, reading)
        effects = plan.alerts
        if event.is_ending:
            return [*effects, *self._end_or_hand_over(event, now)]
        before = self._site.latest  # what has gone back since is not as it shows
        planner, may_exchange = self._planner, self._work.may_exchange
        if plan.may_replace and before is not None and plan.missing_kw > planner.band_kw(event):
            held_kw = self._writing.expected_kw - plan.failed_kw
            target = ShedTarget(plan.missing_kw, planner.band_kw(event), is_limit=event.is_limit)
            instead = planner.plan(event, before, target, now, may_exchange=may_exchange)
            if instead.circuits:
                return [*effects, *self._writing.begin(event, instead, held_kw, now)]
        began = event.active_ts is not None or event.is_limit
        failed_all = event.circuits and not any(circuit.confirmed for circuit in event.circuits)
        if not began and failed_all:
            why = "; ".join(f"{c.circuit_id}: {c.failure}" for c in event.circuits)
            code = common_reason_code(failures.values(), ReasonCode.WRITE_FAILED)
            reason = Reason(code, f"no write was confirmed: {why}")
            if self._reservation.may_write_again(event, failures.values(), now):
                return [*effects, *self._write_later(event, reason, now)]
            return [*effects, *self._fail(event, reason, now)]
        if event.is_limit:
            self._writing.expected_kw -= plan.failed_kw
        return [*effects, *self._activate(event, now)]

    def _write_later(self, event: Event, reason: Reason, now: float) -> Effects:
        """Reserve, read and write again, once the devices may be back."""
        self._work.is_unconfirmed = True
        outcome = PreparedEffect(refusal=reason, may_pass=True, task_id=event.task_id)
        saved = SaveEventEffect.of(event)
        return [saved, *self._reservation.try_again(event, outcome, now)]

    def _activate(self, event: Event, now: float) -> Effects:
        self._work.renewed_ts = now
        return self._activation.activate(event, now) + self._catch_up(event, now)

    def _catch_up(self, event: Event, now: float) -> Effects:
        """What came while the work was under way."""
        if event.pending is not None:
            return self.change(event.pending.request, now)
        lost = self._work.take_lost_reservation(event.task_id)
        if lost is not None:
            return self.preempted(*lost, now)
        if self._work.lease_lapsed:
            return self.lease_lapsed(now)
        if self._work.reassert and event.held():
            return self._correction.go_on_waiting(event, now)
        return self._correction.enter_level(event, now) if event.is_level_over(now) else []

    def _cannot(self, event: Event, reason: Reason, now: float) -> Effects:
        """The plan came to nothing. What is shed already stays so, and the event goes on."""
        is_shed = bool(event.held()) and not self._work.is_unconfirmed
        if event.active_ts is None and not is_shed and not event.is_limit:
            return self._fail(event, reason, now)
        effects = self._activation.go_on_as_it_is(event, reason, now)
        return effects + self._catch_up(event, now)

    # ---- while it is active --------------------------------------------------------------

    def reading(self, reading: PanelReading, now: float) -> Effects:
        """A new reading of the panel; one without the power proves nothing."""
        return [] if self.event is None else self._correction.reading(self.event, reading, now)

    def protect(self, reading: PanelReading | None, now: float) -> Effects:
        """Release the circuits whose comfort guard is past its bound, or silent for too long."""
        return [] if self.event is None else self._correction.protect(self.event, reading, now)

    def preempted(self, task_id: str, by_whom: str, now: float) -> Effects:
        """Another agent took our devices: they go back while the actuator still lets us write."""
        if self.event is None:
            return []
        return self._correction.preempted(self.event, task_id, by_whom)

    def lease_lapsed(self, now: float) -> Effects:
        """The devices' lease ran out and they went back by themselves: shed again."""
        if self.event is None:
            self._work.lease_lapsed = False
            return []
        return self._correction.lease_lapsed(self.event, now)

    def take_over(self, event: Event, now: float) -> Effects:
        """Go on with what an earlier process had under way."""
        self.event = event
        self._site.take_limit(event)
        self._loop.begin()
        self._guards.begin()
        if event.state is EventState.RECEIVED:
            return self.begin(event, now)
        if event.state is EventState.RESTORING:
            return self._after(self._completion.resume(event, now))
        if event.end_ts <= now:
            text = "the agent was not running when the event's end came"
            event.end_soon(Reason(ReasonCode.AGENT_WAS_DOWN, text))
        if event.state is EventState.ACTIVE:
            if event.is_ending:
                return self._end(event, now)
            event.to(EventState.SHEDDING)
        elif event.is_ending:
            if event.circuits or event.active_ts is not None:
                return self._end(event, now)
            text = "restored by command before it had begun"
            ended_by_command = Reason(ReasonCode.ENDED_BY_COMMAND, text)
            return self._fail(event, event.end_reason or ended_by_command, now)
        event.put(circuit.still_held(circuit.failure) for circuit in event.circuits)
        self._work.reassert = bool(event.circuits)
        return self._reservation.request(event, now)

    def hand_over(self, now: float) -> Event:
        """Let go of the event without a restore: another one takes what it holds."""
        event = self._running()
        event.pause_metering(now, self._site.sampling.gap_limit_sec)
        self.event = None
        return event

    # ---- how it ends ---------------------------------------------------------------------

    def end(self, reason: Reason, now: float, *, at_once: bool = False) -> Effects:
        """End the event as soon as the work under way is done."""
        event = self._running()
        self._completion.at_once = self._completion.at_once or at_once
        if self.is_idle:
            if event.end_ts > now:
                event.end_soon(reason)  # the record says why it was cut short
            return self._end(event, now)
        if event.state is EventState.SHEDDING and event.end_reason is None:
            event.end_soon(reason)
            return self.end_soon(now)
        if event.state is EventState.RESTORING and at_once:
            return self._completion.hasten(event, now)
        return []

    def end_soon(self, now: float) -> Effects:
        """It ends when its work is back, or has been waited for long enough."""
        event = self._running()
        if event.state is EventState.SHEDDING:
            self._work.end_soon(now)
        return [SaveEventEffect.of(event)]

    def restored(
        self,
        event_id: str,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None = None,
        circuit_ids: Container[str] | None = None,
    ) -> Effects:
        """Writes of the restoration ended."""
        event = self._at(event_id, EventState.RESTORING)
        if event is None:
            return []
        return self._after(self._completion.restored(event, failures, now, reading, circuit_ids))

    def make_way(self, now: float) -> Effects:
        """Another event waits for the one that is being restored."""
        event = self.event
        if event is None or event.state is not EventState.RESTORING or not event.held():
            return []
        return self._after(self._completion.make_way(event, now))

    def _end_or_hand_over(self, event: Event, now: float) -> Effects:
        """It ends; where a limit is in force, that one takes what is shed instead of a restore in
        between."""
        is_limited = self._site.is_limited(now, beside=event)
        if event.active_ts is None or not is_limited or self._completion.at_once:
            return self._end(event, now)
        self._stop_work()
        event.to(EventState.ACTIVE)
        return [SaveEventEffect.of(event)]

    def leave(self, now: float) -> Effects:
        """The agent stops, and the limit stays in force for its next start: what it holds goes
        back, as an event of its own."""
        event = self._running()
        self._stop_work()
        restored = Event(
            event_id=f"{event.event_id}/stopped-{now:.0f}",
            request=EventRequest(STOP, None, 0.0, start_ts=now, end_ts=now),
            state=EventState.RESTORING,
            task_id=event.task_id,
            acked=True,
        )
        restored.take_over_from(event)
        event.reserve_as("")
        if event.state is EventState.SHEDDING:
            event.to(EventState.ACTIVE)
        event.to(EventState.SCHEDULED)
        self._completion.at_once = True
        saved: Effects = [SaveEventEffect.of(event), SaveEventEffect.of(restored)]
        return [*saved, *self.take_over(restored, now)]

    def _end(self, event: Event, now: float) -> Effects:
        self._stop_work()
        return self._after(self._completion.begin(event, now))

    def _fail(self, event: Event, reason: Reason, now: float) -> Effects:
        self._stop_work()
        return self._after(self._completion.fail(event, reason, now))

    def _stop_work(self) -> None:
        self._work.overdue_ts = None
        self._work.is_unconfirmed = self._work.is_renewal = False
        self._writing.forget()
        self._reservation.forget_tries()
        self._loop.restart()

    def _after(self, effects: Effects) -> Effects:
        """Let go of the event once it is over."""
        if self.event is not None and self.event.state.over:
            self.event = None
            self._stop_work()
        return effects

    # ---- time ----------------------------------------------------------------------------

    def tick(self, now: float) -> Effects:
        """Time has passed: call it at `next_deadline` or later."""
        event = self.event
        if event is None:
            return []
        if self._work.overdue_ts is not None and self._work.overdue_ts <= now:
            return self._end(event, now)
        if event.state is EventState.RESTORING:
            return self._after(self._completion.due(event, now))
        if event.state is EventState.SHEDDING and self._reservation.take_due(now):
            return self._reservation.prepare(event, now)
        return self._correction.tick(event, now)

    def next_deadline(self) -> float | None:
        """When `tick` is next needed; the event's end is the engine's to watch."""
        event = self.event
        if event is None:
            return None
        if event.state is EventState.RESTORING:
            return self._completion.next_deadline(event)
        if event.state is EventState.ACTIVE:
            due = [self._loop.next_deadline(event), self._guards.next_deadline()]
            times = [ts for ts in due if ts is not None]
            times += [event.level_end_ts, self._correction.renew_ts(event)]
            soonest_ts = min(self._reservation.renew_ts(event), *times)
            return soonest_ts if soonest_ts < math.inf else None
        times = [ts for ts in (self._work.overdue_ts, self._reservation.due_ts) if ts is not None]
        return min(times, default=None)

    def clock_stepped(self, step_sec: float) -> Effects:
        """The clock was set: nothing that is waited for may take longer for it."""
        event = self.event
        if event is None:
            return []
        event.shift(step_sec)
        self._completion.shift(step_sec)
        self._loop.shift()
        self._guards.shift(step_sec)
        self._reservation.shift(step_sec)
        self._work.shift(step_sec)
        return [SaveEventEffect.of(event)]

    # ---- what is known -------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no work is under way for the event: it can be ended at once."""
        event = self.event
        if event is None:
            return True
        waits = event.state is EventState.SHEDDING and self._reservation.due_ts is not None
        return waits or event.state is EventState.ACTIVE

    def is_writing(self, circuit_id: str) -> bool:
        """Whether a write to this circuit is under way."""
        if self.event is None:
            return False
        if self.event.state is EventState.RESTORING:
            return self._completion.is_writing(circuit_id)
        return self._writing.is_writing(circuit_id)

    def restores_for_long(self, now: float) -> bool:
        """Whether others have to wait for the restoration longer than for an ack."""
        event = self.event
        return (
            event is not None
            and event.state is EventState.RESTORING
            and (bool(event.not_restored()) or self._completion.takes_long(now))
        )

    @property
    def wants_more(self) -> bool:
        """Whether the event still wants what is being shed for it now."""
        event = self.event
        return event is not None and event.state is EventState.SHEDDING and not event.is_ending

    @property
    def holds(self) -> bool:
        """Whether circuits are to stay shed for now, or are about to be shed: then the devices'
        lease is renewed. Not once one does not go back: the lease is what is left to end that."""
        event = self.event
        if event is None:
            return False
        if event.state is EventState.RESTORING:
            return bool(event.held()) and not event.not_restored()
        if event.is_limit and event.state is EventState.ACTIVE:
            return bool(event.held())
        return event.state in (EventState.SHEDDING, EventState.ACTIVE)

    def trouble(self) -> str | None:
        """What a person should know: circuits that do not go back. None when all is well."""
        event = self.event
        if event is None:
            return None
        if event.state is EventState.RESTORING and event.not_restored():
            return (
                f"event {event.event_id} is over but not restored: {event.not_restored()}; "
                f"trying again"
            )
        if event.state is EventState.ACTIVE and self._loop.is_frozen:
            return f"event {event.event_id} goes on as it is: the meter is not read"
        return None

    def _running(self) -> Event:
        assert self.event is not None, "the engine asks only while an event runs"
        return self.event

    def _at(self, event_id: str, state: EventState) -> Event | None:
        """The event, if a report is about it and still wanted."""
        event = self.event
        if event is None or event.event_id != event_id or event.state is not state:
            return None
        return event
