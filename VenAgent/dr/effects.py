"""What the core wants done: plain values that the agent carries out, in the order given.

A `Record` stands before each effect that changes the building or answers the cloud: written to
the journal, synced, before the next effect is begun (DESIGN.md, rule 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from VenAgent.dr.panel import Reading


@dataclass(frozen=True)
class Record:
    """Write the event's state to the journal."""

    event_id: str
    event: Mapping[str, Any]


@dataclass(frozen=True)
class SendAck:
    """Send an ack; with `answer`, it is the one that the same command gets when it comes again."""

    body: Mapping[str, Any]
    answer: bool = True


@dataclass(frozen=True)
class Prepare:
    """Reserve the devices as `task_id` until `until_ts`, and read the meter; then `prepared`."""

    event_id: str
    task_id: str
    until_ts: float


@dataclass(frozen=True)
class Prepared:
    """How a `Prepare` ended: a fresh reading, or why there is none or no reservation."""

    reading: Reading | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class PointWrite:
    circuit_id: str
    point: str
    value: float | bool


@dataclass(frozen=True)
class Write:
    """Write these points, in parallel; then `written`."""

    event_id: str
    writes: tuple[PointWrite, ...]


@dataclass(frozen=True)
class Restore:
    """Write back what was there before the event; then `restored`."""

    event_id: str
    writes: tuple[PointWrite, ...]


@dataclass(frozen=True)
class Release:
    """Give the reservation back."""

    task_id: str


@dataclass(frozen=True)
class ReadMeter:
    """Read the meter now; the reading comes in as any other."""


@dataclass(frozen=True)
class Announce:
    """The event's state changed: tell the VOLTTRON bus and the shadow."""

    event: Mapping[str, Any]


Effect = Record | SendAck | Prepare | Write | Restore | Release | ReadMeter | Announce
Effects = list[Effect]
