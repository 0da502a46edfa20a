"""Carrying out one event: reserve, read, plan, write, keep on target, end.

One thing is under way at a time: while it is, the event is SHEDDING or RESTORING, and what else is
wanted of it waits for the report. `prepared`, `written` and `restored` are those reports.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.closed_loop import ClosedLoop
from VenAgent.dr.effects import AnnounceEffect, Effects, PreparedEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.event_activation import EventActivation
from VenAgent.dr.event_completion import CompletedEvent, EventCompletion
from VenAgent.dr.event_correction import EventCorrection
from VenAgent.dr.event_execution_status import EventExecutionStatus
from VenAgent.dr.event_planner import EventPlanner
from VenAgent.dr.event_preparation import PREPARE_AHEAD_SEC
from VenAgent.dr.event_request import STOP, EventRequest
from VenAgent.dr.event_shedding import EventShedding, EventSheddingOutcome, EventSheddingStep
from VenAgent.dr.event_state import EventState
from VenAgent.dr.event_work import EventWork
from VenAgent.dr.guard_watch import GuardWatch
from VenAgent.dr.limit_watch import LimitWatch
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.plan_execution import PlanExecution
from VenAgent.dr.reservation import Reservation, reserved_until_ts
from VenAgent.dr.restoration import Restoration
from VenAgent.dr.site_state import SiteState


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
        self._shedding = EventShedding(
            site, self._reservation, self._planner, self._writing, self._guards, self._work
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
        ahead_ts = now - PREPARE_AHEAD_SEC
        self._reservation.reserved(event, reserved_until_ts(event.end_ts, ahead_ts))
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
        if self.event is None or not self.status.restores_for_long(now):
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
        return self._follow(event, self._shedding.prepared(event, outcome, now), now)

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
        return self._follow(event, self._shedding.written(event, failures, now, reading), now)

    def _follow(self, event: Event, outcome: EventSheddingOutcome, now: float) -> Effects:
        """What comes of the plan or of its writes."""
        effects, step, reason = outcome.effects, outcome.step, outcome.reason
        if step is EventSheddingStep.ACTIVATE:
            return [*effects, *self._activate(event, now)]
        if step is EventSheddingStep.END:
            return [*effects, *self._end_or_hand_over(event, now)]
        if step is EventSheddingStep.FAIL and reason is not None:
            return [*effects, *self._fail(event, reason, now)]
        if step is EventSheddingStep.STAY and reason is not None:
            return [*effects, *self._cannot(event, reason, now)]
        return effects

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
        event = self.event
        if event is None:
            return []
        if event.state is not EventState.RESTORING:
            return self._correction.protect(event, reading, now)
        passed = self._guards.passed(event, reading, now)
        if not passed:
            return []
        released = self._completion.release(event, passed.keys(), now)
        return [*released, *self._guards.alerts(event, passed)]

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
        event.put(circuit.still_held() for circuit in event.circuits)
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
        if self.status.is_idle:
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
    def status(self) -> EventExecutionStatus:
        """How far it is now."""
        return EventExecutionStatus(
            self.event, self._reservation, self._writing, self._loop, self._completion
        )

    def _running(self) -> Event:
        assert self.event is not None, "the engine asks only while an event runs"
        return self.event

    def _at(self, event_id: str, state: EventState) -> Event | None:
        """The event, if a report is about it and still wanted."""
        event = self.event
        if event is None or event.event_id != event_id or event.state is not state:
            return None
        return event
