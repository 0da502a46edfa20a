"""One demand-response event: its states, what it shed, and what it delivered.

Power is kW, energy kWh, times epoch seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from VenAgent.contract.acks import AckStatus, ack, curtailed_circuit
from VenAgent.contract.commands import ShedCommand, ShedLoadCommand, event_window
from VenAgent.contract.json_codec import rounded
from VenAgent.dr.shed_circuit import ShedCircuit


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
    # COMPLETED: it had begun, was set aside for a weightier event, and its time is over.
    EventState.SCHEDULED: frozenset(
        {EventState.SHEDDING, EventState.CANCELLED, EventState.COMPLETED}
    ),
    EventState.SHEDDING: frozenset({EventState.ACTIVE, EventState.RESTORING, EventState.REJECTED}),
    # SHEDDING: circuits are added or released. SCHEDULED and COMPLETED: another event takes over
    # what is shed, without a restore in between.
    EventState.ACTIVE: frozenset(
        {
            EventState.SHEDDING,
            EventState.RESTORING,
            EventState.SCHEDULED,
            EventState.COMPLETED,
        }
    ),
    EventState.RESTORING: frozenset({EventState.COMPLETED}),
    EventState.COMPLETED: frozenset(),
    EventState.CANCELLED: frozenset(),
    EventState.REJECTED: frozenset(),
}


@dataclass(frozen=True)
class EventRequest:
    """What a command asks of an event. `content` is what it said itself, to know it again."""

    op: str
    correlation_id: str | None
    requested_kw: float
    start_ts: float
    end_ts: float
    modification: int = 0
    circuit_id: str | None = None
    priority: int | None = None
    """As in OpenADR 3: 0 is the highest, none the lowest."""
    content: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, command: ShedCommand, now: float) -> EventRequest:
        """What a command received at `now` asks."""
        start_ts, end_ts = event_window(command, now)
        circuit_id = command.circuit_id if isinstance(command, ShedLoadCommand) else None
        return cls(
            op=command.op,
            correlation_id=command.correlation_id,
            requested_kw=command.shed_kw,
            start_ts=start_ts,
            end_ts=end_ts,
            modification=command.modification,
            circuit_id=circuit_id,
            priority=command.event_priority,
            content={
                "shed_kw": command.shed_kw,
                "start_ts": command.start_ts,
                "end_ts": command.end_ts,
                "duration_sec": command.duration_sec,
                "circuit_id": circuit_id,
                "priority": command.event_priority,
            },
        )


@dataclass
class Metered:
    """The panel's power while the event was active, weighted by time."""

    samples: int = 0
    covered_sec: float = 0.0
    kw_sec: float = 0.0
    last_ts: float | None = None
    last_kw: float = 0.0
    paused_sec: float = 0.0
    paused_ts: float | None = None

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

    def pause(self, now: float) -> None:
        """What is drawn from now on does not count."""
        self.paused_ts, self.last_ts = now, None

    def go_on(self, now: float) -> None:
        """It counts again."""
        if self.paused_ts is not None:
            self.paused_sec += max(0.0, now - self.paused_ts)
            self.paused_ts = None

    def shift(self, step_sec: float) -> None:
        """The clock was set: between the samples before and after nothing is known."""
        self.last_ts = None
        if self.paused_ts is not None:
            self.paused_ts += step_sec

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
    priority: int | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    state: EventState = EventState.RECEIVED
    task_id: str = ""
    baseline_kw: float | None = None
    """What the event is steered by: the mean power of the minutes before it."""
    settled_kw: float | None = None
    """What it is settled by: the baseline of the site's method over the whole event."""
    baseline_method: str | None = None
    baseline_samples: int | None = None
    baseline_rrmse_percent: float | None = None
    baseline_note: str | None = None
    circuits: list[ShedCircuit] = field(default_factory=list)
    active_ts: float | None = None
    ended_ts: float | None = None
    metered: Metered = field(default_factory=Metered)
    measured_kw: float | None = None
    """What the settled meter showed as shed; None until then."""
    answered: bool = False
    """Whether the command that began or last changed it has its answer."""
    also: list[str] = field(default_factory=list)
    """Other commands that asked the same meanwhile: they get the same answer."""
    next_also: list[str] = field(default_factory=list)
    """Those that asked the same as `next_ask`."""
    ended_by: EndedBy | None = None
    ending: str | None = None
    """Why it is to end as soon as the writes under way are back."""
    opted_out: bool = False
    next_ask: EventRequest | None = None
    """A later modification that waits until the work under way is done."""
    set_aside: str | None = None
    """The weightier event that it waits for."""
    rebound_until_ts: float | None = None
    rebound_kw: float | None = None
    """The highest power after the circuits went back; None while it is still being watched."""

    @classmethod
    def of(cls, command: ShedCommand, now: float) -> Event:
        """The event that a command received at `now` asks for."""
        default_id = f"evt-{command.correlation_id or format(now, '.3f')}"
        return cls.asked(command.event_id or default_id, EventRequest.of(command, now))

    @classmethod
    def asked(cls, event_id: str, ask: EventRequest) -> Event:
        return cls(
            event_id=event_id, **{entry.name: getattr(ask, entry.name) for entry in fields(ask)}
        )

    def take_next(self) -> Event | None:
        """The later modification that waited, as an event of its own; it waits no longer."""
        if self.next_ask is None:
            return None
        later = Event.asked(self.event_id, self.next_ask)
        later.also, self.next_ask, self.next_also = self.next_also, None, []
        return later

    def change(self, ask: EventRequest) -> None:
        """A later modification: the event goes on as `ask` has it."""
        for entry in fields(ask):
            setattr(self, entry.name, getattr(ask, entry.name))
        self.answered, self.also = False, self.next_also
        self.next_ask, self.next_also = None, []

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`: what was so long ago still is. Back, what is left of the
        event stays as long as it was too; forward, it ends early, which harms no one."""
        if step_sec < 0.0:
            self.start_ts += step_sec
            self.end_ts += step_sec
        for name in ("active_ts", "ended_ts", "rebound_until_ts"):
            moment = getattr(self, name)
            setattr(self, name, None if moment is None else moment + step_sec)
        for circuit in self.circuits:
            circuit.shed_ts += step_sec
        self.metered.shift(step_sec)

    @property
    def weight(self) -> tuple[float, float]:
        """Of two events at once the one that sorts first rules: priority, then the larger."""
        return (math.inf if self.priority is None else self.priority, -self.requested_kw)

    @property
    def past(self) -> bool:
        """Whether it is over so that it does not begin again in this modification."""
        return self.state is EventState.CANCELLED or (
            self.state.over and (self.active_ts is not None or self.opted_out)
        )

    @property
    def done(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state.over and self.rebound_until_ts is None

    def to(self, state: EventState) -> None:
        """Change the state. Raises ValueError for a transition that the table does not have."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"event {self.event_id}: {self.state.value} → {state.value}")
        self.state = state

    @property
    def predicted_kw(self) -> float:
        return sum(circuit.shed_kw for circuit in self.circuits if circuit.counts)

    def left_out(self) -> str | None:
        """What the ack says about circuits that did not confirm; None if all did."""
        failed = [f"{c.circuit_id}: {c.failure}" for c in self.circuits if not c.confirmed]
        return f"left out: {'; '.join(failed)}" if failed else None

    def held(self) -> list[ShedCircuit]:
        """The circuits that this event keeps shed, or may: all that are not a person's or back."""
        return [circuit for circuit in self.circuits if circuit.to_put_back]

    def stuck(self) -> str:
        """The circuits that are not back yet, and why."""
        return ", ".join(f"{c.circuit_id} ({c.failure})" for c in self.held() if c.failure)

    @property
    def shedding(self) -> bool:
        """Whether the event counts in telemetry: its writes are confirmed and not yet undone."""
        return self.active_ts is not None and not self.state.over

    def shed_by(self, power_kw: float) -> float:
        """The measured shed at `power_kw`: baseline - power."""
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
                if circuit.counts
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
        baseline_kw = self.baseline_kw if self.settled_kw is None else self.settled_kw
        start_ts = self.start_ts if self.active_ts is None else self.active_ts
        end_ts = self.end_ts if self.ended_ts is None else self.ended_ts
        achieved_kw = None
        if mean_kw is not None and baseline_kw is not None:
            achieved_kw = baseline_kw - mean_kw
        hours = max(0.0, end_ts - start_ts - self.metered.paused_sec) / 3600.0
        return {
            "start_ts": rounded(start_ts),
            "end_ts": rounded(end_ts),
            "baseline_kw": rounded(baseline_kw),
            "avg_kw": rounded(mean_kw),
            "delivered_kwh": None if achieved_kw is None else rounded(achieved_kw * hours, 6),
            "requested_shed_kw": rounded(self.requested_kw),
            "achieved_shed_kw": rounded(achieved_kw),
            "shed_percent": (
                None if achieved_kw is None else rounded(100.0 * achieved_kw / self.requested_kw, 1)
            ),
            "samples": self.metered.samples,
            "baseline_method": self.baseline_method,
            "baseline_samples": self.baseline_samples,
            "baseline_rrmse_percent": rounded(self.baseline_rrmse_percent, 1),
            "baseline_note": self.baseline_note,
            "rebound_kw": rounded(self.rebound_kw),
        }

    def as_record(self) -> dict[str, Any]:
        """What the journal keeps: plain values, none of them the event's own to change.

        Field by field: `asdict` copies every number deeply, which was a third of the core's time.
        """
        ended_by, next_ask = self.ended_by, self.next_ask
        return {
            **vars(self),
            "content": dict(self.content),
            "state": self.state.value,
            "circuits": [dict(vars(circuit)) for circuit in self.circuits],
            "metered": dict(vars(self.metered)),
            "also": list(self.also),
            "next_also": list(self.next_also),
            "ended_by": None if ended_by is None else dict(vars(ended_by)),
            "next_ask": (
                None if next_ask is None else {**vars(next_ask), "content": dict(next_ask.content)}
            ),
            "done": self.done,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Event:
        """The event of `as_record`. Raises TypeError, KeyError or ValueError if it is not one."""
        values = dict(record)
        values.pop("done", None)
        values["state"] = EventState(values["state"])
        values["circuits"] = [ShedCircuit(**circuit) for circuit in values["circuits"]]
        values["metered"] = Metered(**values["metered"])
        if values["ended_by"] is not None:
            values["ended_by"] = EndedBy(**values["ended_by"])
        if values.get("next_ask") is not None:
            values["next_ask"] = EventRequest(**values["next_ask"])
        return cls(**values)
