"""What an event is measured against, and the plan that brings it to its target."""

from __future__ import annotations

from VenAgent.dr.curtailment_plan import CurtailmentPlan, plan_curtailment
from VenAgent.dr.event import Event
from VenAgent.dr.event_baseline import EventBaseline
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.site_state import SiteState


class EventPlanner:
    """Plans from a reading; it changes nothing but the baseline of an event that has none."""

    def __init__(self, site: SiteState) -> None:
        self._site = site

    def set_baseline(self, event: Event, present_kw: float, now: float) -> None:
        """Once, from what was read before the event."""
        if event.baseline is not None:
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
                present_kw=present_kw,
                requested_kw=request.shed_kw,
            )
        )

    def plan(
        self,
        event: Event,
        reading: PanelReading,
        held_kw: float,
        now: float,
        *,
        may_exchange: bool = False,
    ) -> CurtailmentPlan:
        """What brings the event from `held_kw` to its target."""
        return plan_curtailment(event, self._site, reading, held_kw, now, may_exchange=may_exchange)

    def held_kw(self, event: Event, reading: PanelReading) -> float:
        """What is shed already: as measured, or as planned when another meter is read now."""
        return event.shed_in(reading) if self._site.is_comparable(event) else event.predicted_kw

    def band_kw(self, event: Event) -> float:
        """How far from its target the event may be."""
        return event.band_kw(self._site.policy.band)

    def is_on_target(self, event: Event, held_kw: float) -> bool:
        return abs(event.wanted_kw - held_kw) <= self.band_kw(event)
