"""The limits in force at the grid connection, and its power as each of them averages it.

One `GridLimits` is of what the site draws, another of what it feeds in: of each the power counts in
its own direction, so that the same rules hold for both.

The states are those of EEBus LPC and LPP (Limitation of Power Consumption, of Power Production):
limited while the sender is heard, failsafe once it is not, unlimited without a limit. What is not
known is never unlimited. Power is kW, times epoch seconds.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from VenAgent.dr.event import Event
from VenAgent.dr.event_request import EventRequestKind
from VenAgent.dr.event_state import EventState

GUARD_PART = 0.02
"""What is steered for is so much of a limit below it: meters and registers have steps."""
LEAST_AIM_PART = 0.75
"""However high an earlier peak was, not less than so much of a limit is steered for."""
LOOK_AHEAD_PART = 0.25
"""A mean that will be over its limit in so much of its window is corrected now: devices need
time."""
LOOK_AHEAD_MOST_SEC = 15.0
LONGEST_WINDOW_SEC = 3_600.0
LONG_WINDOW_SEC = 300.0
SENDER_HEARD_SEC = 120.0
"""A sender that was heard within this is there (EEBus LPC: the heartbeat's time-out)."""
HOLD_LONGEST_SEC = 900.0
HOLD_FACTOR_MOST = 16.0
LEAST_EXPORT_GUARD_KW = 0.1
"""So far below a limit of what is fed in is steered for at least: one of 0 is often given."""


def _parts_of_window(window_sec: float) -> list[float]:
    """Moments until a window has passed whole, s ahead: of a long one more."""
    parts = 4 if window_sec <= LONG_WINDOW_SEC else 12
    return [window_sec * number / parts for number in range(1, parts + 1)]


class GridLimitSide(str, Enum):
    IMPORT = "import"
    EXPORT = "export"

    def allowed_kw(self, event: Event) -> float | None:
        """What this event allows in this direction; None: any."""
        return (
            event.limit_terms.import_kw
            if self is GridLimitSide.IMPORT
            else event.limit_terms.export_kw
        )

    def flow_kw(self, power_kw: float) -> float:
        """The site's power in this direction."""
        return power_kw if self is GridLimitSide.IMPORT else -power_kw


class GridLimitState(str, Enum):
    UNLIMITED_CONTROLLED = "unlimited_controlled"
    UNLIMITED_AUTONOMOUS = "unlimited_autonomous"
    LIMITED = "limited"
    FAILSAFE = "failsafe"


class GridLimits:
    """Knows the events that are a limit; those of them that are in force rule together. Its powers
    are those in its direction."""

    def __init__(self, side: GridLimitSide = GridLimitSide.IMPORT) -> None:
        self.side = side
        self._events: dict[str, Event] = {}
        self._samples: deque[tuple[float, float]] = deque()
        self._seen_since_ts: float | None = None
        """Since when it is read without a gap."""
        self._hold_factor = 1.0
        """So many windows must show room before circuits go back."""
        self._released_ts: float | None = None
        self.heard_ts: float | None = None
        """When the sender of commands was heard last."""

    def take(self, event: Event) -> None:
        """It counts from its start to its end; what is no limit is passed over."""
        if event.request.kind is EventRequestKind.LIMIT:
            self._events[event.event_id] = event

    def begun(self) -> list[Event]:
        """Those that rule, or would if their end had not come."""
        self._events = {name: e for name, e in self._events.items() if not e.state.over}
        return [
            event
            for event in self._events.values()
            if event.active_ts is not None
            and event.state is not EventState.RESTORING
            and not event.is_ending
        ]

    def in_force(self, now: float) -> list[Event]:
        self._events = {name: e for name, e in self._events.items() if not e.state.over}
        return [
            event
            for event in self._events.values()
            if event.request.start_ts <= now < event.end_ts
            and event.state is not EventState.RESTORING
            and self.side.allowed_kw(event) is not None
        ]

    def allowed_kw(self, event: Event) -> float:
        """What an event in force allows."""
        return self.side.allowed_kw(event) or 0.0

    def strictest(self, now: float) -> Event | None:
        """The one that allows the least; None without a limit."""
        return min(self.in_force(now), key=self.allowed_kw, default=None)

    def least_kw(self, now: float) -> float | None:
        """What the strictest allows; None without a limit."""
        event = self.strictest(now)
        return None if event is None else self.allowed_kw(event)

    def state(self, now: float) -> GridLimitState:
        """Of the strictest."""
        event = self.strictest(now)
        if event is not None:
            is_failsafe = event.limit.is_failsafe
            return GridLimitState.FAILSAFE if is_failsafe else GridLimitState.LIMITED
        heard = self.heard_ts is not None and now - self.heard_ts <= SENDER_HEARD_SEC
        return GridLimitState.UNLIMITED_CONTROLLED if heard else GridLimitState.UNLIMITED_AUTONOMOUS

    # ---- what the site draws -------------------------------------------------------------

    def note(self, ts: float, power_kw: float, gap_limit_sec: float = math.inf) -> None:
        """A reading of the site's power (generation negative); the same one again is none. It
        stands until the next, if that comes within `gap_limit_sec`."""
        if not self._samples or ts - self._samples[-1][0] > gap_limit_sec:
            self._seen_since_ts = ts
        flow_kw = self.side.flow_kw(power_kw)
        if self._samples and ts <= self._samples[-1][0]:
            if ts > self._samples[-1][0] - LONGEST_WINDOW_SEC:
                return
            self._samples.clear()  # the clock was set back
        self._samples.append((ts, flow_kw))
        while len(self._samples) > 2 and self._samples[1][0] < ts - LONGEST_WINDOW_SEC:
            self._samples.popleft()

    @property
    def last_ts(self) -> float | None:
        """Of the last reading."""
        return self._samples[-1][0] if self._samples else None

    @property
    def last_kw(self) -> float:
        """The last reading; 0 without one."""
        return self._samples[-1][1] if self._samples else 0.0

    def forget_measurements(self) -> None:
        self._samples.clear()
        self._seen_since_ts = None

    def mean_kw(self, window_sec: float, until_ts: float) -> float | None:
        """Over the window before `until_ts`, each reading holding until the next; of what is known
        of it. None if nothing is."""
        if not self._samples:
            return None
        since_ts = until_ts - window_sec
        total_kw_sec = total_sec = 0.0
        ends_ts = until_ts
        for ts, power_kw in reversed(self._samples):
            begins_ts = max(ts, since_ts)
            if ends_ts > begins_ts:
                total_kw_sec += power_kw * (ends_ts - begins_ts)
                total_sec += ends_ts - begins_ts
            ends_ts = min(ends_ts, ts)
            if ts <= since_ts:
                break
        return total_kw_sec / total_sec if total_sec > 0.0 else self._samples[-1][1]

    def seen_mean_kw(self, window_sec: float, until_ts: float) -> float | None:
        """The same of what was seen of the window only: not of a reading that stood too long."""
        seen_sec = 0.0 if self._seen_since_ts is None else until_ts - self._seen_since_ts
        return None if seen_sec <= 0.0 else self.mean_kw(min(window_sec, seen_sec), until_ts)

    def to_correct(self, now: float) -> bool:
        """Whether what is drawn now brings the mean over its limit, if it is not corrected."""
        return any(self._goes_over(event, self.last_kw, now) for event in self.in_force(now))

    def _goes_over(self, event: Event, power_kw: float, now: float) -> bool:
        window_sec = event.request.window_sec
        ahead_sec = min(LOOK_AHEAD_PART * window_sec, LOOK_AHEAD_MOST_SEC)
        mean_kw = self.mean_kw(window_sec, now + ahead_sec)
        is_over = mean_kw is not None and mean_kw > self.allowed_kw(event)
        is_over = is_over or self._is_soon_too_late(event, power_kw, ahead_sec, now)
        return is_over and power_kw > self.aim_kw(event, now)

    def _is_soon_too_late(
        self, event: Event, power_kw: float, ahead_sec: float, now: float
    ) -> bool:
        """Whether the least that is steered for could not make up any more, `ahead_sec` from now,
        for what is drawn: in a long window, quiet times at its beginning leave it one by one."""
        window_sec, limit_kw = event.request.window_sec, self.allowed_kw(event)
        most_kw_sec, least_kw = limit_kw * window_sec, self._least_aim_kw(event)
        return any(
            self._kw_sec(event, now + each_sec - window_sec, now)
            + power_kw * ahead_sec
            + least_kw * (each_sec - ahead_sec)
            > most_kw_sec
            for each_sec in _parts_of_window(window_sec)
            if each_sec > ahead_sec
        )

    def aim_kw(self, event: Event, now: float) -> float:
        """What is steered for: a little below the limit, and lower for as long as an earlier peak
        is in the window, so that the mean stays under the limit while that moves through it."""
        limit_kw, window_sec = self.allowed_kw(event), event.request.window_sec
        aim_kw = limit_kw - self._guard_kw(event)
        for ahead_sec in _parts_of_window(window_sec):
            kw_sec = self._kw_sec(event, now + ahead_sec - window_sec, now)
            aim_kw = min(aim_kw, (limit_kw * window_sec - kw_sec) / ahead_sec)
        return max(aim_kw, self._least_aim_kw(event))

    def _guard_kw(self, event: Event) -> float:
        """So far below its limit is steered for."""
        least_kw = LEAST_EXPORT_GUARD_KW if self.side is GridLimitSide.EXPORT else 0.0
        return max(GUARD_PART * self.allowed_kw(event), least_kw)

    def _least_aim_kw(self, event: Event) -> float:
        """What is steered for at least, however high an earlier peak was."""
        limit_kw = self.allowed_kw(event)
        return min(LEAST_AIM_PART * limit_kw, limit_kw - self._guard_kw(event))

    def _kw_sec(self, event: Event, since_ts: float, until_ts: float) -> float:
        """What was drawn from `since_ts` to `until_ts`; before the limit ruled, at most as much as
        it allows: that is not made up for."""
        limit_kw, ends_ts, total = self.allowed_kw(event), until_ts, 0.0
        rules_since_ts = event.limit_terms.since_ts
        for ts, power_kw in reversed(self._samples):
            begins_ts = max(ts, since_ts)
            if ends_ts > begins_ts:
                counted_kw = power_kw if ts >= rules_since_ts else min(power_kw, limit_kw)
                total += counted_kw * (ends_ts - begins_ts)
            ends_ts = min(ends_ts, ts)
            if ts <= since_ts:
                break
        return total

    def missing_kw(self, power_kw: float, now: float, also: Event | None = None) -> float | None:
        """What has to be taken off `power_kw`, or, negative, how much more may be drawn; 0 just
        below a limit. None without a limit. `also`: one that is only asked about."""
        events = self._ruling(now, also)
        if not events:
            return None
        limit_kw = min(self.allowed_kw(event) for event in events)
        aim_kw = min(self.aim_kw(event, now) for event in events)
        if power_kw > limit_kw or any(self._goes_over(event, power_kw, now) for event in events):
            return power_kw - aim_kw
        window_sec = self._hold_factor * max(event.request.window_sec for event in events)
        return min(0.0, max(power_kw, self._highest_kw(now - window_sec)) - aim_kw)

    def room_now_kw(self, flow_kw: float, now: float, also: Event | None = None) -> float:
        """How much more than `flow_kw` may flow, without waiting whether it goes on like that; 0
        where that is over a limit."""
        aims_kw = (self.aim_kw(event, now) for event in self._ruling(now, also))
        return max(0.0, min(aims_kw, default=math.inf) - flow_kw)

    def _ruling(self, now: float, also: Event | None) -> list[Event]:
        """Those in force, and `also`, if it limits this direction."""
        events = self.in_force(now)
        if also is not None and self.side.allowed_kw(also) is not None:
            events.append(also)
        return events

    def _highest_kw(self, since_ts: float) -> float:
        return max((kw for ts, kw in self._samples if ts > since_ts), default=0.0)

    # ---- circuits to and fro -------------------------------------------------------------

    def note_release(self, now: float) -> None:
        """Circuits go back because there is room."""
        self._released_ts = now

    def note_correction(self, now: float) -> None:
        """Circuits are shed. Soon after some went back: the next ones wait for longer, so that a
        load that comes and goes does not take a contactor with it."""
        if self._released_ts is not None:
            soon = now - self._released_ts < HOLD_LONGEST_SEC
            self._hold_factor = min(2.0 * self._hold_factor, HOLD_FACTOR_MOST) if soon else 1.0
        self._released_ts = None
