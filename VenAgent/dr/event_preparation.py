"""What a scheduled event needs is done ahead of its start: reserved, its lease armed, read.

Of one event at a time, the next one, while nothing else runs. Nothing prepared outlives the event:
whatever takes it away (a cancellation, a modification, an opt-out, another event, a set clock, a
stop, a kill) gives the reservation and the lease back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from VenAgent.dr.effects import (
    Effects,
    PreparedEffect,
    PrepareEffect,
    ReleaseEffect,
    SaveEventEffect,
)
from VenAgent.dr.event import Event
from VenAgent.dr.event_request import EventRequest
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.reservation import reserved_until_ts

PREPARE_AHEAD_SEC = 5.0
"""Longer than a slow device takes to be reserved and read."""
LONGEST_READ_AGO_SEC = 10.0
"""A plan is made from no older reading."""


@dataclass
class _Prepared:
    event: Event
    request: EventRequest
    task_id: str
    outcome: PreparedEffect | None = None
    """None while the work is under way."""
    is_outdated: bool = False
    """It is of another configuration, or another agent's by now."""

    def serves(self, event: Event) -> bool:
        return event is self.event and event.request is self.request and not self.is_outdated


class EventPreparation:
    """Its task stands in the event, and so in the journal, before it is reserved."""

    def __init__(self) -> None:
        self._prepared: _Prepared | None = None
        self._given_up: set[str] = set()
        """Tasks that were given back while they were being reserved."""
        self._looked_ts = -math.inf
        """When it was last looked which event is next."""

    @property
    def is_holding(self) -> bool:
        """Whether devices are reserved and their lease is armed for an event to come."""
        return self._prepared is not None

    def next_deadline(self, waiting: Iterable[Event]) -> float | None:
        """When the next event is to be prepared."""
        if self._prepared is not None:
            return 0.0 if self._prepared.is_outdated else None
        times = (event.request.start_ts - PREPARE_AHEAD_SEC for event in waiting)
        return min((ts for ts in times if ts > self._looked_ts), default=None)

    def look(self, waiting: Collection[Event], now: float, *, may_begin: bool) -> Effects:
        """Prepare the next event, if its time is near and nothing else has the devices."""
        effects = self.drop_unwanted(waiting) if may_begin else self.drop()
        self._looked_ts = now
        return effects + self._begin(waiting, now) if may_begin else effects

    def _begin(self, waiting: Iterable[Event], now: float) -> Effects:
        if self._prepared is not None:
            return []
        near = [e for e in waiting if 0.0 < e.request.start_ts - now <= PREPARE_AHEAD_SEC]
        if not near:
            return []
        event = min(near, key=lambda e: (e.request.start_ts, e.request.precedence))
        task_id = f"{event.event_id}/{now:.3f}"
        event.reserve_as(task_id)
        self._prepared = _Prepared(event, event.request, task_id)
        until_ts = reserved_until_ts(event.end_ts, now)
        return [SaveEventEffect.of(event), PrepareEffect(event.event_id, task_id, until_ts)]

    def prepared(self, outcome: PreparedEffect) -> Effects | None:
        """The work ended; None if it was not done ahead, or its event has begun."""
        if outcome.task_id in self._given_up:
            self._given_up.discard(outcome.task_id)
            return [ReleaseEffect(outcome.task_id)]
        known = self._prepared
        if known is None or known.task_id != outcome.task_id:
            return None
        known.outcome = outcome
        return []

    def outdate(self, task_id: str | None = None) -> None:
        """The configuration has changed, and other devices may be needed; or another agent has
        taken what was reserved as `task_id`."""
        if self._prepared is not None and task_id in (None, self._prepared.task_id):
            self._prepared.is_outdated = True

    def drop_unwanted(self, waiting: Iterable[Event]) -> Effects:
        """Give back what was prepared for an event that does not wait any more, or was changed."""
        known = self._prepared
        if known is None or any(known.serves(event) for event in waiting):
            return []
        return self.drop()

    def drop(self) -> Effects:
        """Give back what was prepared."""
        known, self._prepared = self._prepared, None
        if known is None:
            return []
        self._looked_ts = -math.inf
        if known.outcome is None:
            self._given_up.add(known.task_id)
        if known.event.task_id == known.task_id:
            known.event.reserve_as("")
        return [SaveEventEffect.of(known.event), ReleaseEffect(known.task_id)]

    def is_under_way(self, event: Event) -> bool:
        """Whether `event` is being reserved and read at this moment."""
        known = self._prepared
        return known is not None and known.serves(event) and known.outcome is None

    def take(self, event: Event, latest: PanelReading | None, now: float) -> PreparedEffect | None:
        """`event` begins: what was prepared for it, with the newest reading; None if it is to be
        reserved and read (again)."""
        known = self._prepared
        if known is None or not known.serves(event):
            return None
        self._prepared = None
        outcome = known.outcome
        if outcome is None or not outcome.is_complete or outcome.reading is None:
            return None
        reading = outcome.reading
        if latest is not None and latest.ts > reading.ts:
            if latest.power_kw is None:  # a device has gone since: it may be back in a moment
                return None
            reading = _with_slots(latest, reading)
        if now - reading.ts > LONGEST_READ_AGO_SEC:
            return None
        return replace(outcome, reading=reading)


def release_forgotten_preparation(waiting: Iterable[Event]) -> Effects:
    """After a restart: what an earlier process had prepared is given back."""
    effects: Effects = []
    for event in waiting:
        if event.task_id and event.active_ts is None:
            task_id = event.task_id
            event.reserve_as("")
            effects += [SaveEventEffect.of(event), ReleaseEffect(task_id)]
    return effects


def _with_slots(reading: PanelReading, before: PanelReading) -> PanelReading:
    """A publication does not say what the BACnet slots hold that we write to."""
    circuits = {
        circuit_id: replace(circuit, slot=before.circuit(circuit_id).slot)
        for circuit_id, circuit in reading.circuits.items()
    }
    return replace(reading, circuits=circuits)
