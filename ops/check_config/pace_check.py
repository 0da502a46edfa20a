"""Whether the driver reads each device at a pace that the device keeps and the agent expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.check_config.checked_file import CheckedJsonFile
from ops.check_config.config_findings import ConfigFindings
from ops.check_config.gateway_check import shared_gateways
from VenAgent.config.driver_entry import driver_entry_interval

DEFAULT_STALE_AFTER_SEC = 30.0
ANSWERS_IN_AN_INTERVAL = 2.0
"""A device that takes its time needs as much between two readings: for the writes of an event."""


def check_device_pace(
    agent: CheckedJsonFile, drivers: Mapping[str, Mapping[str, Any]], found: ConfigFindings
) -> None:
    """`drivers`: by device, the platform driver's entry."""
    stale_after_sec = _seconds(agent.contents.get("stale_after_sec")) or DEFAULT_STALE_AFTER_SEC
    quirks = agent.contents.get("quirks")
    answers_sec: dict[str, float] = {}
    for number, quirk in enumerate(quirks if isinstance(quirks, list) else ()):
        device = quirk.get("device") if isinstance(quirk, dict) else None
        interval_sec = _seconds(driver_entry_interval(drivers.get(str(device), {})))
        answer_sec = _seconds(quirk.get("answer_within_sec")) if device else None
        if answer_sec:
            answers_sec[str(device)] = answer_sec
        if interval_sec and answer_sec and interval_sec < ANSWERS_IN_AN_INTERVAL * answer_sec:
            found.add(
                agent.path,
                agent.line("quirks", number, "answer_within_sec"),
                f"{device} may take {answer_sec:g} s to answer and is read every "
                f"{interval_sec:g} s: the driver does little else, and events wait for it",
                f'Write an "interval" of at least {ANSWERS_IN_AN_INTERVAL * answer_sec:g} in its '
                "driver's configuration",
            )
    _check_rounds(agent, drivers, answers_sec, found)
    for device, driver in drivers.items():
        interval_sec = _seconds(driver_entry_interval(driver))
        if interval_sec and interval_sec > stale_after_sec:
            found.add(
                agent.path,
                agent.line("stale_after_sec"),
                f"{device} is read every {interval_sec:g} s, and a reading is stale after "
                f"{stale_after_sec:g} s: events are measured by few readings",
                f'Write an "interval" of 10 in its driver\'s configuration, or "stale_after_sec" '
                f"{2.5 * interval_sec:g} here",
            )


def _check_rounds(
    agent: CheckedJsonFile,
    drivers: Mapping[str, Mapping[str, Any]],
    answers_sec: Mapping[str, float],
    found: ConfigFindings,
) -> None:
    """Devices that share a connection are read one after the other. `answers_sec`: by device, how
    long the configuration says that it may take."""
    for gateway, devices in shared_gateways(drivers).items():
        intervals_sec = [_seconds(driver_entry_interval(drivers[device])) for device in devices]
        known_sec = [interval for interval in intervals_sec if interval]
        round_sec = sum(answers_sec.get(device, 0.0) for device in devices)
        if known_sec and min(known_sec) < round_sec:
            found.add(
                agent.path,
                agent.line("quirks"),
                f"{', '.join(devices)} share {gateway} and are polled each {min(known_sec):g} s, "
                f"but one round takes {round_sec:g} s",
                f'Write an "interval" of at least {ANSWERS_IN_AN_INTERVAL * round_sec:g} in their '
                "driver's configurations",
            )


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and value > 0 else None
