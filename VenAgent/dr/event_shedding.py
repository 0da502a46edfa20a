"""What becomes of an event while it is SHEDDING: from what was prepared to a plan, and from the
results of its writes to what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from VenAgent.contract.reasons import Reason, ReasonCode, common_reason_code
from VenAgent.dr.effects import Effects, PreparedEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.event_planner import EventPlanner
from VenAgent.dr.event_work import EventWork
from VenAgent.dr.guard_watch import GuardWatch
from VenAgent.dr.load_up_plan import NOTHING_TO_RAISE
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.plan_execution import PlanExecution
from VenAgent.dr.reservation import Reservation
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

NOTHING_TO_SHED = Reason(
    ReasonCode.NOTHING_TO_SHED,
    "no circuit can be shed now: all are critical, switched off, unread or draw nothing",
)
METER_UNREADABLE = Reason(
    ReasonCode.METER_UNREADABLE, "the meter could not be read; nothing was shed"
)


class EventSheddingStep(Enum):
    """What comes next for the event."""

    WAIT = "wait"
    """For the report on the work that its effects began."""
    ACTIVATE = "activate"
    STAY = "stay"
    """The plan came to nothing: the event goes on as it is, or fails if nothing is shed yet."""
    FAIL = "fail"
    END = "end"


@dataclass(frozen=True)
class EventSheddingOutcome:
    """Effects, and what comes after them; `reason` says why it stays or fails."""

    effects: Effects
    step: EventSheddingStep = EventSheddingStep.WAIT
    reason: Reason | None = None


class EventShedding:
    """Of the event that has precedence; its states are changed by who asks."""

    def __init__(
        self,
        site: SiteState,
        reservation: Reservation,
        planner: EventPlanner,
        writing: PlanExecution,
        guards: GuardWatch,
        work: EventWork,
    ) -> None:
        self._site = site
        self._reservation = reservation
        self._planner = planner
        self._writing = writing
        self._guards = guards
        self._work = work

    def prepared(self, event: Event, outcome: PreparedEffect, now: float) -> EventSheddingOutcome:
        """The reservation and the fresh reading are there, or why not: plan and write."""
        if event.is_ending:
            return EventSheddingOutcome([], EventSheddingStep.END)
        reading, work, planner = outcome.reading, self._work, self._planner
        if not outcome.is_complete and self._reservation.may_try_again(
            event, outcome, now, reassert=work.reassert
        ):
            return EventSheddingOutcome(self._reservation.try_again(event, outcome, now))
        if reading is not None and reading.power_kw is not None:
            planner.set_baseline(event, reading, now)
        if outcome.refusal is not None:
            return _stays(outcome.refusal)
        if reading is None or reading.power_kw is None:
            return _stays(METER_UNREADABLE)
        self._site.latest = reading
        unreached = event.unreached(reading, now)
        reassert = work.reassert or (work.is_unconfirmed and len(unreached) < len(event.held()))
        replanned = unreached if work.is_unconfirmed and not work.reassert else ()
        work.reassert = work.is_unconfirmed = False
        if reassert and event.held():
            past = self._guards.past_in(event, reading)
            return EventSheddingOutcome(self._writing.write_again(event, past, but=replanned))
        held_kw = planner.held_kw(event, reading)
        target = planner.target(event, reading, held_kw, now)
        plan = planner.plan(
            *(event, reading, target, now), may_exchange=work.may_exchange, unreached=unreached
        )
        if plan.circuits:
            planner.note_limit(target, now)
            return EventSheddingOutcome(self._writing.begin(event, plan, held_kw, now))
        if target.is_met or (work.is_next_level and target.missing_kw < 0.0):
            self._writing.expected_kw = held_kw
            return EventSheddingOutcome([], EventSheddingStep.ACTIVATE)
        why = NOTHING_TO_RAISE if event.is_load_up else NOTHING_TO_SHED
        return _stays(target.why_capped or why)

    def written(
        self,
        event: Event,
        failures: Mapping[str, Reason],
        now: float,
        reading: PanelReading | None = None,
    ) -> EventSheddingOutcome:
        """The writes ended: others take the place of those that failed, where there are any."""
        plan = self._writing.written(event, failures, now, reading)
        effects = plan.alerts
        if event.is_ending:
            return EventSheddingOutcome(effects, EventSheddingStep.END)
        before = self._site.latest  # what has gone back since is not as it shows
        planner, may_exchange = self._planner, self._work.may_exchange
        if plan.may_replace and before is not None and plan.missing_kw > planner.band_kw(event):
            held_kw = self._writing.expected_kw - plan.failed_kw
            target = ShedTarget(plan.missing_kw, planner.band_kw(event), is_limit=event.is_limit)
            instead = planner.plan(event, before, target, now, may_exchange=may_exchange)
            if instead.circuits:
                begun = self._writing.begin(event, instead, held_kw, now)
                return EventSheddingOutcome([*effects, *begun])
        began = event.active_ts is not None or event.is_limit
        failed_all = event.circuits and not any(circuit.confirmed for circuit in event.circuits)
        if not began and failed_all:
            why = "; ".join(f"{c.circuit_id}: {c.failure}" for c in event.circuits)
            code = common_reason_code(failures.values(), ReasonCode.WRITE_FAILED)
            reason = Reason(code, f"no write was confirmed: {why}")
            if self._reservation.may_write_again(event, failures.values(), now):
                return EventSheddingOutcome([*effects, *self._write_later(event, reason, now)])
            return EventSheddingOutcome(effects, EventSheddingStep.FAIL, reason)
        if event.is_limit:
            self._writing.expected_kw -= plan.failed_kw
        return EventSheddingOutcome(effects, EventSheddingStep.ACTIVATE)

    def _write_later(self, event: Event, reason: Reason, now: float) -> Effects:
        """Reserve, read and write again, once the devices may be back."""
        self._work.is_unconfirmed = True
        outcome = PreparedEffect(refusal=reason, may_pass=True, task_id=event.task_id)
        saved = SaveEventEffect.of(event)
        return [saved, *self._reservation.try_again(event, outcome, now)]


def _stays(reason: Reason) -> EventSheddingOutcome:
    return EventSheddingOutcome([], EventSheddingStep.STAY, reason)
