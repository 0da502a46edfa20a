"""An event's writes are back, or its plan came to nothing: it is under way, and says so."""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.closed_loop import ClosedLoop
from VenAgent.dr.curtailment_plan import settling_shed_kw
from VenAgent.dr.effects import (
    AnnounceEffect,
    Effects,
    RaiseAlertEffect,
    ReadMeterEffect,
    ReleaseEffect,
    SaveEventEffect,
)
from VenAgent.dr.event import Event
from VenAgent.dr.event_work import EventWork
from VenAgent.dr.grid_limits import GridLimitSide
from VenAgent.dr.guard_watch import GuardWatch
from VenAgent.dr.limit_failsafe import limit_failsafe_reason
from VenAgent.dr.plan_execution import PlanExecution
from VenAgent.dr.reservation import Reservation
from VenAgent.dr.site_state import SiteState


class EventActivation:
    """From SHEDDING to ACTIVE: for the first time, or again."""

    def __init__(
        self,
        site: SiteState,
        reservation: Reservation,
        writing: PlanExecution,
        loop: ClosedLoop,
        guards: GuardWatch,
        work: EventWork,
    ) -> None:
        self._site = site
        self._reservation = reservation
        self._writing = writing
        self._loop = loop
        self._guards = guards
        self._work = work

    def activate(self, event: Event, now: float, note: Reason | None = None) -> Effects:
        """The writes are back: the event is under way, or on its way again."""
        replies, is_first, work = self._site.replies, event.active_ts is None, self._work
        self._reservation.forget_tries()
        event.activate(now)
        self._site.unshown.note(event, self._site.latest, now)
        shows_kw = self._writing.expected_kw - settling_shed_kw(event, now)
        shown_sec = (
            known.shown_after_sec
            for circuit in event.circuits
            if (known := self._site.panel.by_id.get(circuit.circuit_id)) is not None
        )
        moves_sec = max(self._site.meter_wait_sec, *shown_sec, 0.0)
        self._loop.restart(shows_kw, moves_until_ts=now + moves_sec, written_ts=now)
        self._guards.watch(event, now)
        unkept, unkept_reason = self._unkept(event, note, now)
        note = note or work.reason or unkept_reason or limit_failsafe_reason(event)
        reason = _joined(note, event.left_out())
        if is_first or not event.acked:
            acks = replies.to_event(event, AckStatus.ACCEPTED, now, reason)
        elif work.reason is not None:
            acks = [replies.follow_up(event, AckStatus.ADJUSTED, now, reason)]
        else:
            acks = []
        work.reason = None
        return [
            SaveEventEffect.of(event),
            self._site.save_cycling_limits(),
            *acks,
            *unkept,
            *self._give_up_devices(event),
            AnnounceEffect.of(event),
            ReadMeterEffect(),
        ]

    def _unkept(
        self, event: Event, note: Reason | None, now: float
    ) -> tuple[Effects, Reason | None]:
        """What is said of limits when the writes of one are back and do not keep them."""
        if not event.is_limit or event.limit.reference_kw is None:
            return [], None
        power_kw = event.limit.reference_kw - self._writing.expected_kw
        why = None if note is None else note.text
        limits = self._loop.limits
        reasons = [limits.reason_not_kept(event, s, power_kw, why, now) for s in GridLimitSide]
        reason = next((each for each in reasons if each is not None), None)
        return limits.unkept(power_kw, why, now), reason

    def _give_up_devices(self, event: Event) -> Effects:
        """A limit that holds nothing leaves the devices to others."""
        if not event.is_limit or event.held() or not event.task_id:
            return []
        released = ReleaseEffect(event.task_id)
        event.reserve_as("")
        return [SaveEventEffect.of(event), released]

    def go_on_as_it_is(self, event: Event, reason: Reason, now: float) -> Effects:
        """Nothing came of the plan. What is shed already stays so, and the event goes on."""
        self._writing.expected_kw = event.predicted_kw
        self._work.reason, self._work.reassert = None, False
        is_left_over = event.is_limit and reason.code is ReasonCode.NOTHING_TO_SHED
        effects = self.activate(event, now, None if is_left_over else reason)
        self._loop.hold_off(now)
        if event.is_limit:
            self._loop.limits.hold_off(now)
            return effects
        return [*effects, event_activation_alert(event, reason.text, reason.code)]


def event_activation_alert(event: Event, why: str, code: ReasonCode) -> RaiseAlertEffect:
    """Less is shed than was asked."""
    return RaiseAlertEffect("shed.short", f"event {event.event_id}: {why}", reason_code=code)


def _joined(reason: Reason | None, left_out: str | None) -> Reason | None:
    """Why circuits are added or released, and which did not confirm."""
    if left_out is None:
        return reason
    if reason is None:
        return Reason(ReasonCode.PARTLY_WRITTEN, left_out)
    return Reason(reason.code, f"{reason.text}; {left_out}")
