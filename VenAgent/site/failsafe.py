"""The shed lease: the devices go back to normal by themselves when this agent falls silent.

While anything is shed the agent writes each device's heartbeat point every third of its time-out.
It does so straight through the platform driver, as the actuator's own heartbeat does: the lease
says that *this agent* still wants the shed, whatever becomes of the actuator. When the event is
over the lease is given back, so that a circuit which a person switched stays as it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from VenAgent.config.site_config import SiteLeaseConfig
from VenAgent.site.device_requests import DeviceRequestFailure, DeviceRequests, request_by_device

_log = logging.getLogger(__name__)

RENEWALS = 3
"""In one time-out."""
BEATS = 65_536
"""A 16-bit register counts them."""


class Failsafe:
    """Of all devices that have one. Greenlets of the agent call it; it has none of its own."""

    def __init__(
        self, requests: DeviceRequests, leases: Iterable[SiteLeaseConfig], driver: str
    ) -> None:
        self._requests = requests
        self._beat = 0
        self._leases: tuple[SiteLeaseConfig, ...] = ()
        self._left: tuple[SiteLeaseConfig, ...] = ()
        """Those that an edit has taken away while they were armed: kept until all is given back."""
        self._armed: bool | None = None
        """None: an earlier process, or another configuration, may have armed the devices."""
        self.reconfigure(leases, driver)

    def reconfigure(self, leases: Iterable[SiteLeaseConfig], driver: str) -> None:
        """A new configuration: what the devices wait for now may be another time-out."""
        before = self._all if self._armed is not False else ()
        self._leases = tuple(leases)
        kept = {_registers(lease) for lease in self._leases}
        self._left = tuple(lease for lease in before if _registers(lease) not in kept)
        self._driver = driver
        self._armed = None
        self._renewed: dict[str, float] = {}
        """By device: when its last renewal succeeded, by the monotonic clock."""
        self.failure: str | None = None
        """Why a lease could not be renewed; None when all were."""

    @property
    def _all(self) -> tuple[SiteLeaseConfig, ...]:
        return (*self._leases, *self._left)

    @property
    def interval_sec(self) -> float | None:
        """How often to renew; None when no device has a lease."""
        return min((lease.timeout_sec / RENEWALS for lease in self._all), default=None)

    @property
    def is_overdue(self) -> bool:
        """Whether a device may have gone back by itself, and has not been heard of since."""
        if not self._armed:
            return False
        now = time.monotonic()
        return any(
            now - self._renewed.get(lease.device, now) > lease.timeout_sec for lease in self._all
        )

    def arm(self) -> None:
        """Before anything is shed: from now on the devices wait for the heartbeat."""
        if self._armed or not self._leases:
            return
        self._armed = True
        self._renewed = {lease.device: time.monotonic() for lease in self._leases}
        self._write(heartbeats=True, timeout=lambda lease: lease.timeout_sec)

    def renew(self) -> bool:
        """Write the heartbeats. True if a device must have gone back by itself meanwhile: its
        renewal came too late, and now it hears us again."""
        known, self._armed = self._armed, True
        failed = self._write(heartbeats=True)
        now, came_back = time.monotonic(), False
        for lease in self._all:
            since_sec = now - self._renewed.get(lease.device, now)
            if lease.device in failed:
                self._renewed.setdefault(lease.device, now)
                continue
            came_back = came_back or since_sec > lease.timeout_sec
            self._renewed[lease.device] = now
        if came_back or known is None:  # a new configuration may have another time-out
            self._write(heartbeats=False, timeout=lambda lease: lease.timeout_sec)
        return came_back

    def give_back(self) -> None:
        """Nothing is shed any more: the devices need not wait for us."""
        if self._armed is not False:
            self._armed = False
            self._write(heartbeats=False, timeout=lambda lease: 0.0)
            self.failure = None
            self._left = ()

    def _write(
        self, *, heartbeats: bool, timeout: Callable[[SiteLeaseConfig], float] | None = None
    ) -> set[str]:
        """Write what is wanted to every device, the heartbeat first: a new time-out counts
        from it. Returns the devices that did not answer."""
        self._beat = (self._beat + 1) % BEATS
        wanted: dict[str, list[tuple[str, int]]] = {}
        for lease in self._all:
            points = wanted.setdefault(lease.device, [])
            if heartbeats:
                points.append((lease.heartbeat_point, self._beat))
            if timeout is not None and lease.timeout_point is not None:
                points.append((lease.timeout_point, round(timeout(lease))))
        reasons = {
            device: why
            for device, why in request_by_device(
                [device for device, points in wanted.items() if points],
                lambda device: self._write_points(device, wanted[device]),
            ).items()
            if why is not None
        }
        self.failure = "; ".join(f"{device}: {why}" for device, why in reasons.items()) or None
        if self.failure is not None:
            _log.warning("the shed lease could not be written: %s", self.failure)
        return set(reasons)

    def _write_points(self, device: str, points: Sequence[tuple[str, int]]) -> str | None:
        """Why a device did not take its values; None if it did. Several go in one call, in order;
        each by itself, if that fails."""
        if len(points) > 1:
            try:
                errors = self._requests.ask(
                    device, self._driver, "set_multiple_points", device, list(map(list, points))
                )
            except DeviceRequestFailure as failure:
                if not failure.may_be_alone:
                    return str(failure)
            else:
                if not errors:
                    return None
        failures: list[str] = []
        for point, value in points:
            try:
                self._write_point(device, point, value)
            except DeviceRequestFailure as failure:
                failures.append(str(failure))
        return failures[-1] if failures else None

    def _write_point(self, device: str, point: str, value: int) -> None:
        """Raises DeviceRequestFailure. A driver that wants a reservation and finds none, as driver
        2.0.0rc9 does, takes the point in the call for several; the lease is this agent's own."""
        try:
            self._requests.ask(device, self._driver, "set_point", device, point, value)
        except DeviceRequestFailure as failure:
            if not failure.is_locked:
                raise
            several = [[point, value]]
            errors = self._requests.ask(
                device, self._driver, "set_multiple_points", device, several
            )
            if errors:
                raise DeviceRequestFailure(str(errors)) from None


def _registers(lease: SiteLeaseConfig) -> tuple[str, str, str | None]:
    return lease.device, lease.heartbeat_point, lease.timeout_point
