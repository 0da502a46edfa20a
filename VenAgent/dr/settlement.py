"""What an event is measured against: one baseline to steer by, one to settle by."""

from __future__ import annotations

from VenAgent.baseline.methods import choose_baseline
from VenAgent.dr.event import Event
from VenAgent.dr.site_state import SiteState

BASELINE_FIELDS = (
    "baseline_kw",
    "settled_kw",
    "baseline_method",
    "baseline_samples",
    "baseline_rrmse_percent",
    "baseline_note",
)


def take_baseline(event: Event, context: SiteState, power_kw: float, now: float) -> None:
    """Steered by the minutes before, settled by the site's method: the days that this one
    compares the event with may have begun it higher or lower than it really begins."""
    event.baseline_kw = context.history.baseline(now, power_kw).power_kw
    settled = choose_baseline(
        context.policy.baseline_method,
        context.history,
        context.intervals,
        start_ts=now,
        end_ts=event.end_ts,
        now=now,
        present_kw=power_kw,
    )
    event.settled_kw, event.baseline_method = settled.power_kw, settled.method
    event.baseline_samples, event.baseline_note = settled.samples, settled.note
    event.baseline_rrmse_percent = settled.rrmse_percent


def inherit_baseline(event: Event, heir_of: Event) -> None:
    """An event that takes over another's shed has the baseline from before both."""
    for name in BASELINE_FIELDS:
        setattr(event, name, getattr(heir_of, name))
