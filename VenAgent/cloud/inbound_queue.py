"""The order in which the agent deals with what has come: as it came, but for what ends an event.

A `restore` or `cancel` goes before all that waits, except before what it may be about: commands of
the same event; without an event's name, each that begins an event by now; and what bears the same
correlationId. Those go first, in their order, so that nothing is restored before it is known.
"""

from __future__ import annotations

from collections import defaultdict, deque

from VenAgent.cloud.inbound_message import InboundMessage
from VenAgent.contract.command_outline import CommandOutline, command_outline


class InboundQueue:
    """Of one link; used by the agent's greenlets only. Each step takes the same short time, however
    much waits."""

    def __init__(self, command_topic: str) -> None:
        self._command_topic = command_topic
        self._waiting: dict[int, tuple[InboundMessage, CommandOutline | None]] = {}
        """By number, in the order in which they came."""
        self._next = 0
        self._enders: deque[int] = deque()
        self._begins_now: deque[int] = deque()
        """What may have begun an event when a `restore` without a name comes."""
        self._by_event: defaultdict[str, deque[int]] = defaultdict(deque)
        self._by_correlation: defaultdict[str, deque[int]] = defaultdict(deque)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, inbound: InboundMessage, now: float) -> None:
        """`now`: epoch s; an event that begins later than this is none that runs."""
        number, self._next = self._next, self._next + 1
        if inbound.topic != self._command_topic:
            self._waiting[number] = (inbound, None)
            return
        outline = command_outline(inbound.payload)
        self._waiting[number] = (inbound, outline)
        if outline.ends_event:
            self._enders.append(number)
        if outline.begins_by_ts is not None and outline.begins_by_ts <= now:
            self._begins_now.append(number)
        if outline.event_id is not None:
            self._by_event[outline.event_id].append(number)
        if outline.correlation_id is not None:
            self._by_correlation[outline.correlation_id].append(number)

    def take(self) -> InboundMessage:
        """The next. Raises LookupError if nothing waits."""
        ender = self._first(self._enders)
        number = next(iter(self._waiting), None) if ender is None else self._first_about(ender)
        if number is None:
            raise LookupError("nothing waits")
        inbound, outline = self._waiting.pop(number)
        if not self._waiting:
            self._forget_order()
        elif outline is not None:
            self._drop_name(self._by_event, outline.event_id)
            self._drop_name(self._by_correlation, outline.correlation_id)
        return inbound

    def _first_about(self, ender: int) -> int:
        """The first that must be dealt with before this `restore` or `cancel`, or that itself."""
        _, outline = self._waiting[ender]
        assert outline is not None
        if outline.event_id is None:
            about = [self._first(self._begins_now)]
        else:
            about = [self._first(self._by_event[outline.event_id])]
        if outline.correlation_id is not None:
            about.append(self._first(self._by_correlation[outline.correlation_id]))
        return min([ender, *(each for each in about if each is not None)])

    def _first(self, numbers: deque[int]) -> int | None:
        while numbers and numbers[0] not in self._waiting:
            numbers.popleft()
        return numbers[0] if numbers else None

    def _drop_name(self, by_name: defaultdict[str, deque[int]], name: str | None) -> None:
        if name is not None and name in by_name and self._first(by_name[name]) is None:
            del by_name[name]

    def _forget_order(self) -> None:
        for each in (self._enders, self._begins_now, self._by_event, self._by_correlation):
            each.clear()
