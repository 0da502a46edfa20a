"""A platform driver that reserves its devices itself, as that of VOLTTRON 11 does.

Driver 2.0.0rc9 looks at reservations and overrides where one point is written, and not where
several are. It keeps a reservation under the device's name and looks for it under the point's: with
`reservation_required_for_write` it refuses one point to everybody, whoever holds the device.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from VenAgent.site.device_requests import (
    DeviceRequestFailure,
    DeviceRequests,
    request_failure_kind,
)
from VenAgent.volttron_compat import (
    RPC_FAILURES,
    VolttronCompatCalls,
    format_timestamp,
    volttron_compat_failure_text,
    volttron_compat_schedule_outcome,
)

_log = logging.getLogger(__name__)

UNREADY = "AttributeError"
"""The kind of what it answers while it has not finished its start: nothing is reserved then."""
ANSWER_SEC = 5.0
"""For what the driver answers by itself, whatever its devices do."""
HELD_SEC = 60.0
"""So long a device is reserved for one write, if that is not given back before."""


def may_pass_together(failure: DeviceRequestFailure | None) -> bool:
    """Whether a write that failed so by itself may be taken in the call for several."""
    return failure is not None and (failure.is_locked or failure.kind == UNREADY)


class ReservingDriver:
    """What it must be asked beside a write, by the agent `identity`."""

    def __init__(
        self, calls: VolttronCompatCalls, requests: DeviceRequests, driver: str, identity: str
    ) -> None:
        self._calls = calls
        self._requests = requests
        self._driver = driver
        self._identity = identity

    def refuse_overridden(self, device: str) -> None:
        """Raises DeviceRequestFailure if a person has set an override for the device."""
        try:
            overridden = self._ask("get_override_devices")
        except DeviceRequestFailure as failure:
            if failure.kind == UNREADY:
                return
            raise
        if isinstance(overridden, (list, tuple)) and f"devices/{device}" in overridden:
            text = f"an override is set in the platform driver for {device}"
            raise DeviceRequestFailure(text, "OverrideError")

    @contextmanager
    def held(self, device: str) -> Iterator[None]:
        """Under the reservation that this agent has, or one for now: a driver that was restarted
        has forgotten it. Raises DeviceRequestFailure if another agent holds the device."""
        task_id = self._hold(device)
        try:
            yield
        finally:
            if task_id is not None:
                self._give_back(task_id)

    def _hold(self, device: str) -> str | None:
        """The task that was made for it; None if there is one, or none can be."""
        now = time.time()
        task_id = f"{self._identity}/{device}/{now:.3f}"
        slot = reservation_slot(device, now, now + HELD_SEC)
        try:  # LOW takes nothing from anyone
            outcome = self._schedule("request_new_schedule", task_id, "LOW", [slot])
        except DeviceRequestFailure as failure:
            if failure.kind == UNREADY:
                return None
            raise
        if outcome.get("result") == "SUCCESS":
            return task_id
        holders = outcome.get("data")
        holders = holders if isinstance(holders, Mapping) else {}
        if self._identity in holders:
            return None
        by_whom = ", ".join(map(str, holders)) or str(outcome.get("info"))
        raise DeviceRequestFailure(
            f"another agent has it reserved: {by_whom}", "ReservationLockError"
        )

    def _give_back(self, task_id: str) -> None:
        try:
            self._schedule("request_cancel_schedule", task_id)
        except DeviceRequestFailure as failure:  # it ends by itself
            _log.warning("reservation %s could not be given back: %s", task_id, failure)

    def revert(self, device: str, points: list[str]) -> None:
        """Give these points (`device/point`) back. Raises DeviceRequestFailure."""
        self.refuse_overridden(device)
        topics = [f"devices/{point}" for point in points]
        errors = self._requests.ask(device, self._driver, "revert", topics)
        if errors:
            raise DeviceRequestFailure(f"not given back: {errors}", "RemoteError")

    def _schedule(self, method: str, *arguments: Any) -> Mapping[str, Any]:
        answer = self._ask(method, self._identity, *arguments)
        outcome = volttron_compat_schedule_outcome(answer)
        if outcome is None:
            raise DeviceRequestFailure(f"{self._driver} answered {answer!r}")
        return outcome

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return self._calls.call(self._driver, method, *arguments).get(timeout=ANSWER_SEC)
        except RPC_FAILURES as failure:
            text = f"{self._driver}: {volttron_compat_failure_text(failure)}"
            raise DeviceRequestFailure(text, request_failure_kind(failure)) from None


def reservation_slot(device: str, begin_ts: float, end_ts: float) -> list[str]:
    """A device and its time (epoch s), as `request_new_schedule` takes them."""
    times = (datetime.fromtimestamp(ts, timezone.utc) for ts in (begin_ts, end_ts))
    return [device, *(str(format_timestamp(moment)) for moment in times)]
