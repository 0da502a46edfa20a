"""One demand-response event: what was asked, its states, what it holds shed, what it measured.

Power is kW, energy kWh, times epoch seconds.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from VenAgent.baseline.measured_power import MeasuredPower
from VenAgent.contract.commands import EventCommand
from VenAgent.contract.reasons import Reason
from VenAgent.dr.event_baseline import EventBaseline
from VenAgent.dr.event_limit import EventLimit
from VenAgent.dr.event_limit_terms import EventLimitTerms
from VenAgent.dr.event_request import EventRequest, EventRequestKind
from VenAgent.dr.event_state import TRANSITIONS, EventState
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.shed_circuit import ShedCircuit

UNREACHED_SEC = 60.0
"""A circuit whose write was not confirmed is tried again after so long, then ever more seldom."""
LEFT_OUT_SEC = 900.0
"""A limit tries a circuit again that failed this long ago."""
OVERRIDE_SEC = 3_600.0
"""A circuit that a person took from a limit is theirs for this long."""


@dataclass(frozen=True)
class PendingEventModification:
    """A later modification that waits until the work under way is done."""

    request: EventRequest
    duplicate_correlation_ids: tuple[str, ...] = ()
    """Other commands that asked the same meanwhile."""


@dataclass(frozen=True)
class EventLevelStart:
    """When an event entered one of its levels, and what was measured before."""

    index: int
    ts: float
    metered: MeasuredPower


@dataclass(frozen=True)
class EventEndedBy:
    """The command that ended an event; it gets its ack once the circuits are back."""

    op: str
    correlation_id: str | None
    acked: bool = False


@dataclass(frozen=True)
class Event:
    """An event, with everything of it that must survive a restart.

    Its fields are frozen for everyone: only the methods under "changes" write them, each in the
    name of what happens, and all their values are frozen too. So a `snapshot` stays as it is. Who
    calls them: Arbitration decides the request, precedence and end of an event that waits;
    EventExecution begins and reserves it; ClosedLoop measures; EventCompletion ends it;
    CommandReplies notes which command has its ack; Engine watches the rebound. Circuits are put by
    those that `ShedCircuit` names.
    """

    event_id: str
    request: EventRequest
    state: EventState = EventState.RECEIVED
    task_id: str = ""
    """Of its reservation at VOLTTRON's actuator; empty without one."""
    baseline: EventBaseline | None = None
    """None for a limit: it needs none."""
    limit: EventLimit = field(default_factory=EventLimit)
    """Of a limit: how it stands."""
    circuits: tuple[ShedCircuit, ...] = ()
    active_ts: float | None = None
    """When its writes were confirmed first."""
    ended_ts: float | None = None
    metered: MeasuredPower = field(default_factory=MeasuredPower)
    level_starts: tuple[EventLevelStart, ...] = ()
    """The levels that were entered, in this order; empty for an event of one level."""
    measured_kw: float | None = None
    """What the settled meter showed as shed; None until then."""
    acked: bool = False
    """Whether the command that began or last changed it has its ack."""
    duplicate_correlation_ids: tuple[str, ...] = ()
    """Other commands that asked the same meanwhile: they get the same ack."""
    pending: PendingEventModification | None = None
    ended_by: EventEndedBy | None = None
    end_reason: Reason | None = None
    """Why it is to end as soon as the writes under way are back."""
    opted_out: bool = False
    preempted_by: str | None = None
    """The event of higher precedence that it waits for."""
    rebound_until_ts: float | None = None
    rebound_kw: float | None = None
    """The highest power after the circuits went back; None while it is still being watched."""

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(
        cls,
        command: EventCommand,
        now: float,
        *,
        lot: float = 0.0,
        longest_sec: float = 86_400.0,
        from_site: bool = False,
    ) -> Event:
        """The event that a command received at `now` asks for; see `EventRequest.of`."""
        default_id = f"evt-{command.correlation_id or format(now, '.3f')}"
        request = EventRequest.of(command, now, lot=lot, longest_sec=longest_sec)
        return cls(command.event_id or default_id, replace(request, from_site=from_site))

    def snapshot(self) -> Event:
        """The event as it is now, for the journal and the bus."""
        return copy.copy(self)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    # ---- changes -------------------------------------------------------------------------

    def to(self, state: EventState) -> None:
        """Change the state. Raises ValueError for a transition that the table does not have."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"event {self.event_id}: {self.state.value} → {state.value}")
        self._set("state", state)

    def change(self, request: EventRequest) -> None:
        """A later modification: the event goes on as `request` has it."""
        duplicates = () if self.pending is None else self.pending.duplicate_correlation_ids
        self._set("level_starts", ())
        self._set("request", request)
        self._set("acked", False)
        self._set("duplicate_correlation_ids", duplicates)
        self._set("pending", None)

    def postpone(self, request: EventRequest) -> None:
        """A later modification waits until the work under way is done."""
        if self.pending is None or self.pending.request is not request:
            self._set("pending", PendingEventModification(request))

    def take_pending(self) -> Event | None:
        """The later modification that waited, as an event of its own; it waits no longer."""
        pending = self.pending
        if pending is None:
            return None
        self._set("pending", None)
        return Event(
            self.event_id,
            pending.request,
            duplicate_correlation_ids=pending.duplicate_correlation_ids,
        )

    def begin(self, now: float) -> None:
        """It has precedence: reserve, read, plan and write."""
        self.to(EventState.SHEDDING)
        self._set("preempted_by", None)
        self.enter_level(now)

    def enter_level(self, now: float) -> None:
        """The level of this time rules from now on."""
        index = self.request.level_at(now)
        if self.request.levels and (not self.level_starts or self.level != index):
            entered = EventLevelStart(index, now, self.metered)
            self._set("level_starts", (*self.level_starts, entered))

    def reserve_as(self, task_id: str) -> None:
        """The actuator's task from now on; empty: the reservation was taken from us."""
        self._set("task_id", task_id)

    def measure_against(self, baseline: EventBaseline | None) -> None:
        self._set("baseline", baseline)

    def put(self, circuits: Iterable[ShedCircuit]) -> None:
        """Hold these too; one that it holds already is in its place from now on."""
        known = {circuit.circuit_id: circuit for circuit in self.circuits}
        known |= {circuit.circuit_id: circuit for circuit in circuits}
        self._set("circuits", tuple(known.values()))

    def drop(self, circuit_id: str) -> None:
        """It is back while the event goes on."""
        self._set("circuits", tuple(c for c in self.circuits if c.circuit_id != circuit_id))

    def take_back(self, reading: PanelReading) -> list[str]:
        """Circuits that readings had as taken by hand, and that read as written again: which."""
        again = [c.ours_again() for c in self.circuits if c.is_as_written_again(reading)]
        self.put(again)
        return [circuit.circuit_id for circuit in again]

    def give_slots_back(self, reading: PanelReading) -> None:
        """Circuits that readings had as taken by others, who write over our slot at a point: what
        we hold there is given back too. It would rule once they let go."""
        self.put(
            circuit.ours_again()
            for circuit in self.circuits
            if circuit.is_read_as_taken and circuit.relinquish and not circuit.switching
            if reading.circuit(circuit.circuit_id).has_slot
        )

    def put_aside(self, reading: PanelReading, now: float) -> None:
        """Of a limit, which may last for ever: circuits that it has left alone for long, and that
        are as they were before, may be tried again. Not one whose slot still holds what we wrote:
        that would be taken for someone's."""

        def left_alone(circuit: ShedCircuit) -> bool:
            if circuit.counts or circuit.switching:
                return False
            if circuit.manual_override:
                ours = circuit.relinquish and reading.circuit(circuit.circuit_id).has_slot
                return now - circuit.shed_ts >= OVERRIDE_SEC and not ours
            return now - circuit.shed_ts >= LEFT_OUT_SEC and circuit.is_back(reading)

        if self.is_limit:
            self._set("circuits", tuple(c for c in self.circuits if not left_alone(c)))

    def take_over_from(self, other: Event) -> None:
        """What `other` holds shed is this event's now, with the baseline from before both."""
        self._set("circuits", other.circuits)
        if self.request.kind is not EventRequestKind.LIMIT:
            self._set("baseline", other.baseline)
        other._set("circuits", ())

    def activate(self, now: float) -> None:
        """Its writes are back: it sheds, and the meter has to settle."""
        self.to(EventState.ACTIVE)
        if self.active_ts is None:
            self.hear_sender(now)
        self._set("active_ts", self.active_ts or now)
        self._set("measured_kw", None)

    def keep_limit(self, limit: EventLimit) -> None:
        """How the limit stands from now on."""
        self._set("limit", limit)

    def join(self, now: float) -> None:
        """A limit is in force from now on, while another event has the circuits."""
        if self.state is EventState.RECEIVED:
            self.to(EventState.SCHEDULED)
        self._set("active_ts", self.active_ts or now)
        self.enter_level(now)
        self.hear_sender(now)

    def hear_sender(self, ts: float) -> None:
        """A sign of a limit's sender."""
        if self.request.heartbeat_sec is not None:
            self.keep_limit(self.limit.heard(ts))

    def extend(self, request: EventRequest) -> None:
        """The same limit again, as long as it asks for from now on, with its first level first."""
        renewed = replace(self.request, start_ts=request.start_ts, end_ts=request.end_ts)
        self._set("request", renewed)
        self._set("level_starts", ())
        self.enter_level(request.start_ts)

    def meter(self, ts: float, power_kw: float, gap_limit_sec: float) -> None:
        """A reading of the panel's power while it is active."""
        baseline_kw = None if self.baseline is None else self.baseline.settlement_kw_at(ts)
        self._set("metered", self.metered.add(ts, power_kw, baseline_kw, gap_limit_sec))

    def meter_until(self, ts: float, gap_limit_sec: float) -> None:
        """Nothing more is metered after `ts`."""
        self._set("metered", self.metered.until(ts, gap_limit_sec))

    def pause_metering(self, now: float, gap_limit_sec: float) -> None:
        self._set("metered", self.metered.pause(now, gap_limit_sec))

    def resume_metering(self, now: float) -> None:
        self._set("metered", self.metered.go_on(now))

    def measure(self, power_kw: float) -> None:
        """The meter has settled at `power_kw`."""
        self._set("measured_kw", self.shed_at(power_kw))

    def measure_not(self) -> None:
        """What the meter shows is not believed."""
        self._set("measured_kw", None)

    def note_acked(self) -> tuple[str, ...]:
        """Its command gets its ack; returns the other commands that get the same."""
        duplicates = self.duplicate_correlation_ids
        self._set("acked", True)
        self._set("duplicate_correlation_ids", ())
        return duplicates

    def note_duplicate(self, correlation_id: str) -> None:
        """Another command asks the same as the newest request."""
        pending = self.pending
        if pending is None:
            known = self.duplicate_correlation_ids
            self._set("duplicate_correlation_ids", (*known, correlation_id))
        else:
            known = pending.duplicate_correlation_ids
            changed = replace(pending, duplicate_correlation_ids=(*known, correlation_id))
            self._set("pending", changed)

    def end_by(self, op: str, correlation_id: str | None) -> None:
        """A command ends it."""
        self._set("ended_by", EventEndedBy(op, correlation_id))

    def note_ender_acked(self) -> EventEndedBy | None:
        """The command that ended it gets its ack; None if it has one, or none ended it."""
        ended_by = self.ended_by
        if ended_by is None or ended_by.acked:
            return None
        self._set("ended_by", replace(ended_by, acked=True))
        return ended_by

    def end_soon(self, reason: Reason) -> None:
        """It is to end as soon as the writes under way are back; the first reason stays."""
        if self.end_reason is None:
            self._set("end_reason", reason)

    def end(self, now: float) -> None:
        """Nothing more is shed for it."""
        self._set("ended_ts", now)

    def opt_out(self) -> None:
        """A person at the site refuses it."""
        self._set("opted_out", True)

    def wait_for(self, event_id: str | None) -> None:
        """Another event comes first."""
        self._set("preempted_by", event_id)

    def watch_rebound(self, until_ts: float) -> None:
        self._set("rebound_until_ts", until_ts)

    def note_rebound(self, power_kw: float) -> bool:
        """The power after the event; whether it is the highest yet."""
        if self.rebound_kw is not None and power_kw <= self.rebound_kw:
            return False
        self._set("rebound_kw", power_kw)
        return True

    def close_rebound(self) -> None:
        """The rebound is known."""
        self._set("rebound_until_ts", None)

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`: what was so long ago still is. Back, what is left of the
        event stays as long as it was too; forward, it ends early, which harms no one."""

        def shifted(moment: float | None) -> float | None:
            return None if moment is None else moment + step_sec

        if step_sec < 0.0:
            self._set("request", self.request.shifted(step_sec))
        self._set("active_ts", shifted(self.active_ts))
        self._set("ended_ts", shifted(self.ended_ts))
        self._set("limit", self.limit.shifted(step_sec))
        starts = [replace(each, ts=each.ts + step_sec) for each in self.level_starts]
        self._set("level_starts", tuple(starts))
        self._set("rebound_until_ts", shifted(self.rebound_until_ts))
        self._set("circuits", tuple(circuit.shifted(step_sec) for circuit in self.circuits))
        self._set("metered", self.metered.shifted(step_sec))

    # ---- what is known -------------------------------------------------------------------

    @property
    def newest_request(self) -> EventRequest:
        return self.request if self.pending is None else self.pending.request

    @property
    def cannot_begin_again(self) -> bool:
        """Whether it is over so that it does not begin again in this modification."""
        return self.state is EventState.CANCELLED or (
            self.state.over and (self.active_ts is not None or self.opted_out)
        )

    @property
    def done(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state.over and self.rebound_until_ts is None

    @property
    def is_ending(self) -> bool:
        return self.end_reason is not None or self.ended_by is not None

    @property
    def shedding(self) -> bool:
        """Whether the event counts in telemetry: its writes are confirmed and not yet undone."""
        return self.active_ts is not None and not self.state.over

    def circuit(self, circuit_id: str) -> ShedCircuit | None:
        return next((c for c in self.circuits if c.circuit_id == circuit_id), None)

    @property
    def counted_circuits(self) -> list[ShedCircuit]:
        """Those that make up its shed or rise: of a limit all, of others not what generates less
        for a limit beside them."""
        return [c for c in self.circuits if c.counts and (self.is_limit or not c.generates)]

    @property
    def predicted_kw(self) -> float:
        return sum(circuit.shed_kw for circuit in self.counted_circuits)

    @property
    def held_off_load_kw(self) -> float:
        """So much more the site would draw without it, with generation as it is."""
        return sum(c.shed_kw for c in self.circuits if c.counts and not c.generates)

    def left_out(self) -> str | None:
        """The circuits that did not confirm, and why, for a person; None if all did."""
        failed = [f"{c.circuit_id}: {c.failure}" for c in self.circuits if not c.confirmed]
        return f"left out: {'; '.join(failed)}" if failed else None

    def held(self) -> list[ShedCircuit]:
        """The circuits that this event keeps shed, or may: all that are not a person's or back."""
        return [circuit for circuit in self.circuits if circuit.to_put_back]

    def unreached(self, reading: PanelReading, now: float) -> set[str]:
        """The circuits that no write of this event has reached, and that may be tried again: at
        once until it has begun, then each time after as long again."""

        def may_be_tried(circuit: ShedCircuit) -> bool:
            if self.active_ts is None:
                return True
            tried_for_sec = circuit.shed_ts - self.active_ts
            return now - circuit.shed_ts >= max(UNREACHED_SEC, tried_for_sec)

        return {c.circuit_id for c in self.circuits if c.is_unreached(reading) and may_be_tried(c)}

    def restored_of(self) -> tuple[int, int]:
        """How many circuits are back, and of how many that were to be put back."""
        back = [circuit for circuit in self.circuits if not circuit.manual_override]
        return sum(circuit.restored for circuit in back), len(back)

    def not_restored(self) -> str:
        """The circuits that could not be put back yet, and why, for a person."""
        return ", ".join(f"{c.circuit_id} ({c.failure})" for c in self.held() if c.failure)

    @property
    def level(self) -> int:
        """Which of its levels rules, from 0."""
        return self.level_starts[-1].index if self.level_starts else 0

    @property
    def is_limit(self) -> bool:
        return self.request.kind is EventRequestKind.LIMIT

    @property
    def is_load_up(self) -> bool:
        return self.request.kind is EventRequestKind.LOAD_UP

    @property
    def limit_terms(self) -> EventLimitTerms:
        """Of a limit: what it allows now."""
        level, level_ts = 0, self.active_ts
        if self.level_starts:
            entered = self.level_starts[-1]
            level, level_ts = entered.index, max(level_ts or entered.ts, entered.ts)
        return EventLimitTerms(self.request, self.limit, level, level_ts)

    @property
    def end_ts(self) -> float:
        """When it ends by itself: not while the failsafe limit rules."""
        return self.request.end_ts if not self.limit.is_failsafe else math.inf

    @property
    def lot(self) -> float:
        """Which part of the time its start was drawn from it begins after, 0 … 1."""
        drawn_of_sec = self.request.content.get("randomize_start_sec")
        return self.request.start_delay_sec / drawn_of_sec if drawn_of_sec else 0.0

    @property
    def wanted_kw(self) -> float:
        """What is to be shed now; negative when more is to be drawn."""
        if self.is_load_up:
            return -self.request.raise_kw
        return self.request.shed_kw_at(self.level)

    def band_kw(self, band: float) -> float:
        """How far the shed may be from what is wanted; `band` as a part of it. In an interval
        without a shed, of the highest of the others."""
        if self.is_limit:
            return band * max(self.limit_terms.import_kw or 0.0, self.limit_terms.export_kw or 0.0)
        return band * abs(self.wanted_kw or self.request.shed_kw)

    def is_level_over(self, now: float) -> bool:
        """Whether the next level is to rule."""
        return self.level_end_ts <= now < self.end_ts

    @property
    def level_end_ts(self) -> float:
        """When what is wanted changes, or the event ends."""
        is_last = self.level >= len(self.request.levels) - 1
        return self.end_ts if is_last else self.request.level_end_ts(self.level)

    @property
    def baseline_kw(self) -> float | None:
        """What the event is steered by."""
        return None if self.baseline is None else self.baseline.steering_kw

    def shed_at(self, power_kw: float) -> float:
        """The measured shed when the panel draws `power_kw`: baseline - power."""
        before_kw = self.limit.reference_kw if self.is_limit else self.baseline_kw
        return 0.0 if before_kw is None else before_kw - power_kw

    def shed_in(self, reading: PanelReading) -> float:
        """The measured shed that `reading` shows; 0 while nothing is held."""
        return self.shed_at(reading.power_kw or 0.0) if self.held() else 0.0
