"""Writes to the building, through the actuator agent's schedule.

A reservation is one task with a slot for every device of the panel; the end of a slot reverts
nothing, so the event engine restores what it changed. Results are strings for a person, by
circuit: this module raises nothing that a peer can cause.

A device that we took from another agent's task stays its own for the actuator's grace time: writes
are tried again until that is over. Circuits are put back straight through the platform driver when
the actuator does not answer: nothing stays shed because an agent in between is gone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent

from VenAgent.config import AgentConfig
from VenAgent.contract.reasons import Reason
from VenAgent.dr.point_write import PointWrite
from VenAgent.site.control_writes import (
    ControlWrites,
    control_write_as_wired,
    control_write_is_shown,
    control_write_register_value,
)
from VenAgent.site.device_requests import (
    FINAL,
    DeviceRequestFailure,
    DeviceRequests,
    request_by_device,
)
from VenAgent.site.refused_nulls import RefusedNulls
from VenAgent.site.reserving_driver import ReservingDriver, may_pass_together, reservation_slot
from VenAgent.volttron_compat import (
    RPC_FAILURES,
    VolttronCompatCalls,
    volttron_compat_device_points,
    volttron_compat_failure_text,
    volttron_compat_schedule_outcome,
)

_log = logging.getLogger(__name__)

SCHEDULE_TIMEOUT_SEC = 5.0
GRACE_TRY_SEC = 1.0
WRITE_TRIES = 2
"""So often a point is written that answers with another value."""
FORGOTTEN_KEPT = 100


@dataclass(frozen=True)
class ActuatorRefusal:
    """Why there is no reservation. `may_pass`: no one refused it, the actuator did not answer."""

    reason: str
    may_pass: bool = False


class Actuator:
    """The panel's devices at the actuator, as this agent may write them."""

    def __init__(
        self,
        calls: VolttronCompatCalls,
        requests: DeviceRequests,
        config: AgentConfig,
        identity: str,
        on_written: Callable[
            [Mapping[str, float | bool | None], float], None
        ] = lambda values, ts: None,
        unit_of: Callable[[str], float | None] = lambda topic: 1.0,
        is_commandable: Callable[[str], bool] = lambda topic: False,
        await_drivers: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_written`: these points (`device/point`) were written with these values, at a time.
        `unit_of`: what one unit of a register is; None if that is not known yet.
        `is_commandable`: whether a point's BACnet priority array was read. `await_drivers`: waits a
        little for `know_drivers`, after a start."""
        self._await_drivers = await_drivers
        self._nulls = RefusedNulls(is_commandable)
        self._calls = calls
        self._requests = requests
        self._on_written = on_written
        self._unit_of = unit_of
        self._config = config
        self._driver_types: Mapping[str, str] = {}
        self._writes = ControlWrites(config, unit_of=unit_of)
        self._identity = identity
        self._grace_until = 0.0
        """By the monotonic clock; till then another agent may still write what we took from it."""
        self._taken_from = ""
        self.forgotten: list[str] = []
        """Tasks of ours that were found at the actuator and given back: of an event that is over,
        or of one that no journal knows of any more."""

    def reconfigure(self, config: AgentConfig) -> None:
        """A new configuration; what the actuator is known to hold stays known."""
        self._config = config
        self._writes = ControlWrites(config, self._driver_types, self._unit_of)

    def know_drivers(self, driver_types: Mapping[str, str]) -> None:
        """What drives each device: it decides how a battery's mode goes back."""
        self._driver_types = driver_types
        self._writes = ControlWrites(self._config, driver_types, self._unit_of)

    def schedule_result(self, headers: Mapping[str, Any], message: Any) -> tuple[str, str] | None:
        """A publication of the actuator about a task that another one preempted.

        Ours: its id and the agent that took it. Another's, taken by us: remembered by name.
        """
        if headers.get("type") != "CANCEL_SCHEDULE" or not isinstance(message, Mapping):
            return None
        if message.get("result") != "PREEMPTED":
            return None
        data = message.get("data")
        taker = str(data.get("agentID")) if isinstance(data, Mapping) else "another agent"
        loser = str(headers.get("requesterID"))
        if taker == self._identity:
            # The answer to our request does not say so on 10: only this publication does.
            self._taken_from = loser
            self._grace_until = time.monotonic() + self._config.event.preempt_wait_sec
        return (str(headers.get("taskID")), taker) if loser == self._identity else None

    def reserve(
        self, task_id: str, until_ts: float, now: float, *, for_event: bool = True
    ) -> ActuatorRefusal | None:
        """Schedule all devices from `now` to `until_ts` (epoch s); why not, or None.

        `for_event`: what we hold already was for an earlier event, and is given back first. A
        switch by command never does that: it may write under whatever we hold.
        """
        outcome = self._schedule(task_id, until_ts, now)
        holders = outcome.get("data") if isinstance(outcome, Mapping) else None
        if isinstance(holders, Mapping) and self._identity in holders:
            if not for_event:
                return None
            # We hold them ourselves, for an event that is over: its release did not get through.
            for forgotten in holders[self._identity]:
                self.forgotten.append(str(forgotten))
                self.release(forgotten)
            del self.forgotten[:-FORGOTTEN_KEPT]
            outcome = self._schedule(task_id, until_ts, now)
        if isinstance(outcome, str):
            return ActuatorRefusal(f"the devices could not be reserved: {outcome}", may_pass=True)
        if outcome.get("result") == "SUCCESS" or outcome.get("info") == "TASK_ID_ALREADY_EXISTS":
            return None
        owners = _owners(outcome.get("data"))
        by_whom = f" (held by {owners})" if owners else ""
        return ActuatorRefusal(
            f"the actuator refused the reservation: {outcome.get('info')}{by_whom}"
        )

    def own_reservations(self, now: float) -> list[str] | None:
        """The tasks that the actuator holds for us, found out by asking for the devices; None if
        it does not answer."""
        probe = f"probe/{now:.3f}"
        outcome = self._schedule(probe, now + 1.0, now)
        if isinstance(outcome, str):
            return None
        if outcome.get("result") == "SUCCESS":
            self.release(probe)
            return []
        holders = outcome.get("data")
        ours = holders.get(self._identity) if isinstance(holders, Mapping) else None
        return [str(task) for task in ours or ()]

    def _schedule(self, task_id: str, until_ts: float, now: float) -> Mapping[str, Any] | str:
        slots = [reservation_slot(device, now, until_ts) for device in self._config.devices()]
        priority = self._config.event.task_priority
        return self._call("request_new_schedule", self._identity, task_id, priority, slots)

    def release(self, task_id: str) -> None:
        """Give the reservation back; one that has ended by itself is no error."""
        outcome = self._call("request_cancel_schedule", self._identity, task_id)
        if isinstance(outcome, str):
            _log.warning("reservation %s could not be given back: %s", task_id, outcome)
        elif outcome.get("result") != "SUCCESS":
            _log.info("reservation %s was over already: %s", task_id, outcome.get("info"))

    def write(
        self, writes: Iterable[PointWrite], still_wanted: Callable[[], bool] = lambda: True
    ) -> dict[str, Reason]:
        """Write all points in parallel; what was not confirmed in time, by circuit, and why.

        Confirmed means that the device answered with the value that it was sent. What another
        agent still holds is tried again only while it is `still_wanted`: an event that has ended
        meanwhile must not be shed by a late try.
        """
        self._await_drivers()
        asked = list(writes)
        writes = self._nulls.in_turn(asked)
        wanted, unscaled = self._writes.at_devices(writes), self._unscaled(writes)
        failures = self._through_actuator(wanted)
        while any(failure.is_locked for failure in failures.values()):
            if time.monotonic() + GRACE_TRY_SEC > self._grace_until:
                break
            gevent.sleep(GRACE_TRY_SEC)
            if not still_wanted():
                break
            locked = [w for w in wanted if _is_locked(failures.get(w.circuit_id))]
            for write in locked:
                failures.pop(write.circuit_id, None)
            failures |= self._through_actuator(locked)
        self._nulls.ended(asked, failures)
        taken_from = f" (taken from {self._taken_from})" if self._taken_from else ""
        return {
            circuit_id: Reason(
                failure.reason_code, f"{failure}{taken_from if failure.is_locked else ''}"
            )
            for circuit_id, failure in (failures | unscaled).items()
        }

    def put_back(self, writes: Iterable[PointWrite]) -> dict[str, Reason]:
        """As `write`, for circuits that go back: without the actuator if it does not answer.

        Not past a lock, for then the devices are another agent's, and it was let know; nor past an
        override.
        """
        self._await_drivers()
        asked = list(writes)
        writes = self._nulls.in_turn(asked)
        wanted, unscaled = self._writes.at_devices(writes), self._unscaled(writes)
        failures = self._through_actuator(wanted)
        failed = [w for w in wanted if w.circuit_id in failures]
        unanswered = [w for w in failed if self._may_go_directly(failures[w.circuit_id])]
        if unanswered:
            direct = self._through_driver(unanswered)
            for write in unanswered:
                failures.pop(write.circuit_id, None)
            failures |= direct
        self._nulls.ended(asked, failures)
        return {
            circuit_id: Reason(failure.reason_code, str(failure))
            for circuit_id, failure in (failures | unscaled).items()
        }

    def _may_go_directly(self, failure: DeviceRequestFailure) -> bool:
        """Not where the driver is the actuator and was silent: its queue has the write already."""
        is_same = self._reserving_driver is not None
        return failure.kind not in FINAL and not (is_same and failure.is_silence)

    @property
    def _reserving_driver(self) -> ReservingDriver | None:
        """The driver, where it is the actuator too."""
        driver = self._config.driver_identity
        if self._config.actuator_identity != driver:
            return None
        return ReservingDriver(self._calls, self._requests, driver, self._identity)

    def _unscaled(self, writes: Iterable[PointWrite]) -> dict[str, DeviceRequestFailure]:
        return {
            circuit_id: DeviceRequestFailure(
                f"{point} was not written: its scale factor has not been read yet"
            )
            for circuit_id, point in self._writes.unscaled(writes).items()
        }

    def _through_actuator(self, writes: Iterable[PointWrite]) -> dict[str, DeviceRequestFailure]:
        actuator, driver = self._config.actuator_identity, self._reserving_driver

        def write_one(device: str, write: PointWrite) -> Any:
            if write.relinquish:
                return self._requests.ask(
                    device, actuator, "revert_point", self._identity, write.point
                )
            value = control_write_register_value(write.value)
            return self._requests.ask(
                device, actuator, "set_point", self._identity, write.point, value
            )

        def write_all(device: str, writes: list[PointWrite]) -> Any:
            if driver is not None:
                driver.refuse_overridden(device)
            values = [[write.point, control_write_register_value(write.value)] for write in writes]
            return self._requests.ask(
                device, actuator, "set_multiple_points", self._identity, values
            )

        writes = list(writes)
        failures = self._write(writes, write_one, write_all)
        locked = [w for w in writes if _is_locked(failures.get(w.circuit_id))]
        left = {write.point.rpartition("/")[0] for write in locked} - {*self._config.devices()}
        for device in left:  # edited away while something of it was shed: no task of ours has it
            of_device = [w for w in locked if w.point.rpartition("/")[0] == device]
            holder = ReservingDriver(self._calls, self._requests, actuator, self._identity)
            try:
                with holder.held(device):
                    again = self._write(of_device, write_one, write_all)
            except DeviceRequestFailure as failure:
                again = {write.circuit_id: failure for write in of_device}
            for write in of_device:
                failures.pop(write.circuit_id, None)
            failures |= again
        return failures

    def _through_driver(self, writes: Iterable[PointWrite]) -> dict[str, DeviceRequestFailure]:
        driver = self._config.driver_identity

        def write_one(device: str, write: PointWrite) -> Any:
            point = write.point.rpartition("/")[2]
            if write.relinquish:
                return self._requests.ask(device, driver, "revert_point", device, point)
            return self._requests.ask(
                device,
                driver,
                "set_point",
                device,
                point,
                control_write_register_value(write.value),
            )

        return self._write(writes, write_one, None)

    def _write(
        self,
        writes: Iterable[PointWrite],
        write_one: Callable[[str, PointWrite], Any],
        write_all: Callable[[str, list[PointWrite]], Any] | None,
    ) -> dict[str, DeviceRequestFailure]:
        """What was not confirmed, by circuit. In parallel over devices; the points of one device in
        one call, where that is more than one."""
        by_name: dict[str, list[PointWrite]] = {}
        for write in writes:
            by_name.setdefault(write.point.rpartition("/")[0], []).append(
                control_write_as_wired(write)
            )

        def write_device(device: str) -> dict[str, DeviceRequestFailure]:
            failures: dict[str, DeviceRequestFailure] = {}
            single = by_name[device]
            together = [write for write in single if not write.relinquish]
            if write_all is not None and len(together) > 1:
                again, failures = self._write_together(device, together, write_all)
                single = [*again, *(write for write in single if write.relinquish)]
            failures |= self._write_each(device, single, write_one)
            refused = [w for w in single if may_pass_together(failures.get(w.circuit_id))]
            driver = self._reserving_driver
            if write_all is not None and driver is not None and refused:
                for write in refused:
                    failures.pop(write.circuit_id, None)
                failures |= self._write_as_holder(device, refused, write_all, driver)
            return failures

        within_sec = self._requests.together_sec(by_name)

        def late(device: str) -> dict[str, DeviceRequestFailure]:
            silence = DeviceRequestFailure(f"no answer within {within_sec:g} s", is_silence=True)
            return {write.circuit_id: silence for write in by_name[device]}

        failures: dict[str, DeviceRequestFailure] = {}
        for device, of_device in request_by_device(by_name, write_device, within_sec, late).items():
            failures |= of_device
            points = {write.circuit_id: write.point for write in by_name[device]}
            for circuit_id, why in of_device.items():
                _log.warning("write to %s failed: %s", points[circuit_id], why)
        values = {
            write.point: None if write.relinquish else write.value
            for each in by_name.values()
            for write in each
        }
        self._on_written(values, time.time())
        return failures

    def _write_together(
        self,
        device: str,
        writes: list[PointWrite],
        write_all: Callable[[str, list[PointWrite]], Any],
    ) -> tuple[list[PointWrite], dict[str, DeviceRequestFailure]]:
        """All points of a device in one call: those that are to be written one by one after it, and
        what is refused for good. The call reports errors only: a reading proves the values."""
        try:
            errors = write_all(device, writes)
        except DeviceRequestFailure as failure:
            if failure.kind in FINAL:
                return [], {write.circuit_id: failure for write in writes}
            return writes, {}
        if errors:  # of some; the others are proven with them
            _log.info("%s: %s", device, errors)
        try:
            driver = self._config.driver_identity
            read = volttron_compat_device_points(
                device, self._requests.ask(device, driver, "scrape_all", device)
            )
        except DeviceRequestFailure:
            return writes, {}
        return [
            write
            for write in writes
            if not control_write_is_shown((read or {}).get(write.point.rpartition("/")[2]), write)
        ], {}

    def _write_as_holder(
        self,
        device: str,
        writes: list[PointWrite],
        write_all: Callable[[str, list[PointWrite]], Any],
        driver: ReservingDriver,
    ) -> dict[str, DeviceRequestFailure]:
        """What the driver refused one by one because it finds no reservation, in the call for
        several, under one."""
        values = [write for write in writes if not write.relinquish]
        given_back = [write.point for write in writes if write.relinquish]
        again: list[PointWrite] = []
        failures: dict[str, DeviceRequestFailure] = {}
        try:
            with driver.held(device):
                if values:
                    again, failures = self._write_together(device, values, write_all)
                if given_back:
                    driver.revert(device, given_back)
        except DeviceRequestFailure as failure:
            return {write.circuit_id: failure for write in writes}
        if self._config.quirks_of(device).settle_sec > 0.0:
            return failures
        return failures | {
            write.circuit_id: DeviceRequestFailure(f"{write.point} does not show {write.value!r}")
            for write in again
        }

    def _write_each(
        self,
        device: str,
        writes: list[PointWrite],
        write_one: Callable[[str, PointWrite], Any],
    ) -> dict[str, DeviceRequestFailure]:
        """One by one, in parallel; a device answers with the value that it was sent. Drivers of
        registers answer with what is read after, so a write that got lost looks like another
        value: it is made again."""
        settles = self._config.quirks_of(device).settle_sec > 0.0

        def attempt(write: PointWrite) -> DeviceRequestFailure | None:
            answer: Any = None
            for _ in range(WRITE_TRIES):
                try:
                    answer = write_one(device, write)
                except DeviceRequestFailure as failure:
                    return failure
                if settles or write.relinquish or control_write_is_shown(answer, write):
                    return None
            return DeviceRequestFailure(f"{write.point} answered {answer!r}, not {write.value!r}")

        greenlets = {write: gevent.spawn(attempt, write) for write in writes}
        try:
            ended = [(write.circuit_id, greenlet.get()) for write, greenlet in greenlets.items()]
        finally:  # given up: what waits for its turn must not be written later
            gevent.killall(list(greenlets.values()))
        # A circuit may have two points: it failed if one of them did.
        return {circuit_id: why for circuit_id, why in ended if why is not None}

    def _call(self, method: str, *args: Any) -> Mapping[str, Any] | str:
        """The actuator's result, or why there is none."""
        actuator = self._config.actuator_identity
        try:
            answer = self._calls.call(actuator, method, *args).get(timeout=SCHEDULE_TIMEOUT_SEC)
        except RPC_FAILURES as failure:
            return f"{actuator}: {volttron_compat_failure_text(failure)}"
        outcome = volttron_compat_schedule_outcome(answer)
        return f"{actuator} answered {answer!r}" if outcome is None else outcome


def _is_locked(failure: DeviceRequestFailure | None) -> bool:
    return failure is not None and failure.is_locked


def _owners(data: Any) -> str:
    """Who holds the devices, from a conflict's `{agent: {task: slots}}`."""
    if not isinstance(data, Mapping):
        return ""
    return ", ".join(
        f"{agent} as {', '.join(map(str, tasks))}" if isinstance(tasks, Mapping) else str(agent)
        for agent, tasks in data.items()
    )
