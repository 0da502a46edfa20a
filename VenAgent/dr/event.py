"""One demand-response event: its states, what it shed, and what it delivered.

Power is kW, energy kWh, times epoch seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from VenAgent.contract.acks import AckStatus, ack, curtailed_circuit
from VenAgent.contract.commands import ShedCommand, ShedLoadCommand, event_window
from VenAgent.contract.wire import rounded
from VenAgent.dr.curtailment import Action
from VenAgent.dr.effects import PointWrite
from VenAgent.dr.panel import Circuit, Reading


class EventState(str, Enum):
    RECEIVED = "received"
    SCHEDULED = "scheduled"
    SHEDDING = "shedding"
    ACTIVE = "active"
    RESTORING = "restoring"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def over(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[EventState, frozenset[EventState]] = {
    EventState.RECEIVED: frozenset(
        {EventState.SCHEDULED, EventState.SHEDDING, EventState.REJECTED}
    ),
    EventState.SCHEDULED: frozenset({EventState.SHEDDING, EventState.CANCELLED}),
    EventState.SHEDDING: frozenset({EventState.ACTIVE, EventState.RESTORING, EventState.REJECTED}),
    EventState.ACTIVE: frozenset({EventState.RESTORING}),
    EventState.RESTORING: frozenset({EventState.COMPLETED}),
    EventState.COMPLETED: frozenset(),
    EventState.CANCELLED: frozenset(),
    EventState.REJECTED: frozenset(),
}


@dataclass
class ShedCircuit:
    """One circuit the event wrote to, or tried to: what it was, and what it was told.

    A circuit whose write failed is kept too: the device may have obeyed without saying so, and
    it is put back with the others.
    """

    circuit_id: str
    name: str
    breaker_amps: float
    critical: bool
    point: str
    before: float | bool
    value: float | bool
    original_kw: float
    final_kw: float
    confirmed: bool | None = None
    """None while the write is under way."""
    failure: str | None = None
    restored: bool = False

    @classmethod
    def of(cls, action: Action, circuit: Circuit, before: float | bool) -> ShedCircuit:
        return cls(
            circuit_id=circuit.id,
            name=circuit.name,
            breaker_amps=circuit.breaker_amps,
            critical=circuit.critical,
            point=circuit.point,
            before=before,
            value=action.value,
            original_kw=action.original_kw,
            final_kw=action.final_kw,
        )

    @property
    def shed_kw(self) -> float:
        return self.original_kw - self.final_kw

    def write(self) -> PointWrite:
        return PointWrite(self.circuit_id, self.point, self.value)

    def write_back(self) -> PointWrite:
        return PointWrite(self.circuit_id, self.point, self.before)

    def is_back(self, reading: Reading | None) -> bool:
        """Whether `reading` shows the circuit's point as it was before the event."""
        if reading is None:
            return False
        read = reading.circuit(self.circuit_id)
        return (read.closed if isinstance(self.before, bool) else read.limit) == self.before


@dataclass
class Metered:
    """The panel's power while the event was active, weighted by time."""

    samples: int = 0
    covered_sec: float = 0.0
    kw_sec: float = 0.0
    last_ts: float | None = None
    last_kw: float = 0.0

    def add(self, ts: float, power_kw: float) -> bool:
        """Add a sample; False for one that is not newer: it is the same reading again."""
        if self.last_ts is not None:
            if ts <= self.last_ts:
                return False
            self.kw_sec += self.last_kw * (ts - self.last_ts)
            self.covered_sec += ts - self.last_ts
        self.samples += 1
        self.last_ts, self.last_kw = ts, power_kw
        return True

    @property
    def mean_kw(self) -> float | None:
        if not self.samples:
            return None
        return self.kw_sec / self.covered_sec if self.covered_sec else self.last_kw


@dataclass(frozen=True)
class EndedBy:
    """The command that ended an event; it is answered once the circuits are back."""

    op: str
    correlation_id: str | None
    answered: bool = False


@dataclass
class Event:
    """An event, with everything of it that must survive a restart."""

    event_id: str
    op: str
    correlation_id: str | None
    requested_kw: float
    start_ts: float
    end_ts: float
    modification: int = 0
    circuit_id: str | None = None
    state: EventState = EventState.RECEIVED
    task_id: str = ""
    baseline_kw: float | None = None
    baseline_method: str | None = None
    circuits: list[ShedCircuit] = field(default_factory=list)
    active_ts: float | None = None
    ended_ts: float | None = None
    metered: Metered = field(default_factory=Metered)
    measured_kw: float | None = None
    """What the settled meter showed as shed; None until then."""
    answered: bool = False
    """Whether the command that began it has its answer."""
    ended_by: EndedBy | None = None

    @classmethod
    def of(cls, command: ShedCommand, now: float) -> Event:
        """The event that a command received at `now` asks for."""
        start_ts, end_ts = event_window(command, now)
        default_id = f"evt-{command.correlation_id or format(now, '.3f')}"
        return cls(
            event_id=command.event_id or default_id,
            op=command.op,
            correlation_id=command.correlation_id,
            requested_kw=command.shed_kw,
            start_ts=start_ts,
            end_ts=end_ts,
            modification=command.modification,
            circuit_id=command.circuit_id if isinstance(command, ShedLoadCommand) else None,
        )

    def to(self, state: EventState) -> None:
        """Change the state. Raises ValueError for a transition that the table does not have."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"event {self.event_id}: {self.state.value} → {state.value}")
        self.state = state

    @property
    def predicted_kw(self) -> float:
        return sum(circuit.shed_kw for circuit in self.circuits if circuit.confirmed)

    def left_out(self) -> str | None:
        """What the ack says about circuits that did not confirm; None if all did."""
        failed = [f"{c.circuit_id}: {c.failure}" for c in self.circuits if not c.confirmed]
        return f"left out: {'; '.join(failed)}" if failed else None

    def stuck(self) -> str:
        """The circuits that are not back yet, and why."""
        return ", ".join(f"{c.circuit_id} ({c.failure})" for c in self.circuits if not c.restored)

    @property
    def shedding(self) -> bool:
        """Whether the event counts in telemetry: its writes are confirmed and not yet undone."""
        return self.active_ts is not None and not self.state.over

    def shed_by(self, power_kw: float) -> float:
        """The measured shed at `power_kw`: baseline - power (M&V of CONTRACT.md)."""
        return 0.0 if self.baseline_kw is None else self.baseline_kw - power_kw

    def ack(self, status: AckStatus, ven_id: str, now: float, **fields: Any) -> dict[str, Any]:
        """An ack of this event under the command that began it."""
        measured = self.measured_kw is not None
        shown = {
            "event_id": self.event_id,
            "requested_shed_kw": rounded(self.requested_kw),
            "actual_shed_kw": rounded(self.measured_kw if measured else self.predicted_kw),
            "shed_basis": "measured" if measured else "predicted",
            "baseline_kw": rounded(self.baseline_kw),
            "end_ts": rounded(self.end_ts),
            "modification": self.modification,
            "circuits_curtailed": [
                curtailed_circuit(
                    circuit_id=circuit.circuit_id,
                    name=circuit.name,
                    breaker_amps=circuit.breaker_amps,
                    original_kw=circuit.original_kw,
                    final_kw=circuit.final_kw,
                    critical=circuit.critical,
                )
                for circuit in self.circuits
                if circuit.confirmed
            ],
        }
        return ack(
            op=self.op,
            status=status,
            ven_id=ven_id,
            ts=now,
            correlation_id=self.correlation_id,
            **{**shown, **fields},
        )

    def summary(self) -> dict[str, Any]:
        """What the event delivered, from the meter; null where nothing was measured."""
        mean_kw = self.metered.mean_kw
        start_ts = self.start_ts if self.active_ts is None else self.active_ts
        end_ts = self.end_ts if self.ended_ts is None else self.ended_ts
        achieved_kw = None if mean_kw is None else self.shed_by(mean_kw)
        hours = max(0.0, end_ts - start_ts) / 3600.0
        return {
            "start_ts": rounded(start_ts),
            "end_ts": rounded(end_ts),
            "baseline_kw": rounded(self.baseline_kw),
            "avg_kw": rounded(mean_kw),
            "delivered_kwh": None if achieved_kw is None else rounded(achieved_kw * hours, 6),
            "requested_shed_kw": rounded(self.requested_kw),
            "achieved_shed_kw": rounded(achieved_kw),
            "shed_percent": (
                None if achieved_kw is None else rounded(100.0 * achieved_kw / self.requested_kw, 1)
            ),
            "samples": self.metered.samples,
            "baseline_method": self.baseline_method,
        }

    def as_record(self) -> dict[str, Any]:
        record = asdict(self)
        record["state"] = self.state.value
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Event:
        """The event of `as_record`. Raises TypeError, KeyError or ValueError if it is not one."""
        fields = dict(record)
        fields["state"] = EventState(fields["state"])
        fields["circuits"] = [ShedCircuit(**circuit) for circuit in fields["circuits"]]
        fields["metered"] = Metered(**fields["metered"])
        if fields["ended_by"] is not None:
            fields["ended_by"] = EndedBy(**fields["ended_by"])
        return cls(**fields)
