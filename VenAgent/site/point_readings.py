"""From the points that the driver publishes to a reading of the panel. Pure: no VOLTTRON here.

Every point has an age of its own. A publication may have one point or all: what is not in it
stands until it is itself too old. What cannot be is no value (site/point_quirks.py); the last one
that could be stands in its place, at its own age.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from VenAgent.config import AgentConfig
from VenAgent.config.circuit_wiring_config import CircuitRestoreMode
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.dr.panel import PanelReading
from VenAgent.site.panel_reading_builder import FreshPointValue, PanelReadingBuilder
from VenAgent.site.point_quirks import PointQuirks

CLOCK_SLEW_SEC = 1.0
"""A reading from later than this was read before the clock was set back: no one knows when."""
INTERVALS_SEEN = 3
BURST_SHARE = 0.1
"""A gap of less than this share of the interval is a burst of changes, and no new interval …"""
BURST_LENGTH = 10
"""… until so many of them have come in a row."""
STALE_INTERVALS = 2.5
"""A point is stale after so many of the intervals at which it is seen to come, if that is longer
than the configuration has it: the driver's own default is one reading a minute."""
LONGEST_INTERVAL_SEC = 900.0
GUARD_OVERDUE_SEC = 120.0
"""What guards a circuit is not believed for longer than this after its next value was due: a
freezer must not wait for two and a half of its sensor's quarter hours."""
LACKING_READINGS = 3
"""A point that was read before, and is in so many complete readings no more, is not there: in one
of them a request may have been lost."""
TAKEN_FOR_NO_LIMIT = "taken for no limit: the circuit is given back with full scale"
MISSED_INTERVALS, MISSED_LEAST_SEC = 1.9, 3.0
"""A point was missed that came after so many of its intervals, and after so much longer than one:
its device may have restarted meanwhile."""


@dataclass
class _Point:
    """One point of a device: its latest value, when that was read, and how often one comes."""

    value: Any
    ts: float
    published_ts: float | None = None
    """When it last came by itself; what is read by a request says nothing of how often it does."""
    heard_again_ts: float | None = None
    """When it last was read after it had been missed."""
    refused_ts: float | None = None
    """Since when what is read of it cannot be, and `value` stands in its place; None if it can."""
    device_silent_sec: float = 0.0
    """The longest time since it came in which its device sent nothing at all."""
    _gaps_sec: deque[float] = field(default_factory=lambda: deque(maxlen=INTERVALS_SEEN))
    _short_gaps: int = 0

    @property
    def interval_sec(self) -> float:
        """At which it comes at the latest; 0 until that is known."""
        return min(max(self._gaps_sec), LONGEST_INTERVAL_SEC) if self._is_known else 0.0

    @property
    def usual_interval_sec(self) -> float:
        """At which it mostly comes; 0 until that is known."""
        return median(self._gaps_sec) if self._is_known else 0.0

    @property
    def _is_known(self) -> bool:
        return len(self._gaps_sec) == INTERVALS_SEEN

    def update(self, value: Any, ts: float, interval_sec: float, *, published: bool) -> None:
        """A newer value. `interval_sec`: at which it is expected; 0: not known. One that comes only
        when it changes was not missed while its device sent others."""
        missed_sec = max(MISSED_INTERVALS * interval_sec, interval_sec + MISSED_LEAST_SEC)
        if interval_sec and ts - self.ts > missed_sec and self.device_silent_sec > missed_sec:
            self.heard_again_ts = ts
        self.device_silent_sec = 0.0
        if published:
            if self.published_ts is not None and ts > self.published_ts:
                self._note_gap(ts - self.published_ts)
            self.published_ts = ts
        self.value, self.ts, self.refused_ts = value, ts, None

    def _note_gap(self, gap_sec: float) -> None:
        if gap_sec < BURST_SHARE * self.interval_sec:
            self._short_gaps += 1
            if self._short_gaps < BURST_LENGTH:
                return
            self._gaps_sec.extend([gap_sec] * (INTERVALS_SEEN - 1))
        self._short_gaps = 0
        self._gaps_sec.append(gap_sec)


@dataclass(frozen=True)
class SuspectPointReading:
    """A value that cannot be: the point's full name, what was read, and why it is not believed."""

    point: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.point} reads {self.value!r}, which is not used: {self.reason}"


@dataclass
class PointReadings:
    """The latest values of the panel's points, and the reading they make."""

    config: AgentConfig
    _points: dict[str, dict[str, _Point]] = field(default_factory=dict)
    """By device and name."""
    _first_ts: dict[str, float] = field(default_factory=dict)
    """By device: when it was first heard."""
    _heard_ts: dict[str, float] = field(default_factory=dict)
    """By device: when any point of it was heard last, ours or not."""
    _absent: dict[str, set[str]] = field(default_factory=dict)
    """By device: configured points that it does not have, as its complete readings show."""
    _lacking: dict[tuple[str, str], int] = field(default_factory=dict)
    """By device and name: in how many complete readings in a row it was not."""
    _suspects: dict[tuple[str, str], SuspectPointReading] = field(default_factory=dict)
    _written: dict[tuple[str, str], tuple[float | bool | None, float]] = field(default_factory=dict)
    """By device and name: what we last wrote, and when."""
    _unset: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """By device and name of a limit register that holds no limit: since when, and when it was last
    read so."""
    _intervals_sec: Mapping[str, float] = field(default_factory=dict)
    """By device, where the driver says it."""
    _relinquish: frozenset[str] = frozenset()
    """The circuits that go back to whoever had them."""
    _slots: frozenset[str] = frozenset()
    """Those of them whose point has a slot of our own."""
    _previous: frozenset[str] = frozenset()
    """Those that cannot, whatever is configured."""
    _previous_switches: frozenset[str] = frozenset()
    """Those whose contactor cannot."""

    def __post_init__(self) -> None:
        self._quirks = PointQuirks(self.config)
        self._builder = PanelReadingBuilder(self.config, self._quirks.unit_of)
        self._names = self._builder.names
        self._open_values = {
            (self.config.control_device_of(circuit), circuit.limit_point): scale.open_value
            for circuit in self.config.circuits
            for scale in [self.config.limit_scale(circuit)]
            if circuit.limit_point is not None and scale is not None
        }
        """By limit register: full scale."""
        self.give_back_by_driver({})

    def update(
        self,
        device: str,
        points: Mapping[str, Any],
        ts: float,
        now: float | None = None,
        *,
        complete: bool = False,
        published: bool = False,
    ) -> None:
        """Values of `device` read at `ts`; an older one never replaces a newer one, unless that
        one is from after `now`: then the clock was set back since.

        `complete`: a point that is not among them was not read this time. What is known of it
        stands until it is too old, or until it lacked several times. `published`: it comes
        regularly, and the time between two says when it is missed.
        """
        if device not in self._names:
            return
        self._first_ts.setdefault(device, ts)
        self._note_heard(device, ts, now)
        self._quirks.take_scales(device, points, ts)
        why_not = self._quirks.why_not_measured(device, points, ts)
        for name in self._names[device]:
            if name in points:
                why = why_not if self._quirks.is_measured(device, name) else None
                self._update_point(device, name, points, ts, now, why, published=published)
        if complete:
            self._note_lacking(device, points)

    def _note_heard(self, device: str, ts: float, now: float | None) -> None:
        """The device is there; how long it was silent counts for each of its points."""
        points, last_ts = self._points.setdefault(device, {}), self._heard_ts.get(device, ts)
        if last_ts > ts and now is not None and last_ts > now:  # the clock was set back
            last_ts = ts
        for point in points.values():
            point.device_silent_sec = max(point.device_silent_sec, ts - last_ts)
        self._heard_ts[device] = max(ts, last_ts)

    def _note_lacking(self, device: str, points: Mapping[str, Any]) -> None:
        """After a complete reading: which of the device's points it did not have."""
        known, absent = self._points[device], self._absent.setdefault(device, set())
        for name in self._names[device]:
            if name in points:
                self._lacking.pop((device, name), None)
                absent.discard(name)
                continue
            times = self._lacking.get((device, name), 0) + 1
            self._lacking[device, name] = times
            if name not in known or times >= LACKING_READINGS:
                known.pop(name, None)
                absent.add(name)

    def _update_point(
        self,
        device: str,
        name: str,
        points: Mapping[str, Any],
        ts: float,
        now: float | None,
        why_not: str | None,
        *,
        published: bool,
    ) -> None:
        """`why_not`: nothing that was measured with it can be."""
        known = self._points[device].get(name)
        is_from_the_future = known is not None and now is not None and known.ts > now
        if known is not None and ts < known.ts and not is_from_the_future:
            return
        self._absent.get(device, set()).discard(name)
        value, reason = self._quirks.read(device, name, points)
        reason = reason or why_not
        if reason is not None:
            if self._quirks.is_unset(device, name, points[name]):
                since_ts, _ = self._unset.get((device, name), (ts, ts))
                self._unset[device, name] = since_ts, ts
                reason = f"{reason}; if it stays so it is {TAKEN_FOR_NO_LIMIT}"
            self._suspects[device, name] = SuspectPointReading(
                f"{device}/{name}", points[name], reason
            )
            if known is not None and known.refused_ts is None:
                known.refused_ts = ts
            return
        self._suspects.pop((device, name), None)
        self._unset.pop((device, name), None)
        if not self._shows(device, name, value, ts):
            value = None
        if known is None or is_from_the_future:
            self._points[device][name] = _Point(value, ts, ts if published else None)
            return
        interval_sec = self._interval_sec(device, known.usual_interval_sec)
        known.update(value, ts, interval_sec, published=published)

    def adopt(self, before: PointReadings, device: str | None = None) -> None:
        """Keep what was read earlier of the points that are still ours; of one device only, if it
        is named."""
        self._quirks.adopt(before._quirks)
        for name_of_device, points in before._points.items():
            if device not in (None, name_of_device):
                continue
            for name, point in points.items():
                heard_ts = before._heard_ts.get(name_of_device, point.ts)
                self._heard_ts.setdefault(name_of_device, heard_ts)
                if name in self._names.get(name_of_device, ()):
                    self._points.setdefault(name_of_device, {})[name] = point
                    first_ts = before._first_ts[name_of_device]
                    self._first_ts[name_of_device] = first_ts

    def give_back_by_driver(self, driver_types: Mapping[str, str]) -> None:
        """`driver_types`, by device: what decides how a circuit goes back whose configuration does
        not say."""
        self._relinquish = frozenset(
            circuit.id
            for circuit in self.config.circuits
            if self.config.restore_mode(
                circuit, driver_types.get(self.config.control_device_of(circuit), "")
            )
            is not CircuitRestoreMode.PREVIOUS
        )

        config = self.config
        self._slots = frozenset(
            circuit.id
            for circuit in config.circuits
            if driver_types.get(config.control_device_of(circuit)) == "bacnet"
        )

    def keep_previous(
        self, circuit_ids: frozenset[str], switches: frozenset[str] = frozenset()
    ) -> None:
        """These circuits get what they held before: no one else can have them back. `switches`:
        those whose contactor nobody can."""
        self._previous, self._previous_switches = circuit_ids, switches

    def expect_intervals(self, intervals_sec: Mapping[str, float]) -> None:
        """By device: at which its points come, as the driver's configuration has it. It is known
        before it is seen."""
        self._intervals_sec = dict(intervals_sec)

    def blank(self) -> PointReadings:
        """Nothing read yet; what was written lately and may not show yet is known."""
        other = copy(self)
        other._points, other._first_ts, other._absent, other._suspects = {}, {}, {}, {}
        other._lacking, other._heard_ts = {}, {}
        return other

    def written(self, values: Mapping[str, float | bool | None], ts: float) -> None:
        """These points (`device/point`) were written at `ts`: what was read of them before that is
        not how they are, nor what is read of a slow device before it has settled."""
        for topic, value in values.items():
            device, _, name = topic.rpartition("/")
            if device not in self._names:
                continue
            unit = self.unit_of(topic)
            if isinstance(value, float) and unit not in (None, 1.0):
                value = round(value * (unit or 1.0), 9)
            self._written[device, name] = (value, ts)
            known = self._points.get(device, {}).get(name)
            if known is not None and known.ts <= ts:
                known.value = None

    def unit_of(self, topic: str) -> float | None:
        """What one unit of the register at `device/point` is; None if that is not known yet."""
        device, _, name = topic.rpartition("/")
        return self._quirks.unit_of(device, name)

    def _shows(self, device: str, name: str, value: Any, ts: float) -> bool:
        """Whether a value read at `ts` may be believed after the last write to its point."""
        wanted, written_ts = self._written.get((device, name), (None, -math.inf))
        settle_sec = self.config.quirks_of(device).settle_sec
        return ts > written_ts + settle_sec or not settle_sec or value == wanted

    def is_published_since_write(
        self, device: str, now: float, began_before_sec: float = 0.0
    ) -> bool:
        """Whether all points of a device are fresh, and were read after our last write to it. A
        reading begins before its time: `began_before_sec`."""
        known = self._points.get(device, {})
        names = self._names.get(device, [])
        last_write_ts = max(
            (ts for (each, _), (_, ts) in self._written.items() if each == device),
            default=-math.inf,
        )
        return bool(names) and all(
            name in known
            and self._is_fresh(device, name, now)
            and known[name].ts - began_before_sec > last_write_ts
            for name in names
        )

    def fill_from(
        self, before: PointReadings, device: str, now: float, began_before_sec: float = 0.0
    ) -> None:
        """What an answer of `device` did not have, as it was read before, if that is fresh and from
        after our last write to that point."""
        known = self._points.setdefault(device, {})
        for name, point in before._points.get(device, {}).items():
            _, written_ts = before._written.get((device, name), (None, -math.inf))
            is_after_write = point.ts - began_before_sec > written_ts
            if name not in known and is_after_write and before._is_fresh(device, name, now):
                known[name] = point

    # ---- what is wrong with it -----------------------------------------------------------

    def missing(self, now: float) -> list[str]:
        """The configured points that their device does not have: a fault of configuration.

        Publications may have some of the points only, so it is known after a complete reading, or
        once the device has been heard for as long as a reading may be old.
        """
        lacking = []
        for device, names in self._names.items():
            first_ts, known = self._first_ts.get(device), self._points.get(device, {})
            if first_ts is None:
                continue
            long_enough = now - first_ts > self.config.stale_after_sec
            absent = self._absent.get(device, set())
            lacking += [
                f"{device}/{name}"
                for name in names
                if name not in known
                and (device, name) not in self._suspects
                and (name in absent or long_enough)
            ]
        return lacking

    def stale(self, now: float) -> dict[str, float]:
        """What is too old, with its age in seconds: whole devices, or single points of one."""
        found: dict[str, float] = {}
        for device, names in self._names.items():
            known = self._points.get(device, {})
            old = {
                n: now - known[n].ts for n in names if n in known and self._is_old(device, n, now)
            }
            if old and len(old) == len(known):
                found[device] = min(old.values())
            else:
                found |= {f"{device}/{name}": age_sec for name, age_sec in old.items()}
        return found

    def published_each_sec(self, device: str) -> float | None:
        """The time between two publications of a device; None until that is known. Of the point
        that comes most often: others may have an interval of their own."""
        known = self._points.get(device, {})
        return min((p.interval_sec for p in known.values() if p.interval_sec), default=None)

    def silent_sec(self, device: str, now: float) -> float | None:
        """Since a device was last read, either way; None before the first time."""
        known = self._points.get(device)
        return now - max(point.ts for point in known.values()) if known else None

    @property
    def devices_of_total(self) -> frozenset[str]:
        """What the panel's power is read from."""
        return frozenset(device for device, _ in self._builder.of_total)

    def unread(self) -> list[str]:
        """The devices of which nothing was ever read."""
        return [d for d, names in self._names.items() if names and d not in self._first_ts]

    def suspects(self) -> list[SuspectPointReading]:
        """The points whose last value cannot be, with that value."""
        return list(self._suspects.values())

    def quality(self, now: float) -> TelemetryQuality:
        """Of the points that the total needs: good while all of them are fresh."""
        needed = self._builder.of_total
        if not any(name in self._points.get(device, {}) for device, name in needed):
            return TelemetryQuality.MISSING
        fresh = [each for each in needed if self._is_fresh(*each, now)]
        if len(fresh) == len(needed):
            return TelemetryQuality.GOOD
        return TelemetryQuality.PARTIAL if fresh else TelemetryQuality.STALE

    def age_sec(self, now: float) -> float | None:
        """Age of the oldest point that the total needs; None when one was never read."""
        needed = [self._points.get(device, {}).get(name) for device, name in self._builder.of_total]
        times = [point.ts for point in needed if point is not None]
        return now - min(times) if times and len(times) == len(needed) else None

    # ---- a reading -----------------------------------------------------------------------

    def reading(self, now: float, max_age_sec: float | None = None) -> PanelReading:
        """What is known at `now`. A value older than `max_age_sec` is left out, not reused.

        `max_age_sec` is the configuration's `stale_after_sec`, or longer for a point that is seen
        to come less often, if none is given. The reading's `ts` is that of the panel's power: of
        its oldest point; without a power that of the oldest value, `now` when there is none. A
        circuit's is that of its oldest value.
        """

        def fresh(device: str, name: str) -> FreshPointValue | None:
            point = self._points.get(device, {}).get(name)
            if point is None or not self._is_fresh(device, name, now, max_age_sec):
                return self._no_limit(device, name, now)
            return FreshPointValue(point.value, point.ts, point.heard_again_ts)

        def silent_sec(device: str, name: str) -> float | None:
            point = self._points.get(device, {}).get(name)
            is_old = point is not None and self._is_old(device, name, now, max_age_sec)
            return now - point.ts if point is not None and is_old else None

        def is_silent(device: str, name: str) -> bool:
            """Whether the device does not send, or has the point no more."""
            interval_sec = self._interval_sec(device, 0.0)
            stale_sec = max(self.config.stale_after_sec, STALE_INTERVALS * interval_sec)
            heard_ts = self._heard_ts.get(device, -math.inf)
            return now - heard_ts > stale_sec or name in self._absent.get(device, ())

        given_back = self._relinquish - self._previous
        switches = self._relinquish - self._previous_switches
        reading = self._builder.build(fresh, given_back, switches, now, silent_sec, is_silent)
        in_slots = {
            name: replace(reading.circuits[name], has_slot=True)
            for name in given_back & self._slots
        }
        return replace(reading, circuits={**reading.circuits, **in_slots})

    def _no_limit(self, device: str, name: str, now: float) -> FreshPointValue | None:
        """Full scale, for a limit register that has held no limit for so long that no earlier one
        stands. Not once we have written one, which it does not show."""
        since_ts, last_ts = self._unset.get((device, name), (now, now))
        stale_sec, key = self.config.stale_after_sec, (device, name)
        if last_ts - since_ts < stale_sec or now - last_ts > max(
            stale_sec, STALE_INTERVALS * self._interval_sec(device, 0.0)
        ):
            return None
        open_value, written = self._open_values[key], self._written.get(key, (None, 0.0))[0]
        is_known = key in self._suspects and written in (None, open_value)
        return FreshPointValue(open_value, last_ts) if is_known else None

    def _is_old(self, device: str, name: str, now: float, max_age_sec: float | None = None) -> bool:
        """Of a point that was read. What guards a circuit is old sooner."""
        point, stale_sec = self._points[device][name], self.config.stale_after_sec
        if max_age_sec is not None:
            return now - point.ts > max_age_sec
        interval_sec = self._interval_sec(device, point.interval_sec)
        most_sec = STALE_INTERVALS * interval_sec
        if (device, name) in self._builder.of_guards:
            if point.refused_ts is not None and now - point.refused_ts > stale_sec:
                return True
            most_sec = min(most_sec, interval_sec + GUARD_OVERDUE_SEC)
        return now - point.ts > max(stale_sec, most_sec)

    def _interval_sec(self, device: str, seen_sec: float) -> float:
        """At which a point comes, as the driver says and as is seen; 0 until that is known."""
        return max(min(self._intervals_sec.get(device, 0.0), LONGEST_INTERVAL_SEC), seen_sec)

    def _is_fresh(
        self, device: str, name: str, now: float, max_age_sec: float | None = None
    ) -> bool:
        point = self._points.get(device, {}).get(name)
        if point is None or self._is_old(device, name, now, max_age_sec):
            return False
        return point.ts <= now + CLOCK_SLEW_SEC
