"""The panel's power while an event was active, weighted by time.

Times are epoch seconds, power kW.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class MeasuredPower:
    """Nothing in it changes: `add` and the others return what is known then."""

    samples: int = 0
    covered_sec: float = 0.0
    kw_sec: float = 0.0
    last_ts: float | None = None
    last_kw: float = 0.0
    paused_sec: float = 0.0
    paused_ts: float | None = None

    def is_newer(self, ts: float) -> bool:
        """Whether a sample of `ts` is another than the last."""
        return self.last_ts is None or ts > self.last_ts

    def add(self, ts: float, power_kw: float) -> MeasuredPower:
        """With one sample more; one that is not newer is the same reading again."""
        if not self.is_newer(ts):
            return self
        since_sec = 0.0 if self.last_ts is None else ts - self.last_ts
        return replace(
            self,
            samples=self.samples + 1,
            covered_sec=self.covered_sec + since_sec,
            kw_sec=self.kw_sec + self.last_kw * since_sec,
            last_ts=ts,
            last_kw=power_kw,
        )

    def pause(self, now: float) -> MeasuredPower:
        """What is drawn from now on does not count."""
        return replace(self, paused_ts=now, last_ts=None)

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

    @property
    def mean_kw(self) -> float | None:
        if not self.samples:
            return None
        return self.kw_sec / self.covered_sec if self.covered_sec else self.last_kw
