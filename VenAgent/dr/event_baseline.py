"""What an event is measured against: one baseline to steer by, one to settle by."""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.baseline.baseline import Baseline, baseline_kw_at
from VenAgent.baseline.baseline_methods import baseline_by_method
from VenAgent.baseline.intervals import IntervalHistory
from VenAgent.baseline.recent_power import RecentPower
from VenAgent.dr.panel import Panel


@dataclass(frozen=True)
class EventBaseline:
    """Power in kW."""

    steering_kw: float
    """What the event is steered by: the mean power of the minutes before it."""
    settlement_kw: float
    """What it is settled by: the baseline of the site's method over the whole event."""
    method: str
    samples: int | None = None
    rrmse_percent: float | None = None
    note: str | None = None
    profile: tuple[tuple[int, float], ...] = ()
    """What it is settled by at each time: (start of a 15-minute interval, kW); empty when flat."""
    measured_by: str = ""
    """What the power was read from (`Panel.measured_by`): no other is comparable."""

    def settlement_kw_at(self, ts: float) -> float:
        """What the event is settled by at `ts` (epoch s)."""
        return baseline_kw_at(ts, self.profile, self.settlement_kw)

    @classmethod
    def at_start(
        cls,
        method: str,
        recent: RecentPower,
        intervals: IntervalHistory,
        panel: Panel,
        *,
        now: float,
        end_ts: float,
        present_kw: float,
        requested_kw: float,
    ) -> EventBaseline:
        """Of an event from `now` to `end_ts`. Steered by the minutes before, settled by `method`:
        the days that it compares the event with may have begun it higher or lower.

        What cannot be is not used: a baseline over the panel's rating, or one that would make the
        target negative while the site draws more than is requested. The present power takes its
        place, at most the rating.
        """
        present_kw = min(present_kw, panel.max_kw)
        steering_kw = recent.baseline(now, present_kw).power_kw
        if steering_kw > panel.max_kw or steering_kw < requested_kw <= present_kw:
            steering_kw = present_kw
        settlement = baseline_by_method(
            method,
            recent,
            intervals,
            start_ts=now,
            end_ts=end_ts,
            now=now,
            present_kw=present_kw,
        )
        highest_kw = max([settlement.power_kw, *(kw for _, kw in settlement.profile)])
        if highest_kw > panel.max_kw:
            note = (
                f"{settlement.method} gave {highest_kw:.0f} kW, more than the panel's "
                f"{panel.max_kw:.0f} kW; the present power takes its place"
            )
            settlement = Baseline(present_kw, "present_power", 1, note=note)
        return cls(
            steering_kw=steering_kw,
            settlement_kw=settlement.power_kw,
            method=settlement.method,
            samples=settlement.samples,
            rrmse_percent=settlement.rrmse_percent,
            note=settlement.note,
            profile=settlement.profile,
            measured_by=panel.measured_by,
        )
