"""What the doctor says of a device that takes its time: slow is not dead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.doctor.doctor_check import DoctorCheck

SLOW_SEC = 1.0
ANSWERS_IN_AN_INTERVAL = 2.0
"""It needs as much between two readings: for the writes of an event."""


def slow_device_check(
    name: str, device: str, answers: Mapping[str, Any], interval_sec: Any, error: str = ""
) -> DoctorCheck | None:
    """None for a device that is quick, or that VenAgent has heard no answer of, and that is not
    polled faster than it answers.

    `answers`: how long they take, as VenAgent has seen it; `error`: why the doctor got none.
    """
    pace = answers.get("polled_too_fast")
    if isinstance(pace, Mapping):
        text = f"{pace.get('what')}: what events ask for waits in the driver"
        return DoctorCheck(name, False, text, f"{pace.get('remedy')}.")
    answer_sec, slowest_sec = answers.get("answer_sec"), answers.get("slowest_answer_sec")
    if not isinstance(answer_sec, (int, float)) or not isinstance(slowest_sec, (int, float)):
        return None
    if answers.get("failing") or answer_sec <= SLOW_SEC:
        return None
    waited_sec = answers.get("waited_for_sec")
    text = (
        f"is slow: its answers to VenAgent took {answer_sec:.1f} s, the slowest of late "
        f"{slowest_sec:.1f} s; up to {waited_sec} s are waited for"
    )
    if error:
        text += f". The doctor got none in its own time ({error})"
    least_sec = ANSWERS_IN_AN_INTERVAL * slowest_sec
    if isinstance(interval_sec, (int, float)) and interval_sec < least_sec:
        return DoctorCheck(
            name,
            False,
            f"{text}. It is read every {interval_sec:g} s, so the driver does little else",
            f'Write an "interval" of {least_sec:.0f} s or more in the driver\'s entry '
            f"devices/{device}; events begin as soon as it answers.",
        )
    return DoctorCheck(name, True, text)
