"""The site's past in 15-minute means.

Times are epoch seconds; an interval is named by its start, a multiple of 900 s. Days are the
site's own: a baseline compares ten o'clock with ten o'clock, in summer time too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property

from VenAgent.baseline.site_calendar import SiteCalendar

INTERVAL_SEC = 900
DAY_SEC = 86_400


@dataclass(frozen=True)
class IntervalHistory:
    """What is known of the past; nothing in it changes."""

    means: Mapping[int, float] = field(default_factory=dict)
    """Start of an interval → its mean power in kW. One that was hardly read is not in it."""
    touched: Set[int] = frozenset()
    """The starts of the intervals in which an event shed something."""
    calendar: SiteCalendar = field(default_factory=SiteCalendar)

    def mean_kw(self, start: int) -> float | None:
        """The interval's mean; None if it is not known or not the site's own will."""
        return None if start in self.touched else self.means.get(start)

    def had_event(self, begin: int, end: int) -> bool:
        """Whether an event shed something in any interval that starts in [begin, end)."""
        at = bisect_left(self._touched_in_order, begin)
        return at < len(self._touched_in_order) and self._touched_in_order[at] < end

    @cached_property
    def _touched_in_order(self) -> tuple[int, ...]:
        return tuple(sorted(self.touched))


def interval_start_of(ts: float) -> int:
    """The start of the interval that `ts` lies in."""
    return int(ts // INTERVAL_SEC) * INTERVAL_SEC
