"""How far the event that has precedence is carried out, for those that have to know."""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.dr.closed_loop import ClosedLoop
from VenAgent.dr.event import Event
from VenAgent.dr.event_completion import EventCompletion
from VenAgent.dr.event_state import EventState
from VenAgent.dr.plan_execution import PlanExecution
from VenAgent.dr.reservation import Reservation


@dataclass(frozen=True)
class EventExecutionStatus:
    """Of one moment: `event` is None between events. It changes nothing."""

    event: Event | None
    reservation: Reservation
    writing: PlanExecution
    loop: ClosedLoop
    completion: EventCompletion

    @property
    def is_idle(self) -> bool:
        """Whether no work is under way for the event: it can be ended at once."""
        event = self.event
        if event is None:
            return True
        waits = event.state is EventState.SHEDDING and self.reservation.due_ts is not None
        return waits or event.state is EventState.ACTIVE

    def is_writing(self, circuit_id: str) -> bool:
        """Whether a write to this circuit is under way."""
        if self.event is None:
            return False
        if self.event.state is EventState.RESTORING:
            return self.completion.is_writing(circuit_id)
        return self.writing.is_writing(circuit_id)

    def restores_for_long(self, now: float) -> bool:
        """Whether others have to wait for the restoration longer than for an ack."""
        event = self.event
        return (
            event is not None
            and event.state is EventState.RESTORING
            and (bool(event.not_restored()) or self.completion.takes_long(now))
        )

    @property
    def wants_more(self) -> bool:
        """Whether the event still wants what is being shed for it now."""
        event = self.event
        return event is not None and event.state is EventState.SHEDDING and not event.is_ending

    @property
    def holds(self) -> bool:
        """Whether circuits are to stay shed for now, or are about to be shed: then the devices'
        lease is renewed. Not once one does not go back: the lease is what is left to end that."""
        event = self.event
        if event is None:
            return False
        if event.state is EventState.RESTORING:
            return bool(event.held()) and not event.not_restored()
        if event.is_limit and event.state is EventState.ACTIVE:
            return bool(event.held())
        return event.state in (EventState.SHEDDING, EventState.ACTIVE)

    def trouble(self) -> str | None:
        """What a person should know: circuits that do not go back. None when all is well."""
        event = self.event
        if event is None:
            return None
        if event.state is EventState.RESTORING and event.not_restored():
            return (
                f"event {event.event_id} is over but not restored: {event.not_restored()}; "
                f"trying again"
            )
        if event.state is EventState.ACTIVE and self.loop.is_frozen:
            return f"event {event.event_id} goes on as it is: the meter is not read, or frozen"
        return None
