"""Whether the driver polls what shares a connection faster than that can answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MISSED_INTERVALS = 2.0
"""A device that is heard more seldom than each so many intervals is not polled as it should be."""
ROUNDS_IN_AN_INTERVAL = 2.0
"""What is asked for: the other half of the time is for the requests of events."""
DEVICES_NAMED = 3


@dataclass(frozen=True)
class PolledDevice:
    """One device: how the driver is told to poll it, and what is seen of that."""

    name: str
    gateway: str
    """What it shares a connection with: host:port, or its own name."""
    interval_sec: float
    """At which the driver is told to poll it."""
    reading_sec: float | None
    """Its last reading took so long; None before the first."""
    fruitless_sec: float | None
    """How long the last reading took that ended without a value; None if it had one."""
    published_each_sec: float | None
    """The time between two publications; None until that is known."""
    silent_sec: float | None
    """Since it was last heard; None before the first time."""

    @property
    def is_missed(self) -> bool:
        if self.silent_sec is None:
            return self.fruitless_sec is not None
        heard_each_sec = max(self.silent_sec, self.published_each_sec or 0.0)
        return heard_each_sec > MISSED_INTERVALS * self.interval_sec

    @property
    def needed_sec(self) -> float:
        """For one reading, as far as it has shown; 0 before that."""
        return max(self.reading_sec or 0.0, self.fruitless_sec or 0.0)


@dataclass(frozen=True)
class PollingPace:
    """Of devices behind one connection that are polled faster than they answer."""

    devices: tuple[str, ...]
    interval_sec: float
    round_sec: float
    """Reading each of them once takes so long."""
    is_least: bool
    """Or longer: a reading has not come to its end."""

    def __str__(self) -> str:
        return f"{self.what}: what events ask for waits in the driver. {self.remedy}"

    @property
    def what(self) -> str:
        more = len(self.devices) - DEVICES_NAMED
        names = ", ".join(self.devices[:DEVICES_NAMED]) + (f" and {more} more" if more > 0 else "")
        are = "is" if len(self.devices) == 1 else "are"
        longer = "more than " if self.is_least else ""
        return (
            f"{names} {are} polled each {self.interval_sec:g} s, but one round takes "
            f"{longer}{self.round_sec:.1f} s"
        )

    @property
    def remedy(self) -> str:
        entries = "its entry" if len(self.devices) == 1 else "their entries"
        least_sec = int(ROUNDS_IN_AN_INTERVAL * self.round_sec) + 1
        return f'Write an "interval" of {least_sec} or more in {entries} devices/… of the driver'


def polling_paces_too_fast(devices: Iterable[PolledDevice]) -> list[PollingPace]:
    """Those that are seen to be too fast: a device is heard more seldom than it is polled, and the
    readings behind its connection do not fit into their intervals. One of both alone may be a
    device that is gone, or a busy machine."""
    behind: dict[str, list[PolledDevice]] = {}
    for device in devices:
        behind.setdefault(device.gateway, []).append(device)
    return [pace for each in behind.values() if (pace := _pace(each)) is not None]


def _pace(devices: list[PolledDevice]) -> PollingPace | None:
    missed = [device for device in devices if device.is_missed]
    load = sum(device.needed_sec / device.interval_sec for device in devices)
    if not missed or load <= 1.0:
        return None
    round_sec = sum(device.needed_sec for device in devices)
    is_least = any(device.fruitless_sec is not None for device in devices)
    published = [d.published_each_sec for d in devices if d.published_each_sec is not None]
    if published and not is_least:
        # What a reading takes has a share of waiting in it, where polls wait in a queue.
        round_sec = min(round_sec, max(published))
    names = tuple(device.name for device in devices)
    return PollingPace(names, min(d.interval_sec for d in devices), round_sec, is_least)
