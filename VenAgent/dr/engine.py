"""The event engine: commands, readings, confirmations and time go in, effects come out.

It holds the site's events and decides everything about them; it does nothing itself. The agent
carries the effects out and reports back with `prepared`, `written` and `restored`, each of which
may bring more effects. All times are epoch seconds given by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.commands import (
    CancelCommand,
    Command,
    CommandRejected,
    PingCommand,
    RestoreCommand,
    ShedCommand,
)
from VenAgent.contract.wire import rounded
from VenAgent.dr.answers import Answers
from VenAgent.dr.baseline import PowerHistory
from VenAgent.dr.curtailment import TOLERANCE
from VenAgent.dr.effects import (
    Announce,
    Effects,
    Prepare,
    Prepared,
    ReadMeter,
    Record,
    Release,
    Restore,
    Write,
)
from VenAgent.dr.event import EndedBy, Event, EventState
from VenAgent.dr.pacing import Backoff, Settling
from VenAgent.dr.panel import Panel, Reading
from VenAgent.dr.planning import circuits_to_shed, refusal_of

RESERVE_BEYOND_END_SEC = 300.0
"""The reservation outlasts the event by this, so that a restore may be tried again under it."""


class Engine:
    """One site's events. At most one sheds at a time; later ones may be scheduled."""

    def __init__(self, panel: Panel, ven_id: str) -> None:
        self.panel = panel
        self.ven_id = ven_id
        self.history = PowerHistory()
        self.latest: Reading | None = None
        self.running: Event | None = None
        self.scheduled: dict[str, Event] = {}
        self.answers = Answers(ven_id)
        self._settling = Settling()
        self._retry = Backoff()

    # ---- what comes in -------------------------------------------------------------------

    def command(self, command: Command, now: float) -> Effects:
        """A command that parsed. The same correlation_id again: the same answer, nothing else."""
        repeated = self.answers.repeat(command.correlation_id)
        if repeated is not None:
            return repeated
        if isinstance(command, ShedCommand):
            return self._shed(command, now)
        if isinstance(command, (RestoreCommand, CancelCommand)):
            return self._end_by_command(command, now)
        if isinstance(command, PingCommand):
            return [self.answers.to(command, AckStatus.SUCCESS, now, pong=True)]
        reason = f"{command.op} is not supported by this version of VenAgent"
        return [self.answers.to(command, AckStatus.REJECTED, now, reason=reason)]

    def refuse(self, rejected: CommandRejected, now: float) -> Effects:
        """The answer to a command that does not parse (any more: its time may have passed)."""
        repeated = self.answers.repeat(rejected.correlation_id)
        if repeated is not None:
            return repeated
        return [self.answers.refuse(rejected, now)]

    def reading(self, reading: Reading, now: float) -> Effects:
        """A new reading of the whole panel."""
        self.latest = reading
        if reading.power_kw is None:
            return []
        event = self.running
        if event is None:
            self.history.add(reading.ts, reading.power_kw)
            return []
        if event.state is not EventState.ACTIVE or reading.ts < (event.active_ts or 0.0):
            return []
        previous_kw = event.metered.last_kw if event.metered.samples else None
        is_new = event.metered.add(reading.ts, reading.power_kw)
        if event.measured_kw is not None:
            return []
        if not is_new:
            self._settling.look_again(now)
            return []
        if not self._settling.settled(event, reading.power_kw, previous_kw, now):
            return []
        event.measured_kw = event.shed_by(reading.power_kw)
        measured = self.answers.follow_up(event, AckStatus.MEASURED, now)
        return [Record(event.event_id, event.as_record()), measured]

    def tick(self, now: float) -> Effects:
        """Time has passed; call it at `next_deadline` or later."""
        effects: Effects = []
        for late in [e for e in self.scheduled.values() if e.end_ts <= now]:
            effects += self._withdraw(late, now, "its end passed before it could begin")
        event = self.running
        if event is not None and event.end_ts <= now:
            if event.state is EventState.ACTIVE:
                effects += self._end(event, now)
            elif event.state is EventState.SHEDDING:
                effects += self._fail(event, "its end came before its writes were confirmed", now)
        if event is not None and _is_due(self._retry.due_ts, now):
            self._retry.due_ts = None
            effects.append(self._restore(event))
        if _is_due(self._settling.due_ts, now):
            self._settling.due_ts = None
            effects.append(ReadMeter())
        if self.running is None:
            due = [e for e in self.scheduled.values() if e.start_ts <= now < e.end_ts]
            if due:
                effects += self._begin(min(due, key=lambda e: e.start_ts), now)
        return effects

    def next_deadline(self) -> float | None:
        """When `tick` is next needed; None when nothing is waited for."""
        times = [t for t in (self._retry.due_ts, self._settling.due_ts) if t is not None]
        event = self.running
        if event is not None and event.state is not EventState.RESTORING:
            times.append(event.end_ts)
        for waiting in self.scheduled.values():
            times.append(waiting.end_ts if event is not None else waiting.start_ts)
        return min(times, default=None)

    # ---- what the agent reports back -----------------------------------------------------

    def prepared(self, event_id: str, outcome: Prepared, now: float) -> Effects:
        """The reservation and the fresh reading are there, or why not: plan and write."""
        event = self._running(event_id, EventState.SHEDDING)
        if event is None:
            return []
        if event.ended_by is not None:
            return self._end(event, now)
        if outcome.refusal is not None:
            return self._fail(event, outcome.refusal, now)
        reading = outcome.reading
        if reading is None or reading.power_kw is None:
            return self._fail(event, "the meter could not be read; nothing was shed", now)
        self.latest = reading
        baseline = self.history.baseline(now, reading.power_kw)
        event.baseline_kw, event.baseline_method = baseline.power_kw, baseline.method
        effects = self._plan(event, event.requested_kw, reading)
        if effects:
            return effects
        return self._fail(
            event,
            "no circuit can be shed now: all are critical, switched off, unread or draw nothing",
            now,
        )

    def written(self, event_id: str, failures: Mapping[str, str], now: float) -> Effects:
        """The writes ended; `failures` has a reason by circuit id, all others are confirmed."""
        event = self._running(event_id, EventState.SHEDDING)
        if event is None:
            return []
        for circuit in event.circuits:
            if circuit.confirmed is None:
                circuit.failure = failures.get(circuit.circuit_id)
                circuit.confirmed = circuit.failure is None
        if event.ended_by is not None:
            return self._end(event, now)
        missing_kw = event.requested_kw - event.predicted_kw
        if failures and self.latest and missing_kw > TOLERANCE * event.requested_kw:
            replacements = self._plan(event, missing_kw, self.latest)
            if replacements:
                return replacements
        if not any(circuit.confirmed for circuit in event.circuits):
            reasons = "; ".join(f"{c.circuit_id}: {c.failure}" for c in event.circuits)
            return self._fail(event, f"no write was confirmed: {reasons}", now)
        return self._activate(event, now)

    def restored(
        self,
        event_id: str,
        failures: Mapping[str, str],
        now: float,
        reading: Reading | None = None,
    ) -> Effects:
        """The restore's writes ended; what failed is tried again until it succeeds.

        A circuit that `reading`, taken after the writes, shows as it was before is back, whatever
        its write said: one that could not be written in the first place ends here.
        """
        event = self._running(event_id, EventState.RESTORING)
        if event is None:
            return []
        failures = {
            circuit.circuit_id: failures[circuit.circuit_id]
            for circuit in event.circuits
            if circuit.circuit_id in failures and not circuit.is_back(reading)
        }
        for circuit in event.circuits:
            circuit.restored = circuit.restored or circuit.circuit_id not in failures
            circuit.failure = failures.get(circuit.circuit_id)
        if failures:
            self._retry.failed(now)
            reasons = "; ".join(f"{circuit}: {why}" for circuit, why in failures.items())
            answer = self.answers.to_ender(
                event, AckStatus.FAILED, now, reason=f"not restored yet, trying again: {reasons}"
            )
            return [Record(event_id, event.as_record()), *answer]
        return self._complete(event, now)

    # ---- starting and taking over --------------------------------------------------------

    def resume(
        self,
        events: Iterable[Event],
        answers: Iterable[Mapping[str, Any]],
        now: float,
    ) -> Effects:
        """Take over what an earlier process left: its unfinished events and its answers."""
        for body in answers:
            self.answers.remember(body)
        effects: Effects = []
        for event in sorted(events, key=lambda e: e.start_ts):
            if event.state is EventState.SCHEDULED:
                self.scheduled[event.event_id] = event
            elif self.running is None and not event.state.over:
                effects += self._take_over(event, now)
        return effects + self.tick(now)

    def _take_over(self, event: Event, now: float) -> Effects:
        self.running = event
        if not event.answered:
            self.answers.expect(event.correlation_id)
        if event.ended_by is not None and not event.ended_by.answered:
            self.answers.expect(event.ended_by.correlation_id)
        if event.state is EventState.RECEIVED:
            return self._begin(event, now)
        if event.state is EventState.RESTORING:
            return [self._restore(event)]
        if event.state is EventState.ACTIVE:
            return [Announce(event.as_record())]  # tick ends it if its time is over
        if event.end_ts <= now or event.ended_by is not None:
            return self._fail(event, "the agent was restarted while the event began", now)
        if not event.circuits:
            return self._prepare(event)
        # Killed between the record and the confirmation: writing the same again is harmless.
        for circuit in event.circuits:
            circuit.confirmed = None
        return [Write(event.event_id, tuple(c.write() for c in event.circuits))]

    def reconfigure(self, panel: Panel, ven_id: str) -> None:
        """A new configuration. A running event keeps the circuits and addresses it began with."""
        self.panel = panel
        if ven_id != self.ven_id:
            self.ven_id = self.answers.ven_id = ven_id

    def stop(self, now: float) -> Effects:
        """The agent is stopped in order: the building goes back to normal first."""
        event = self.running
        if event is None or event.state is EventState.RESTORING:
            return []
        if event.state is EventState.SHEDDING:
            return self._fail(event, "the agent was stopped while the event began", now)
        return self._end(event, now)

    # ---- for telemetry -------------------------------------------------------------------

    @property
    def shedding(self) -> Event | None:
        """The event that telemetry names: its writes are confirmed and not all undone."""
        return self.running if self.running is not None and self.running.shedding else None

    def baseline_kw(self, now: float) -> float | None:
        """The running event's baseline; without one, what an event beginning now would have."""
        if self.running is not None and self.running.baseline_kw is not None:
            return self.running.baseline_kw
        if self.latest is None or self.latest.power_kw is None:
            return None
        return self.history.baseline(now, self.latest.power_kw).power_kw

    def trouble(self) -> str | None:
        """What a person should know: circuits that do not go back. None when all is well."""
        event = self.running
        if event is None or event.state is not EventState.RESTORING or not self._retry.tries:
            return None
        return f"event {event.event_id} is over but not restored: {event.stuck()}; trying again"

    # ---- decisions -----------------------------------------------------------------------

    def _shed(self, command: ShedCommand, now: float) -> Effects:
        event = Event.of(command, now)
        refusal = self._refusal(event)
        if refusal is not None:
            return [self.answers.to_event(event, AckStatus.REJECTED, now, reason=refusal)]
        if event.start_ts > now:
            event.to(EventState.SCHEDULED)
            self.scheduled[event.event_id] = event
            start = rounded(event.start_ts)
            answer = self.answers.to_event(event, AckStatus.SCHEDULED, now, start_ts=start)
            record = event.as_record()
            return [Record(event.event_id, record), answer, Announce(record)]
        self.answers.expect(event.correlation_id)
        return self._begin(event, now)

    def _refusal(self, event: Event) -> str | None:
        """Why this event cannot be taken on; None when it can."""
        if event.circuit_id is not None:
            wrong = refusal_of(event.circuit_id, self.panel)
            if wrong is not None:
                return wrong
        if event.event_id in self.scheduled:
            return f"event {event.event_id} is scheduled already: cancel it first"
        running = self.running
        if running is not None and event.start_ts < running.end_ts:
            return (
                f"event {running.event_id} is {running.state.value} until "
                f"{running.end_ts:.0f}: restore it first"
            )
        return None

    def _begin(self, event: Event, now: float) -> Effects:
        self.scheduled.pop(event.event_id, None)
        self.running = event
        event.to(EventState.SHEDDING)
        event.task_id = f"{event.event_id}/{now:.3f}"
        return self._prepare(event)

    def _prepare(self, event: Event) -> Effects:
        record = event.as_record()
        return [
            Record(event.event_id, record),
            Prepare(event.event_id, event.task_id, event.end_ts + RESERVE_BEYOND_END_SEC),
            Announce(record),
        ]

    def _plan(self, event: Event, request_kw: float, reading: Reading) -> Effects:
        """Plan `request_kw` with circuits not tried yet; no effects when none is left."""
        shed = circuits_to_shed(event, self.panel, reading, request_kw)
        if not shed:
            return []
        event.circuits += shed
        return [
            Record(event.event_id, event.as_record()),
            Write(event.event_id, tuple(circuit.write() for circuit in shed)),
        ]

    def _activate(self, event: Event, now: float) -> Effects:
        event.to(EventState.ACTIVE)
        event.active_ts = now
        self._settling = Settling()
        left_out = event.left_out()
        fields = {} if left_out is None else {"reason": left_out}
        answer = self.answers.to_event(event, AckStatus.ACCEPTED, now, **fields)
        record = event.as_record()
        return [
            Record(event.event_id, record),
            answer,
            Announce(record),
            ReadMeter(),
        ]

    def _fail(self, event: Event, reason: str, now: float) -> Effects:
        """Nothing was shed: say so, and undo what may have been written all the same."""
        answer = self.answers.to_event(event, AckStatus.FAILED, now, reason=reason)
        if event.circuits:
            return [*self._end(event, now), answer]
        event.to(EventState.REJECTED)
        self.running = None
        record = event.as_record()
        return [
            Record(event.event_id, record),
            answer,
            Release(event.task_id),
            Announce(record),
            *self.answers.to_ender(event, AckStatus.SUCCESS, now),
        ]

    def _end_by_command(self, command: Command, now: float) -> Effects:
        """`restore` and `cancel`: the event named, or the one that runs."""
        waiting = self.scheduled.get(command.event_id or "")
        if waiting is not None:
            effects = self._withdraw(waiting, now, "cancelled by command")
            return [*effects, self.answers.to(command, AckStatus.SUCCESS, now)]
        event = self.running
        if event is None or command.event_id not in (None, event.event_id):
            if command.event_id is None:
                reason = "no event is running; nothing was to be restored"
                return [self.answers.to(command, AckStatus.SUCCESS, now, reason=reason)]
            reason = f"event {command.event_id} is not running and not scheduled"
            return [self.answers.to(command, AckStatus.REJECTED, now, reason=reason)]
        if event.ended_by is not None:
            reason = f"event {event.event_id} is being restored already"
            return [self.answers.to(command, AckStatus.SUCCESS, now, reason=reason)]
        event.ended_by = EndedBy(command.op, command.correlation_id)
        self.answers.expect(command.correlation_id)
        if event.state is EventState.ACTIVE:
            return self._end(event, now)
        return [Record(event.event_id, event.as_record())]  # as soon as its writes are back

    def _withdraw(self, event: Event, now: float, reason: str) -> Effects:
        """Take a scheduled event off the list, and tell who sent it."""
        del self.scheduled[event.event_id]
        event.to(EventState.CANCELLED)
        record = event.as_record()
        withdrawn = self.answers.follow_up(event, AckStatus.FAILED, now, reason=reason)
        return [Record(event.event_id, record), withdrawn, Announce(record)]

    def _end(self, event: Event, now: float) -> Effects:
        event.to(EventState.RESTORING)
        event.ended_ts = now
        self._settling, self._retry = Settling(), Backoff()
        record = event.as_record()
        if not event.circuits:
            return [Record(event.event_id, record), *self._complete(event, now)]
        return [Record(event.event_id, record), Announce(record), self._restore(event)]

    def _restore(self, event: Event) -> Restore:
        back = tuple(circuit.write_back() for circuit in event.circuits if not circuit.restored)
        return Restore(event.event_id, back)

    def _complete(self, event: Event, now: float) -> Effects:
        event.to(EventState.COMPLETED)
        self.running, self._retry = None, Backoff()
        record = event.as_record()
        effects: Effects = [Record(event.event_id, record)]
        effects += self.answers.to_ender(event, AckStatus.SUCCESS, now)
        if event.active_ts is not None:
            summary = event.summary()
            effects.append(self.answers.follow_up(event, AckStatus.COMPLETED, now, summary=summary))
        elif not event.answered:
            reason = "restored by command before it had begun"
            effects.append(self.answers.to_event(event, AckStatus.FAILED, now, reason=reason))
        return [*effects, Release(event.task_id), Announce(record), ReadMeter()]

    def _running(self, event_id: str, state: EventState) -> Event | None:
        """The running event, if the report is about it and still wanted."""
        event = self.running
        if event is None or event.event_id != event_id or event.state is not state:
            return None
        return event


def _is_due(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now
