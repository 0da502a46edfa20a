"""An event's states, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


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
    # A command was read (OpenADR 3: the VTN created an event).
    EventState.RECEIVED: frozenset(
        {EventState.SCHEDULED, EventState.SHEDDING, EventState.REJECTED}
    ),
    # It begins at its intervalPeriod.start (OpenADR 3), or waits for an event of higher precedence
    # (OpenADR 3, event.priority: 0 is the highest).
    # COMPLETED: it had begun, was preempted by another event, and its time is over.
    EventState.SCHEDULED: frozenset(
        {EventState.SHEDDING, EventState.CANCELLED, EventState.COMPLETED}
    ),
    # Devices are reserved, read and written. REJECTED: nothing could be shed.
    EventState.SHEDDING: frozenset({EventState.ACTIVE, EventState.RESTORING, EventState.REJECTED}),
    # Every write is confirmed or known to have failed.
    # SHEDDING: circuits are added or released, or a later modification asks for another amount.
    # SCHEDULED and COMPLETED: another event takes over what is shed, without a restore in between.
    EventState.ACTIVE: frozenset(
        {
            EventState.SHEDDING,
            EventState.RESTORING,
            EventState.SCHEDULED,
            EventState.COMPLETED,
        }
    ),
    # The end of the interval, a restore or cancel, an opt-out (OpenADR 2.0b, optType optOut), or
    # the agent's stop: the circuits go back until every one is back.
    EventState.RESTORING: frozenset({EventState.COMPLETED}),
    EventState.COMPLETED: frozenset(),
    EventState.CANCELLED: frozenset(),
    EventState.REJECTED: frozenset(),
}
"""Which state may follow which, and the clause of the standard where there is one."""
