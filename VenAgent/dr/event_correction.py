"""What is done for an active event when readings, other agents or its devices ask for it."""

from __future__ import annotations

import math

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.closed_loop import ClosedLoop
from VenAgent.dr.curtailment_plan import plan_guard_release, plan_rotation, settling_shed_kw
from VenAgent.dr.effects import Effects, RaiseAlertEffect, ReadMeterEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.event_activation import event_activation_alert
from VenAgent.dr.event_planner import EventPlanner
from VenAgent.dr.event_state import EventState
from VenAgent.dr.event_work import EventWork
from VenAgent.dr.guard_watch import GuardWatch
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.plan_execution import PlanExecution
from VenAgent.dr.reservation import Reservation
from VenAgent.dr.rotation import rotation_not_relieved
from VenAgent.dr.shed_circuit import ShedCircuit
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

READ_WITHIN_SEC = 5.0
"""So long a reading is waited for that was asked for."""


class EventCorrection:
    """From ACTIVE back to SHEDDING, with the reason for it."""

    def __init__(
        self,
        site: SiteState,
        reservation: Reservation,
        planner: EventPlanner,
        writing: PlanExecution,
        loop: ClosedLoop,
        guards: GuardWatch,
        work: EventWork,
    ) -> None:
        self._site = site
        self._reservation = reservation
        self._planner = planner
        self._writing = writing
        self._loop = loop
        self._guards = guards
        self._work = work

    def reading(self, event: Event, reading: PanelReading, now: float) -> Effects:
        """A new reading of the panel; one without the power proves nothing."""
        if event.state is not EventState.ACTIVE or reading.power_kw is None:
            return []
        if reading.ts < (event.active_ts or 0.0):
            return []
        released = self._writing.released_late(event, reading, now)
        effects, reason = self._loop.look(event, reading, now)
        effects = [*released, *effects]
        if reason is None:
            effects += self._rotate(event, reading, now)
            asked_ts = self._work.renewal_asked_ts
            if event.state is EventState.ACTIVE and asked_ts is not None and asked_ts <= reading.ts:
                effects += self._renew(event, now)
            return effects
        if reason.code is ReasonCode.DEVICE_RESTARTED:
            return effects + self._shed_again(event, reason, now)
        return effects + self._adjust(event, reading, reason, now)

    def _rotate(self, event: Event, reading: PanelReading, now: float) -> Effects:
        """Like units take turns, while nothing else is wrong."""
        if event.state is not EventState.ACTIVE or event.measured_kw is None:
            return []
        event.put(rotation_not_relieved(event))
        turn = plan_rotation(event, self._site, reading, now)
        if turn is None:
            return []
        plan, goes, self._work.reason = turn
        event.put([goes])
        event.to(EventState.SHEDDING)
        held_kw = self._planner.held_kw(event, reading)
        return self._writing.begin(event, plan, held_kw, now)

    def _adjust(self, event: Event, reading: PanelReading, reason: Reason, now: float) -> Effects:
        """Add or release circuits, if any would help; else report it and leave it for a while."""
        power_kw = reading.power_kw or 0.0
        event.put_aside(reading, now)
        is_believed = not self._site.stillness.is_suspect
        held_kw = event.shed_at(power_kw) if is_believed else event.predicted_kw
        target = self._planner.target(event, reading, held_kw, now)
        unreached = event.unreached(reading, now)
        if not self._planner.plan(event, reading, target, now, unreached=unreached).circuits:
            if not is_believed:
                ack = self._site.replies.follow_up(event, AckStatus.ADJUSTED, now, reason)
                return [SaveEventEffect.of(event), ack]
            if target.is_limit or event.is_limit:
                return self._limit_stays(target, power_kw, now)
            self._loop.hold_off(now)
            soon_kw = held_kw + settling_shed_kw(event, now)
            if event.is_load_up:
                return self._raise_short(event, target, reason)
            if soon_kw >= event.wanted_kw - self._planner.band_kw(event):
                return []
            short = event_activation_alert(
                event, f"{reason.text}, and no load is left", reason.code
            )
            return [short, *self._loop.limits.unkept(power_kw, None, now)]
        return self._go_on(event, reason, now)

    def _raise_short(self, event: Event, target: ShedTarget, reason: Reason) -> Effects:
        """Nothing more can be drawn, or less."""
        if target.missing_kw >= -target.band_kw:
            return []
        why = f"{reason.text}, and no circuit can draw more"
        return [event_activation_alert(event, why, reason.code)]

    def _limit_stays(self, target: ShedTarget, power_kw: float, now: float) -> Effects:
        """Nothing can be done for a limit now."""
        if target.is_met:
            self._loop.limits.hold_back(now)
            return []
        self._loop.limits.hold_off(now)
        return self._loop.limits.unkept(power_kw, None, now)

    def enter_level(self, event: Event, now: float) -> Effects:
        """The next interval begins: from what is shed to what it wants, without a restore."""
        event.meter_until(now, self._site.sampling.gap_limit_sec)
        event.enter_level(now)
        number, of = event.level + 1, len(event.request.levels)
        wanted = f"shed {event.wanted_kw:g} kW"
        if event.is_limit:
            wanted = f"at or under {event.limit_terms.import_kw:g} kW"
        text = f"interval {number} of {of}: {wanted}"
        return self._go_on(event, Reason(ReasonCode.NEXT_INTERVAL, text), now)

    def _go_on(self, event: Event, reason: Reason, now: float) -> Effects:
        event.to(EventState.SHEDDING)
        self._work.reason = reason
        reservation = self._reservation
        return reservation.prepare(event, now) if event.task_id else reservation.request(event, now)

    def protect(self, event: Event, reading: PanelReading | None, now: float) -> Effects:
        """Release the circuits whose comfort guard is past its bound, or silent for too long, and
        shed others in their place. Not before the writes under way are back; while it only waits
        for a reservation they go back, and nothing is shed instead."""
        waits = event.state is EventState.SHEDDING and self._reservation.due_ts is not None
        if self._work.is_unconfirmed or (event.state is not EventState.ACTIVE and not waits):
            return []
        passed = self._guards.passed(event, reading, now)
        if not passed:
            return []
        latest = reading or self._site.latest or PanelReading(now, None, {})
        if waits:
            latest = PanelReading(now, None, {})
            self._reservation.forget_tries()
        else:
            event.to(EventState.SHEDDING)
        plan = plan_guard_release(event, self._site, latest, passed, now)
        first = next(iter(passed.values()))
        self._work.reason = Reason(first.code, "; ".join(why.text for why in passed.values()))
        is_read = latest.power_kw is not None
        held_kw = self._planner.held_kw(event, latest) if is_read else event.predicted_kw
        alerts = self._guards.alerts(event, passed)
        return [*self._writing.begin(event, plan, held_kw, now), *alerts]

    def tick(self, event: Event, now: float) -> Effects:
        """Time has passed."""
        if event.state is not EventState.ACTIVE:
            return []
        if event.is_level_over(now):
            return self.enter_level(event, now)
        if self._reservation.renew_ts(event) <= now:
            event.to(EventState.SHEDDING)
            return self._reservation.request(event, now)
        if self.renew_ts(event) <= now:
            return self._renew_when_read(event, now)
        released = self.protect(event, None, now) if self._guards.is_due(now) else []
        return released or self._loop.tick(event, now)

    def renew_ts(self, event: Event) -> float:
        """When circuits are to be written again whose devices drop it; infinite without such."""
        renew_sec = (self._renew_sec(circuit) for circuit in event.held() if circuit.confirmed)
        due_ts = self._work.renewed_ts + min(renew_sec, default=math.inf)
        asked_ts = self._work.renewal_asked_ts
        return due_ts if asked_ts is None else max(due_ts, asked_ts + READ_WITHIN_SEC)

    def _renew_sec(self, circuit: ShedCircuit) -> float:
        known = self._site.panel.by_id.get(circuit.circuit_id)
        return math.inf if known is None or known.renew_sec is None else known.renew_sec

    def _renew_when_read(self, event: Event, now: float) -> Effects:
        """What is written again is looked at first; if no reading comes, it is written all the
        same."""
        if self._work.renewal_asked_ts is None:
            self._work.renewal_asked_ts = now
            return [ReadMeterEffect()]
        return self._renew(event, now)

    def _renew(self, event: Event, now: float) -> Effects:
        """Not what reads neither as written nor as before, to which its device may drop it: that
        is a person's, as the next reading will show."""
        latest = self._site.latest
        circuits = [
            circuit
            for circuit in event.held()
            if circuit.confirmed
            and not circuit.switching
            and self._renew_sec(circuit) < math.inf
            and not (circuit.seen and circuit.is_others(latest, [circuit.before]))
        ]
        self._work.renewed_ts, self._work.renewal_asked_ts = now, None
        if not circuits:
            return []
        self._work.is_renewal = True
        event.to(EventState.SHEDDING)
        return self._writing.renew(event, circuits)

    def preempted(self, event: Event, task_id: str, by_whom: str) -> Effects:
        """Another agent took our devices: they go back while the actuator still lets us write."""
        if event.task_id != task_id:
            return []
        if event.state is EventState.SHEDDING:
            self._work.reservation_lost = (task_id, by_whom)
        if event.state is not EventState.ACTIVE:
            return []
        event.reserve_as("")
        event.to(EventState.SHEDDING)
        reason = Reason(ReasonCode.DEVICES_TAKEN, f"the devices were taken by {by_whom}")
        self._work.reason = reason
        message = f"event {event.event_id}: {reason.text}"
        alert = RaiseAlertEffect("devices.preempted", message, reason_code=reason.code)
        return [*self._writing.release_all(event), alert]

    def lease_lapsed(self, event: Event, now: float) -> Effects:
        """The devices' lease ran out and they went back by themselves: shed again."""
        self._work.lease_lapsed = event.state is EventState.SHEDDING
        if event.state is not EventState.ACTIVE:
            return []
        text = "the devices had gone back by themselves"
        return self._shed_again(event, Reason(ReasonCode.LEASE_LAPSED, text), now)

    def go_on_waiting(self, event: Event, now: float) -> Effects:
        """What a guard released while the event waited is back: it waits again."""
        text = "it goes on where it was when the agent was stopped"
        return self._shed_again(event, Reason(ReasonCode.RESUMED, text), now)

    def _shed_again(self, event: Event, reason: Reason, now: float) -> Effects:
        event.to(EventState.SHEDDING)
        self._work.reassert, self._work.reason = True, reason
        return self._reservation.request(event, now)
