"""The events that wait for their turn, and the memory of those that are over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from VenAgent.dr.effects import SaveFactEffect
from VenAgent.dr.event import Event

PAST_KEPT = 1_000
WITHDRAWN_KEPT = 100
WITHDRAWN = "withdrawn"
"""The fact under which the journal keeps cancellations that overtook their event."""


class EventQueue:
    """`waiting`: those that begin later, and those that one of higher precedence keeps waiting."""

    def __init__(self) -> None:
        self.waiting: dict[str, Event] = {}
        self._past: OrderedDict[str, int] = OrderedDict()
        self._withdrawn: list[tuple[str, int]] = []

    def due(self, now: float, *, only_limits: bool = False) -> Event | None:
        """Of those whose time is now, the one with the highest precedence."""
        due = (
            event
            for event in self.waiting.values()
            if event.request.start_ts <= now < event.end_ts and (event.is_limit or not only_limits)
        )
        return min(due, key=lambda e: (e.request.precedence, e.request.start_ts), default=None)

    def late(self, now: float) -> list[Event]:
        """Those whose time is over."""
        return [event for event in self.waiting.values() if event.end_ts <= now]

    def remember(self, event_id: str, modification: int) -> None:
        """The event is over, or was withdrawn before it came: nothing up to this modification
        begins it again."""
        known = self._past.pop(event_id, -1)
        self._past[event_id] = max(known, modification)
        while len(self._past) > PAST_KEPT:
            self._past.popitem(last=False)

    def withdraw(self, event_id: str, modification: int) -> SaveFactEffect:
        """An event that is not known here was cancelled: it is not to begin when it comes."""
        self.remember(event_id, modification)
        self._withdrawn.append((event_id, modification))
        del self._withdrawn[:-WITHDRAWN_KEPT]
        return SaveFactEffect(WITHDRAWN, list(self._withdrawn))

    def recall(self, past: Iterable[tuple[str, int]], facts: Mapping[str, Any]) -> None:
        """What an earlier process knew."""
        self._withdrawn = [(name, number) for name, number in facts.get(WITHDRAWN) or ()]
        for event_id, modification in (*past, *self._withdrawn):
            self.remember(event_id, modification)

    def is_over(self, event_id: str, modification: int) -> bool:
        """Whether this modification of the event, or a later one, is over."""
        return self._past.get(event_id, -1) >= modification

    def next_deadline(self, running: Event | None, *, is_active: bool) -> float | None:
        """When one of them can begin, or can no longer."""
        times = [
            event.end_ts
            if running is not None and (event.preempted_by == running.event_id or not is_active)
            else event.request.start_ts
            for event in self.waiting.values()
        ]
        return min(times, default=None)
