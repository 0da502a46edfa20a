"""A point that is written together with a circuit's register.

Some chargers take no limit of 0 and have a point to pause; many batteries follow their commanded
power, and inverters their limit, only while another point says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CompanionPoint:
    """As the event began with it: a later configuration changes nothing of how it goes back."""

    point: str
    """Its topic at the actuator."""
    active_value: float | bool
    """What pauses, or what lets the commanded power or the limit rule."""
    back_value: float | bool
    """What resumes, or gives a battery or inverter back to its own programme."""
    pauses: bool
    """It pauses a charger; else it is a mode."""


def companion_point_record(companion: CompanionPoint | None) -> list[Any] | None:
    """For the journal."""
    if companion is None:
        return None
    return [companion.point, companion.active_value, companion.back_value, companion.pauses]


def recorded_companion_point(record: list[Any] | None) -> CompanionPoint | None:
    return None if record is None else CompanionPoint(*record)
