"""What the core wants done: plain values that the agent carries out, in the order given.

A `SaveEventEffect` or `SaveFactEffect` stands before each effect that changes the building or sends
an ack: written to the journal, synced, before the next effect is begun (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite


@dataclass(frozen=True)
class SaveEventEffect:
    """Write the event to the journal, as it is now; `SaveEventEffect.of` takes the snapshot."""

    event: Event

    @classmethod
    def of(cls, event: Event) -> SaveEventEffect:
        return cls(event.snapshot())


@dataclass(frozen=True)
class SaveFactEffect:
    """Write a fact about the site to the journal, in the place of the last one of this name."""

    name: str
    value: Any


@dataclass(frozen=True)
class SaveFingerprintEffect:
    """Write down what a command asks for: its correlation_id with other content is refused."""

    correlation_id: str
    fingerprint: str


@dataclass(frozen=True)
class SendAckEffect:
    """Send an ack; with `is_reply`, the same command gets it when it comes again."""

    body: Mapping[str, Any]
    is_reply: bool = True


@dataclass(frozen=True)
class PrepareEffect:
    """Reserve the devices as `task_id` until `until_ts`, and read the meter; then `prepared`."""

    event_id: str
    task_id: str
    until_ts: float


@dataclass(frozen=True)
class PreparedEffect:
    """How a `PrepareEffect` ended: a fresh reading, or why there is none or no reservation."""

    reading: PanelReading | None = None
    refusal: Reason | None = None
    may_pass: bool = False
    """No one refused: an agent that is needed gave no answer, and may soon."""
    task_id: str = ""
    """Of the `PrepareEffect`."""
    failed_alone: bool = False
    """All that are needed are there, and one request got lost: the next one may succeed."""

    @property
    def is_complete(self) -> bool:
        """Whether the devices are reserved and the panel's power was read."""
        reading = self.reading
        return self.refusal is None and reading is not None and reading.power_kw is not None


@dataclass(frozen=True)
class WriteEffect:
    """Write these points, in parallel; then `written`."""

    event_id: str
    writes: tuple[PointWrite, ...]
    verify: bool = False
    """Read the meter after: some circuits go back, and a write is no proof of it."""


@dataclass(frozen=True)
class RestoreEffect:
    """Write back what was there before the event; then `restored`."""

    event_id: str
    writes: tuple[PointWrite, ...]


@dataclass(frozen=True)
class SwitchEffect:
    """Write these points outside the event's own plan; then `switched`."""

    switch_id: str
    writes: tuple[PointWrite, ...]
    reserve: bool = True
    """Whether to reserve the devices for it; not while an event of ours has them."""


@dataclass(frozen=True)
class ReleaseEffect:
    """Give the reservation back."""

    task_id: str


@dataclass(frozen=True)
class ReadMeterEffect:
    """Read the meter now; the reading comes in as any other."""


@dataclass(frozen=True)
class AnnounceEffect:
    """The event's state changed: publish it on the VOLTTRON bus and in the shadow."""

    event: Event

    @classmethod
    def of(cls, event: Event) -> AnnounceEffect:
        return cls(event.snapshot())


@dataclass(frozen=True)
class RaiseAlertEffect:
    """A trouble that a person should see to begins; without a message, it is over."""

    code: str
    message: str | None = None
    subject: str = ""
    """The circuit it is about, if it is about one."""
    severity: AlertSeverity = AlertSeverity.WARNING
    reason_code: ReasonCode | None = None


Effect = (
    SaveEventEffect
    | SaveFactEffect
    | SaveFingerprintEffect
    | SendAckEffect
    | PrepareEffect
    | WriteEffect
    | RestoreEffect
    | SwitchEffect
    | ReleaseEffect
    | ReadMeterEffect
    | AnnounceEffect
    | RaiseAlertEffect
)
Effects = list[Effect]


def saved_and_announced_effects(event: Event, acks: Effects) -> Effects:
    """The event as the acks leave it, those, and the announcement."""
    return [SaveEventEffect.of(event), *acks, AnnounceEffect.of(event)]
