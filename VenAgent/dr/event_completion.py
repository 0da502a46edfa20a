"""How an event ends: its circuits go back, and who asked hears what it delivered."""

from __future__ import annotations

from collections.abc import Mapping

from VenAgent.contract.acks import AckStatus
from VenAgent.dr.backoff import Backoff
from VenAgent.dr.closed_loop import ClosedLoop
from VenAgent.dr.curtailment_plan import Moves
from VenAgent.dr.effects import Announce, Effects, RaiseAlert, ReadMeter, Release, SaveEvent
from VenAgent.dr.event import Event, EventState
from VenAgent.dr.panel import Reading
from VenAgent.dr.restoration import Restoration
from VenAgent.dr.site_state import SiteState

WORK_LIMIT_SEC = 30.0
"""Every report comes within the time limits of its calls; one that does not must not keep an
event from ending."""
CIRCUIT_ALERTS = ("circuit.disobeys", "circuit.by_hand", "write.failed", "restore.failed")


class EventCompletion:
    """The event that is carried out, and its way to the end; carrying.py has the way there."""

    def __init__(self, context: SiteState) -> None:
        self._context = context
        self.event: Event | None = None
        self.over: Event | None = None
        """The event that has just ended, until the engine takes note of it."""
        self.successor: Event | None = None
        """What the engine is to begin in the place of an event that is over."""
        self._moves = Moves()
        """Under way now."""
        self._on_target = ClosedLoop(context)
        self._way_back = Restoration(context)
        self._again = Backoff()
        """When to try to go on with an event whose devices were not there."""
        self._try_until_ts: float | None = None
        self._overdue_ts: float | None = None
        """The work under way is not waited for any longer than this when the event is to end."""
        self._at_once = False
        """The agent stops: no pause between two circuits that go back."""

    def end(self, why: str, now: float, *, at_once: bool = False) -> Effects:
        """End the event as soon as the work under way is done."""
        event = self._the_event()
        self._at_once = self._at_once or at_once
        if self.is_idle:
            return self._end(event, now)
        if event.state is EventState.SHEDDING and event.ending is None:
            event.ending = why
            return self.end_soon(now)
        if event.state is EventState.RESTORING and at_once:
            self._way_back.hasten(event, now)
            return self._way_back.due(event, now)
        return []

    def end_soon(self, now: float) -> Effects:
        """It ends when its work is back, or has been waited for long enough."""
        event = self._the_event()
        if event.state is EventState.SHEDDING and self._overdue_ts is None:
            self._overdue_ts = now + WORK_LIMIT_SEC
        return [SaveEvent(event.event_id, event.as_record())]

    @property
    def is_idle(self) -> bool:
        """Whether no work is under way for the event: it can be ended at once."""
        event = self.event
        if event is None:
            return True
        waits = event.state is EventState.SHEDDING and self._again.due_ts is not None
        return waits or event.state is EventState.ACTIVE

    def clock_stepped(self, step_sec: float, now: float) -> Effects:
        """The clock was set: nothing that is waited for may take longer for it."""
        event = self.event
        if event is None:
            return []
        event.shift(step_sec)
        self._way_back.shift(step_sec)
        self._on_target.shift()
        if self._overdue_ts is not None:
            self._overdue_ts += step_sec
        if self._again.due_ts is not None:
            self._again.due_ts += step_sec
        if self._try_until_ts is not None:
            self._try_until_ts += step_sec
        return [SaveEvent(event.event_id, event.as_record())]

    def hand_over(self, now: float) -> Event:
        """Let go of the event without a restore: another one takes what it holds."""
        event = self._the_event()
        event.metered.pause(now)
        self.event = None
        return event

    @property
    def wants_more(self) -> bool:
        """Whether the event still wants what is being shed for it now."""
        event = self.event
        return (
            event is not None and event.state is EventState.SHEDDING and not self._is_ending(event)
        )

    @property
    def holds(self) -> bool:
        """Whether circuits are to stay shed for now, or are about to be shed: then the devices'
        lease is renewed. Not once one does not go back: the lease is what is left to end that."""
        event = self.event
        if event is None:
            return False
        if event.state is EventState.RESTORING:
            return bool(event.held()) and not event.stuck()
        return event.state in (EventState.SHEDDING, EventState.ACTIVE)

    def _is_ending(self, event: Event) -> bool:
        return event.ending is not None or event.ended_by is not None

    def _fail(self, event: Event, reason: str, now: float) -> Effects:
        """Nothing was shed: say so, and undo what may have been written all the same."""
        told = self._context.answers.to_event(event, AckStatus.FAILED, now, reason=reason)
        if event.circuits:
            return [*self._end(event, now), *told]
        event.to(EventState.REJECTED)
        self._let_go(event)
        record = event.as_record()
        return [
            SaveEvent(event.event_id, record),
            *told,
            Release(event.task_id),
            Announce(record),
            *self._context.answers.to_ender(event, AckStatus.SUCCESS, now),
        ]

    def _end(self, event: Event, now: float) -> Effects:
        if event.active_ts is None and not event.answered and event.ending is not None:
            status = AckStatus.OPTED_OUT if event.opted_out else AckStatus.FAILED
            failed = self._context.answers.to_event(event, status, now, reason=event.ending)
        else:
            failed = []
        event.to(EventState.RESTORING)
        event.ended_ts, self._overdue_ts, self._moves = now, None, Moves()
        self._again = Backoff()
        self._on_target.restart()
        self._way_back.begin(event, now, at_once=self._at_once)
        record = event.as_record()
        if not event.held():
            return [SaveEvent(event.event_id, record), *failed, *self._complete(event, now)]
        effects = [SaveEvent(event.event_id, record), *failed, Announce(record)]
        return effects + self._way_back.due(event, now)

    def restored(
        self,
        event_id: str,
        failures: Mapping[str, str],
        now: float,
        reading: Reading | None = None,
    ) -> Effects:
        """Writes of the way back ended."""
        event = self._at(event_id, EventState.RESTORING)
        if event is None:
            return []
        effects = self._way_back.restored(event, failures, now, reading)
        if event.held():
            return effects + self._way_back.due(event, now)
        alerts = [effect for effect in effects if isinstance(effect, RaiseAlert)]
        return self._complete(event, now) + alerts

    def _complete(self, event: Event, now: float) -> Effects:
        answers, policy = self._context.answers, self._context.policy
        event.to(EventState.COMPLETED)
        told = answers.to_ender(event, AckStatus.SUCCESS, now)
        if not event.answered:
            reason = event.ending or "ended by command before it could be begun or changed"
            told += answers.to_event(event, AckStatus.FAILED, now, reason=reason)
        if event.active_ts is not None:
            if event.next_ask is None and policy.rebound_sec > 0.0:
                event.rebound_until_ts = now + policy.rebound_sec
            summary = event.summary()
            told.append(answers.follow_up(event, AckStatus.COMPLETED, now, summary=summary))
        self._let_go(event)
        record = event.as_record()
        effects: Effects = [
            SaveEvent(event.event_id, record),
            self._context.keep_wear(),
            *told,
            Release(event.task_id),
            Announce(record),
            ReadMeter(),
            RaiseAlert("shed.short"),
            RaiseAlert("devices.preempted"),
        ]
        for circuit in event.circuits:
            effects += [RaiseAlert(code, None, circuit.circuit_id) for code in CIRCUIT_ALERTS]
        return effects

    def _let_go(self, event: Event) -> None:
        """The event is over; what a later modification asked of it begins as an event anew."""
        self.event, self.over = None, event
        self._again, self._try_until_ts, self._overdue_ts = Backoff(), None, None
        self.successor = event.take_next()

    def trouble(self) -> str | None:
        """What a person should know: circuits that do not go back. None when all is well."""
        event = self.event
        if event is None:
            return None
        if event.state is EventState.RESTORING and event.stuck():
            return f"event {event.event_id} is over but not restored: {event.stuck()}; trying again"
        if event.state is EventState.ACTIVE and self._on_target.is_frozen:
            return f"event {event.event_id} goes on as it is: the meter is not read"
        return None

    def _the_event(self) -> Event:
        assert self.event is not None, "the engine asks only while an event runs"
        return self.event

    def _at(self, event_id: str, state: EventState) -> Event | None:
        """The event, if a report is about it and still wanted."""
        event = self.event
        if event is None or event.event_id != event_id or event.state is not state:
            return None
        return event
