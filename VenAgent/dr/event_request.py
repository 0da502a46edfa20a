"""What a command asks of an event: its kind, its power at each time, from when to when.

Power is kW, times epoch seconds, durations seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from VenAgent.contract.commands import (
    EventCommand,
    LimitCommand,
    LoadUpCommand,
    ShedCommand,
    ShedLoadCommand,
    event_command_window,
)

STOP = "stop"
"""The op of an event that nobody sent: what a limit held is put back while the agent stops."""
DEFAULT_WINDOW_SEC = 60.0
"""Over so long the power is averaged that a limit is kept by."""


class EventRequestKind(str, Enum):
    SHED = "shed"
    LIMIT = "limit"
    LOAD_UP = "load_up"


@dataclass(frozen=True)
class EventRequestLevel:
    """One interval of an event: what is shed, or the import that is allowed, while it lasts."""

    duration_sec: float
    power_kw: float


@dataclass(frozen=True)
class EventRequest:
    """`content` is what the command stated itself, to know it again."""

    op: str
    correlation_id: str | None
    shed_kw: float
    """The most that it asks to shed; 0 for a limit and for more load."""
    start_ts: float
    end_ts: float
    """Infinite for a limit until further notice."""
    modification: int = 0
    circuit_id: str | None = None
    priority: int | None = None
    """As in OpenADR 3: 0 is the highest, none the lowest."""
    kind: EventRequestKind = EventRequestKind.SHED
    levels: tuple[EventRequestLevel, ...] = ()
    """One after the other from `start_ts`; empty for an event of one level."""
    raise_kw: float = 0.0
    import_kw: float | None = None
    export_kw: float | None = None
    """The most that may be fed in, in all its levels; None: any."""
    window_sec: float = DEFAULT_WINDOW_SEC
    failsafe_kw: float | None = None
    heartbeat_sec: float | None = None
    failsafe_min_sec: float = 0.0
    start_delay_sec: float = 0.0
    """What this site drew of `randomize_start_sec`; `start_ts` has it already."""
    is_test: bool = False
    from_site: bool = False
    """It was asked for at the site (page, RPC), not by the cloud."""
    content: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, command: EventCommand, now: float, *, lot: float = 0.0, longest_sec: float = 86_400.0
    ) -> EventRequest:
        """What a command received at `now` asks. `lot`: this site's, 0 … 1, for a start that is
        drawn; `longest_sec`: how long an event lasts that no one ends."""
        start_ts, end_ts = event_command_window(command, now)
        circuit_id = command.circuit_id if isinstance(command, ShedLoadCommand) else None
        if command.lasts_until_cancelled:
            end_ts = start_ts + longest_sec
        if isinstance(command, LimitCommand) and command.is_without_end:
            end_ts = math.inf
        delay_sec = lot * (command.randomize_start_sec or 0.0)
        request = cls(
            op=command.op,
            correlation_id=command.correlation_id,
            shed_kw=0.0,
            start_ts=start_ts,
            end_ts=end_ts,
            modification=command.modification,
            circuit_id=circuit_id,
            priority=command.event_priority,
            levels=tuple(
                EventRequestLevel(each.duration_sec, each.shed_kw or each.import_kw or 0.0)
                for each in command.intervals
            ),
            is_test=command.test,
            content=_content(command, circuit_id),
        )
        return request._of_kind(command)._delayed(
            delay_sec, ends_as_said=command.end_ts is not None
        )

    def _of_kind(self, command: EventCommand) -> EventRequest:
        if isinstance(command, ShedCommand):
            return replace(self, shed_kw=command.shed_kw)
        if isinstance(command, LoadUpCommand):
            return replace(self, kind=EventRequestKind.LOAD_UP, raise_kw=command.raise_kw)
        if isinstance(command, LimitCommand):
            return replace(
                self,
                kind=EventRequestKind.LIMIT,
                import_kw=command.import_kw,
                export_kw=command.export_kw,
                window_sec=command.window_sec or DEFAULT_WINDOW_SEC,
                failsafe_kw=command.failsafe_kw,
                heartbeat_sec=command.heartbeat_sec,
                failsafe_min_sec=command.failsafe_min_sec or 0.0,
            )
        return self

    def _delayed(self, delay_sec: float, *, ends_as_said: bool) -> EventRequest:
        """Begun later by what this site drew; as long as before, unless its end was said."""
        if delay_sec <= 0.0:
            return self
        if ends_as_said:  # a second is left of it, however much was drawn
            delay_sec = min(delay_sec, max(0.0, self.end_ts - self.start_ts - 1.0))
        return replace(
            self,
            start_ts=self.start_ts + delay_sec,
            end_ts=self.end_ts if ends_as_said else self.end_ts + delay_sec,
            start_delay_sec=delay_sec,
        )

    @property
    def precedence(self) -> tuple[bool, float, float]:
        """Of two events at once the one that sorts first comes first: by priority, then the larger
        request. A limit comes last: it is kept beside whatever else runs."""
        priority = math.inf if self.priority is None else self.priority
        if self.kind is EventRequestKind.LIMIT:
            return True, priority, self.import_kw_at(0) or 0.0
        return False, priority, -max(self.shed_kw, self.raise_kw)

    def asks_the_same(self, other: EventRequest) -> bool:
        """Whether `other` is this request again, perhaps under another correlation id."""
        return other.modification == self.modification and dict(other.content) == dict(self.content)

    # ---- levels --------------------------------------------------------------------------

    def level_at(self, ts: float) -> int:
        """Which of `levels` rules at `ts`, from 0; the first before it begins, the last after."""
        ends_ts = self.start_ts
        for index, level in enumerate(self.levels):
            ends_ts += level.duration_sec
            if ts < ends_ts:
                return index
        return max(0, len(self.levels) - 1)

    def level_end_ts(self, index: int) -> float:
        """When level `index` is over; the last of them ends with the event."""
        if index >= len(self.levels) - 1:
            return self.end_ts
        return self.start_ts + sum(level.duration_sec for level in self.levels[: index + 1])

    def shed_kw_at(self, index: int) -> float:
        """What is to be shed while level `index` rules."""
        if self.kind is EventRequestKind.SHED and self.levels:
            return self.levels[index].power_kw
        return self.shed_kw

    def import_kw_at(self, index: int) -> float | None:
        """The import that is allowed while level `index` rules; None: any."""
        if self.kind is EventRequestKind.LIMIT and self.levels:
            return self.levels[index].power_kw
        return self.import_kw

    def shifted(self, step_sec: float) -> EventRequest:
        """The clock was set by `step_sec`."""
        return replace(self, start_ts=self.start_ts + step_sec, end_ts=self.end_ts + step_sec)


def _content(command: EventCommand, circuit_id: str | None) -> dict[str, Any]:
    """What makes two commands the same; what this version alone knows stands in it only where it
    was said, so that a record of an earlier one compares."""
    said = command.model_dump(mode="json", exclude_defaults=True, exclude=_NO_CONTENT)
    return {
        **said,
        "shed_kw": command.shed_kw if isinstance(command, ShedCommand) else None,
        "start_ts": command.start_ts,
        "end_ts": command.end_ts,
        "duration_sec": command.duration_sec,
        "circuit_id": circuit_id,
        "priority": command.event_priority,
    }


_NO_CONTENT = {
    "op",
    "correlation_id",
    "event_id",
    "event_priority",
    "modification",
    "issued_ts",
    "expires_ts",
    "dry_run",
}
