"""The dead-man's watch of a device: without a beat for too long it lets go. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DEFAULT_HEARTBEAT_TIMEOUT_SEC = 120


@dataclass
class HeartbeatWatch:
    """The dead-man's watch. The first beat arms it; when it fires it waits for a new first beat.

    Seconds are real ones, also when the physics is accelerated: the master is real.
    """

    timeout_sec: int = DEFAULT_HEARTBEAT_TIMEOUT_SEC
    value: int = 0
    count: int = 0
    expired_count: int = 0
    last_beat_sec: float | None = None

    @property
    def armed(self) -> bool:
        """A beat came, and the watch has not fired since."""
        return self.last_beat_sec is not None

    @property
    def deadline_sec(self) -> float | None:
        """When the watch fires; None while disarmed, or switched off by a time-out of 0."""
        if self.last_beat_sec is None or self.timeout_sec == 0:
            return None
        return self.last_beat_sec + self.timeout_sec

    def beat(self, value: int, mono_sec: float) -> None:
        """Any write counts, whatever its value."""
        self.value = value
        self.count += 1
        self.last_beat_sec = mono_sec

    def expire(self) -> None:
        """Fire once, and disarm until the next beat."""
        self.expired_count += 1
        self.last_beat_sec = None

    def power_up(self) -> None:
        """Disarmed, and with the time-out that a new device has; what was counted stays."""
        self.value = 0
        self.timeout_sec = DEFAULT_HEARTBEAT_TIMEOUT_SEC
        self.last_beat_sec = None

    def state(self, mono_sec: float) -> dict[str, Any]:
        """Everything there is to know at this time, for the control port."""
        deadline_sec = self.deadline_sec
        return {
            "value": self.value,
            "timeout_sec": self.timeout_sec,
            "count": self.count,
            "armed": self.armed,
            "expires_in_sec": None if deadline_sec is None else deadline_sec - mono_sec,
            "expired_count": self.expired_count,
        }
