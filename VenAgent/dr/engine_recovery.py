"""Taking over what an earlier process left: from the journal or, where it is lost, the devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from VenAgent.dr.arbitration import Arbitration
from VenAgent.dr.curtailed_circuits import circuits_that_look_curtailed
from VenAgent.dr.cycling_limits import CYCLING_LIMITS_FACT, CyclingLimits
from VenAgent.dr.effects import Effects
from VenAgent.dr.event import Event
from VenAgent.dr.event_request import EventRequest
from VenAgent.dr.event_state import EventState
from VenAgent.dr.learned_shed import LEARNED_RISE_FACT, LEARNED_SHED_FACT, LearnedSheds
from VenAgent.dr.load_control import LoadControl
from VenAgent.dr.meter_delay import METER_DELAY_FACT, MeterDelay
from VenAgent.dr.panel import Panel, PanelReading
from VenAgent.dr.site_state import SiteState


@dataclass(frozen=True)
class RecoveredEngineState:
    """What an earlier process left in the journal."""

    events: Iterable[Event] = ()
    replies: Iterable[Mapping[str, Any]] = ()
    """The acks that commands got."""
    fingerprints: Iterable[tuple[str, str]] = ()
    """What commands asked for: correlation_id and fingerprint, oldest first."""
    past: Iterable[tuple[str, int]] = ()
    """Events that are over, oldest first: id and modification."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    last_ts: float | None = None
    """When the earlier process last wrote."""


class EngineRecovery:
    """Puts what was recovered where it belongs; what follows from it is the engine's to decide."""

    def __init__(
        self, site: SiteState, arbitration: Arbitration, load_control: LoadControl
    ) -> None:
        self._site = site
        self._arbitration = arbitration
        self._load_control = load_control

    def take(self, recovered: RecoveredEngineState, now: float) -> Effects:
        """All that was recovered."""
        site, arbitration, facts = self._site, self._arbitration, recovered.facts
        for body in recovered.replies:
            site.replies.remember(body)
        for correlation_id, fingerprint in recovered.fingerprints:
            site.replies.recall_fingerprint(correlation_id, fingerprint)
        arbitration.queue.recall(recovered.past, facts)
        site.cycling_limits = CyclingLimits(facts.get(CYCLING_LIMITS_FACT))
        site.learned_sheds = LearnedSheds(facts.get(LEARNED_SHED_FACT))
        site.learned_rises = LearnedSheds(facts.get(LEARNED_RISE_FACT))
        site.meter_delay = MeterDelay(facts.get(METER_DELAY_FACT))
        site.panel = site.with_learned_sheds(site.panel)
        arbitration.opt_out.recall(facts)
        site.unrestored.recall(facts, now)
        effects = self._load_control.recall(facts, now)
        for event in sorted(recovered.events, key=lambda e: e.request.start_ts):
            self._expect_again(event)
            if event.active_ts is not None:
                site.take_limit(event)
            if event.state is EventState.SCHEDULED:
                arbitration.queue.waiting[event.event_id] = event
            elif event.state.over:
                arbitration.rebounds.watched.append(event)
            else:
                arbitration.recovered.append(event)
        return effects

    def _expect_again(self, event: Event) -> None:
        expected: list[str | None] = []
        if not event.acked:
            expected += [event.request.correlation_id, *event.duplicate_correlation_ids]
        if event.pending is not None:
            expected.append(event.pending.request.correlation_id)
        if event.ended_by is not None and not event.ended_by.acked:
            expected.append(event.ended_by.correlation_id)
        for correlation_id in expected:
            self._site.replies.expect(correlation_id)


def recovery_event(panel: Panel, reading: PanelReading, now: float) -> Event | None:
    """The event that brings back whatever reads as shed; None if nothing does."""
    circuits = circuits_that_look_curtailed(panel, reading)
    if not circuits:
        return None
    return Event(
        event_id=f"recovery-{now:.0f}",
        request=EventRequest("recover", None, 0.0, start_ts=now, end_ts=now),
        state=EventState.RESTORING,
        circuits=tuple(circuits),
        acked=True,
    )
