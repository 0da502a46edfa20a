"""The panel's power while an event was active, as its readings come.

Times are epoch seconds, power kW.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from VenAgent.baseline.settlement import SettledTime, Settlement, settlement_of


@dataclass(frozen=True)
class MeasuredPower:
    """Nothing in it changes: `add` and the others return what is known then.

    A reading stands until the next one, if that comes within the meter's gap limit
    (`SamplingInterval`); a longer time between two readings was not seen.
    """

    samples: int = 0
    seen_sec: float = 0.0
    kw_sec: float = 0.0
    baseline_kw_sec: float = 0.0
    """Of the baseline, over the time that was seen."""
    last_ts: float | None = None
    last_kw: float = 0.0
    last_baseline_kw: float | None = None
    paused_sec: float = 0.0
    paused_ts: float | None = None

    def is_newer(self, ts: float) -> bool:
        """Whether a sample of `ts` is another than the last."""
        return self.last_ts is None or ts > self.last_ts

    def add(
        self, ts: float, power_kw: float, baseline_kw: float | None, gap_limit_sec: float
    ) -> MeasuredPower:
        """With one sample more; one that is not newer is the same reading again.

        `baseline_kw`: the baseline's at `ts`; None without one.
        """
        if not self.is_newer(ts):
            return self
        return replace(
            self.until(ts, gap_limit_sec),
            samples=self.samples + 1,
            last_ts=ts,
            last_kw=power_kw,
            last_baseline_kw=baseline_kw,
        )

    def until(self, ts: float, gap_limit_sec: float) -> MeasuredPower:
        """With the time from the last sample to `ts`, if that is no gap."""
        since_sec = 0.0 if self.last_ts is None else ts - self.last_ts
        if not 0.0 < since_sec <= gap_limit_sec:
            return self
        return replace(
            self,
            seen_sec=self.seen_sec + since_sec,
            kw_sec=self.kw_sec + self.last_kw * since_sec,
            baseline_kw_sec=self.baseline_kw_sec + (self.last_baseline_kw or 0.0) * since_sec,
            last_ts=ts,
        )

    def pause(self, now: float, gap_limit_sec: float) -> MeasuredPower:
        """What is drawn from now on does not count."""
        return replace(self.until(now, gap_limit_sec), paused_ts=now, last_ts=None)

    def go_on(self, now: float) -> MeasuredPower:
        """It counts again."""
        if self.paused_ts is None:
            return self
        paused_sec = self.paused_sec + max(0.0, now - self.paused_ts)
        return replace(self, paused_sec=paused_sec, paused_ts=None)

    def shifted(self, step_sec: float) -> MeasuredPower:
        """The clock was set: between the samples before and after nothing is known."""
        paused_ts = None if self.paused_ts is None else self.paused_ts + step_sec
        return replace(self, last_ts=None, paused_ts=paused_ts)

    def since(self, earlier: MeasuredPower) -> MeasuredPower:
        """What was added to `earlier`, to become this."""
        return replace(
            self,
            samples=self.samples - earlier.samples,
            seen_sec=self.seen_sec - earlier.seen_sec,
            kw_sec=self.kw_sec - earlier.kw_sec,
            baseline_kw_sec=self.baseline_kw_sec - earlier.baseline_kw_sec,
            paused_sec=self.paused_sec - earlier.paused_sec,
        )

    def settle(self, event_sec: float) -> Settlement:
        """What was delivered, of an event of `event_sec`, pauses included."""
        active_sec = max(0.0, event_sec - self.paused_sec)
        if not self.samples:
            return settlement_of(0, active_sec, ())
        seen = SettledTime(0.0, self.last_kw, self.last_baseline_kw)
        if self.seen_sec > 0.0:
            has_baseline = self.last_baseline_kw is not None
            baseline_kw = self.baseline_kw_sec / self.seen_sec if has_baseline else None
            seen = SettledTime(self.seen_sec, self.kw_sec / self.seen_sec, baseline_kw)
        return settlement_of(self.samples, active_sec, [seen])
