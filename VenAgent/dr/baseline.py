"""What the site would have drawn without the event.

The rule (CONTRACT.md, Shedding): the mean of the five minutes before the event (60 samples at
5 s); with less than a minute of history, the present power. Samples taken while an event sheds
are not history: they would make the next event's baseline too low.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW_SEC = 300.0
ENOUGH_SEC = 60.0


@dataclass(frozen=True)
class Baseline:
    power_kw: float
    method: str
    """`pre_event_mean` or `present_power`."""
    samples: int


@dataclass
class PowerHistory:
    """The last minutes of the panel's power, in order of time."""

    window_sec: float = WINDOW_SEC
    _samples: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, ts: float, power_kw: float) -> None:
        """Add a sample; one that is not newer than the last is the same reading again."""
        if self._samples and ts <= self._samples[-1][0]:
            return
        self._samples.append((ts, power_kw))
        while self._samples[0][0] < ts - self.window_sec:
            self._samples.popleft()

    def baseline(self, now: float, present_kw: float) -> Baseline:
        """The baseline of an event that begins at `now`, when the meter shows `present_kw`."""
        recent = [(ts, kw) for ts, kw in self._samples if now - self.window_sec <= ts <= now]
        if not recent or recent[-1][0] - recent[0][0] < ENOUGH_SEC:
            return Baseline(present_kw, "present_power", 1)
        mean_kw = sum(kw for _, kw in recent) / len(recent)
        return Baseline(mean_kw, "pre_event_mean", len(recent))
