"""What an event is measured against, and the plan that brings it to its target."""

from __future__ import annotations

from collections.abc import Container

from VenAgent.dr.curtailment_plan import CurtailmentPlan, plan_curtailment, settling_shed_kw
from VenAgent.dr.event import Event
from VenAgent.dr.event_baseline import EventBaseline
from VenAgent.dr.load_up_plan import plan_load_up
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState


class EventPlanner:
    """Plans from a reading; it changes nothing but the baseline of an event that has none."""

    def __init__(self, site: SiteState) -> None:
        self._site = site

    def set_baseline(self, event: Event, reading: PanelReading, now: float) -> None:
        """Once, from what was read before the event. What a limit is steered by is what the site
        would draw now without it."""
        present_kw = reading.power_kw or 0.0
        if event.is_limit:
            present_kw = self._site.net_kw(event, reading, now)
            reference_kw = present_kw + event.predicted_kw - settling_shed_kw(event, now)
            event.keep_limit(event.limit.referring_to(reference_kw))
        if event.is_limit or event.baseline is not None:
            return
        site, request = self._site, event.request
        event.measure_against(
            EventBaseline.at_start(
                site.policy.baseline_method,
                site.history,
                site.intervals,
                site.panel,
                now=now,
                end_ts=request.end_ts,
                present_kw=present_kw + event.held_off_load_kw,  # by a limit already
                requested_kw=request.shed_kw,
            )
        )

    def plan(
        self,
        event: Event,
        reading: PanelReading,
        target: ShedTarget,
        now: float,
        *,
        may_exchange: bool = False,
        unreached: Container[str] = (),
    ) -> CurtailmentPlan:
        """What brings the event to its target. What was let draw more goes back before anything is
        shed, and what nobody asks for any more before anything else that can wait. `unreached`:
        circuits of the event that may be tried again."""
        more_kw = -target.missing_kw if target.is_export else target.missing_kw
        back = [] if more_kw > target.band_kw else self._site.no_longer_needed(event, now)
        if back:
            gone_kw = sum(circuit.shed_kw for circuit in back if circuit.counts)
            return CurtailmentPlan(tuple(circuit.to_release() for circuit in back), -gone_kw)
        raised = any(circuit.is_raised for circuit in event.held())
        lowered = CurtailmentPlan()
        if target.is_export or (event.is_load_up and (raised or target.missing_kw < 0.0)):
            return plan_load_up(event, self._site, reading, target, now, unreached=unreached)
        if raised and target.missing_kw > target.band_kw:
            lowered = plan_load_up(event, self._site, reading, target, now)
            if lowered.delta_kw >= target.missing_kw - target.band_kw:
                return lowered
        shed = plan_curtailment(
            *(event, self._site, reading, target, now),
            may_exchange=may_exchange,
            unreached=unreached,
        )
        more = [c for c in lowered.circuits if c.circuit_id not in shed.circuit_ids]
        if not more:
            return shed
        return CurtailmentPlan((*shed.circuits, *more), shed.delta_kw + lowered.delta_kw)

    def target(self, event: Event, reading: PanelReading, held_kw: float, now: float) -> ShedTarget:
        """What is wanted at `reading`, while `held_kw` are shed."""
        power_kw = self._site.net_kw(event, reading, now)
        return ShedTarget.of(event, self._site, power_kw, held_kw, now)

    def note_limit(self, target: ShedTarget, now: float) -> None:
        """Circuits that are switched for a limit are not to be so too often."""
        limits = self._site.export_limits if target.is_export else self._site.limits
        if target.is_limit and not target.is_met:
            limits.note_correction(now)
        elif target.is_limit:
            limits.note_release(now)

    def held_kw(self, event: Event, reading: PanelReading) -> float:
        """What is shed already: as measured, or as planned when another meter is read now, or one
        that is frozen."""
        is_measured = self._site.is_comparable(event) and not self._site.stillness.is_suspect
        return event.shed_in(reading) if is_measured else event.predicted_kw

    def band_kw(self, event: Event) -> float:
        """How far from its target the event may be."""
        return event.band_kw(self._site.policy.band)
