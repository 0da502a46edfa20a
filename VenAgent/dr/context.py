"""What all parts of the core share about the site: its panel, its rules, what was read of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from VenAgent.dr.answers import Answers
from VenAgent.dr.baseline import IntervalHistory, PowerHistory
from VenAgent.dr.effects import Keep
from VenAgent.dr.panel import Panel, Reading
from VenAgent.dr.policy import Policy
from VenAgent.dr.wear import FACT, Wear


@dataclass
class Context:
    panel: Panel
    answers: Answers
    policy: Policy
    history: PowerHistory = field(default_factory=PowerHistory)
    intervals: IntervalHistory = field(default_factory=IntervalHistory)
    """The site's quarter hours of the last weeks."""
    wear: Wear = field(default_factory=Wear)
    latest: Reading | None = None
    lease_overdue: bool = False
    """The shed lease was not renewed in time: circuits that have changed are no one's hand."""
    switching: dict[str, float] = field(default_factory=dict)
    """Circuits that a command switches, and until when (epoch s) readings may not show it yet."""

    def barred(self, end_ts: float, now: float) -> set[str]:
        """The circuits that may not be shed from now to `end_ts`."""
        switching = {name for name, until_ts in self.switching.items() if now < until_ts}
        return switching | set(self.wear.all_barred(self.panel, now, end_ts))

    def keep_wear(self) -> Keep:
        return Keep(FACT, self.wear.as_fact())
