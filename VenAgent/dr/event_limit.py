"""How a limit stands: whether its sender is heard, and how the site has kept it so far.

Power is kW, times epoch seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class EventLimit:
    """Of an event that is a limit. Nothing changes it: each method under "changes" returns it as it
    is after that, and `Event.keep_limit` takes it in the place of the old."""

    reference_kw: float | None = None
    """What the site drew at its last plan, and what was held off then."""
    heartbeat_ts: float | None = None
    """With `heartbeat_sec`: when its sender was heard last."""
    failsafe_ts: float | None = None
    """Since when the failsafe limit rules; None while the sender is heard."""
    failsafe_kw: float | None = None
    """What the failsafe limit was when it began to rule, and for how long it was to rule at least:
    a change that leaves them out shortens nothing."""
    failsafe_least_sec: float = 0.0
    new_limit_ts: float | None = None
    """When a new limit came during that."""
    highest_mean_kw: float | None = None
    """The highest mean over its window while it was in force."""
    over_limit_sec: float = 0.0
    """How long that mean was over it."""
    highest_export_kw: float | None = None
    """The same of what was fed in, where that is limited."""
    over_export_sec: float = 0.0
    seen_sec: float = 0.0
    """How long the meter was read while it was in force: of the rest nothing is known."""

    @property
    def is_failsafe(self) -> bool:
        """Whether the failsafe limit rules."""
        return self.failsafe_ts is not None

    # ---- changes -------------------------------------------------------------------------

    def referring_to(self, reference_kw: float) -> EventLimit:
        """What the site would draw now without it."""
        return replace(self, reference_kw=reference_kw)

    def heard(self, ts: float) -> EventLimit:
        """A sign of its sender."""
        return replace(self, heartbeat_ts=max(self.heartbeat_ts or ts, ts))

    def in_failsafe(self, now: float, failsafe_kw: float, least_sec: float) -> EventLimit:
        """The sender was not heard for too long: the failsafe limit rules."""
        return replace(
            self,
            failsafe_ts=now,
            failsafe_kw=failsafe_kw,
            failsafe_least_sec=least_sec,
            new_limit_ts=None,
        )

    def with_new_limit(self, now: float) -> EventLimit:
        """A new limit came while the failsafe limit rules."""
        return replace(self, new_limit_ts=now)

    def without_new_limit(self) -> EventLimit:
        """Its sender fell silent again: the limit that came before is out of date."""
        return replace(self, new_limit_ts=None)

    def out_of_failsafe(self) -> EventLimit:
        """The sender was heard, and gave a new limit."""
        return replace(
            self, failsafe_ts=None, failsafe_kw=None, failsafe_least_sec=0.0, new_limit_ts=None
        )

    def with_mean(self, mean_kw: float, over_sec: float) -> EventLimit:
        """The mean over its window, and for how long more it was over the limit."""
        highest_kw = _higher(self.highest_mean_kw, mean_kw)
        return replace(
            self, highest_mean_kw=highest_kw, over_limit_sec=self.over_limit_sec + over_sec
        )

    def with_export_mean(self, mean_kw: float, over_sec: float) -> EventLimit:
        """The same of what is fed in."""
        highest_kw = _higher(self.highest_export_kw, mean_kw)
        return replace(
            self, highest_export_kw=highest_kw, over_export_sec=self.over_export_sec + over_sec
        )

    def with_seen(self, seconds: float) -> EventLimit:
        """The meter was read for so long more."""
        return replace(self, seen_sec=self.seen_sec + seconds)

    def shifted(self, step_sec: float) -> EventLimit:
        """The clock was set by `step_sec`."""

        def moved(moment: float | None) -> float | None:
            return None if moment is None else moment + step_sec

        return replace(
            self,
            heartbeat_ts=moved(self.heartbeat_ts),
            failsafe_ts=moved(self.failsafe_ts),
            new_limit_ts=moved(self.new_limit_ts),
        )


def _higher(known_kw: float | None, mean_kw: float) -> float:
    return mean_kw if known_kw is None else max(known_kw, mean_kw)
