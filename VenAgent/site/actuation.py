"""Writes to the building, through the actuator agent's schedule.

A reservation is one task with a slot for every device of the panel; the end of a slot reverts
nothing, so the event engine restores what it changed. Results are strings for a person, by
circuit: this module raises nothing that a peer can cause.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from VenAgent.config import AgentConfig
from VenAgent.dr.effects import PointWrite
from VenAgent.site.rpc import in_parallel
from VenAgent.volttron_api import RPC_FAILURES, Calls, describe_failure, format_timestamp

_log = logging.getLogger(__name__)

SCHEDULE_TIMEOUT_SEC = 5.0


class Actuation:
    """The panel's devices at the actuator, as this agent may write them."""

    def __init__(self, calls: Calls, config: AgentConfig, identity: str) -> None:
        self._calls = calls
        self._config = config
        self._identity = identity

    def reserve(self, task_id: str, until_ts: float, now: float) -> str | None:
        """Schedule all devices from `now` to `until_ts` (epoch s); why not, or None."""
        outcome = self._schedule(task_id, until_ts, now)
        holders = outcome.get("data") if isinstance(outcome, Mapping) else None
        if isinstance(holders, Mapping) and self._identity in holders:
            # We hold them ourselves, for an event that is over: its release did not get through.
            for forgotten in holders[self._identity]:
                self.release(forgotten)
            outcome = self._schedule(task_id, until_ts, now)
        if isinstance(outcome, str):
            return f"the devices could not be reserved: {outcome}"
        if outcome.get("result") == "SUCCESS" or outcome.get("info") == "TASK_ID_ALREADY_EXISTS":
            return None
        owners = _owners(outcome.get("data"))
        by_whom = f" (held by {owners})" if owners else ""
        return f"the actuator refused the reservation: {outcome.get('info')}{by_whom}"

    def _schedule(self, task_id: str, until_ts: float, now: float) -> Mapping[str, Any] | str:
        slots = [[device, _iso(now), _iso(until_ts)] for device in self._config.devices()]
        priority = self._config.event.task_priority
        return self._call("request_new_schedule", self._identity, task_id, priority, slots)

    def release(self, task_id: str) -> None:
        """Give the reservation back; one that has ended by itself is no error."""
        outcome = self._call("request_cancel_schedule", self._identity, task_id)
        if isinstance(outcome, str):
            _log.warning("reservation %s could not be given back: %s", task_id, outcome)
        elif outcome.get("result") != "SUCCESS":
            _log.info("reservation %s was over already: %s", task_id, outcome.get("info"))

    def write(self, writes: Iterable[PointWrite]) -> dict[str, str]:
        """Write all points in parallel; what was not confirmed in time, by circuit, and why.

        Confirmed means that the device answered with the value that it was sent.
        """
        wanted = {write.circuit_id: write for write in writes}
        calls = {
            circuit_id: self._calls.call(
                self._config.actuator_identity,
                "set_point",
                self._identity,
                write.point,
                _as_register(write.value),
            )
            for circuit_id, write in wanted.items()
        }
        answers, failures = in_parallel(calls, self._config.event.write_timeout_sec)
        for circuit_id, value in answers.items():
            write = wanted[circuit_id]
            if not _same(value, write.value):
                failures[circuit_id] = f"{write.point} answered {value!r}, not {write.value!r}"
        for circuit_id, why in failures.items():
            _log.warning("write to %s failed: %s", wanted[circuit_id].point, why)
        return failures

    def _call(self, method: str, *args: Any) -> Mapping[str, Any] | str:
        """The actuator's result, or why there is none."""
        actuator = self._config.actuator_identity
        try:
            outcome = self._calls.call(actuator, method, *args).get(timeout=SCHEDULE_TIMEOUT_SEC)
        except RPC_FAILURES as failure:
            return f"{actuator}: {describe_failure(failure)}"
        return outcome if isinstance(outcome, Mapping) else f"{actuator} answered {outcome!r}"


def _iso(ts: float) -> str:
    return str(format_timestamp(datetime.fromtimestamp(ts, timezone.utc)))


def _as_register(value: float | bool) -> float | bool | int:
    """Whole numbers go as integers: the driver packs them into integer and float registers alike,
    and refuses a float for an integer register."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _same(answered: Any, wanted: float | bool) -> bool:
    if not isinstance(answered, (bool, int, float)):
        return False
    return math.isclose(float(answered), float(wanted), rel_tol=1e-6, abs_tol=1e-6)


def _owners(data: Any) -> str:
    """Who holds the devices, from a conflict's `{agent: {task: slots}}`."""
    if not isinstance(data, Mapping):
        return ""
    return ", ".join(
        f"{agent} as {', '.join(map(str, tasks))}" if isinstance(tasks, Mapping) else str(agent)
        for agent, tasks in data.items()
    )
