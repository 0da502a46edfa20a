"""What a site accepts: whether a well-formed command can be obeyed here and now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from VenAgent.contract.commands import (
    CancelCommand,
    Command,
    CommandFeature,
    EventCommand,
    GetCommand,
    LimitCommand,
    LoadUpCommand,
    RestoreCommand,
    ShedCommand,
    event_command_window,
)
from VenAgent.contract.json_codec import MAX_INPUT_BYTES
from VenAgent.contract.reasons import Reason, ReasonCode

LEAST_KW = 0.001
"""A request below one watt is a mistake in the unit."""
MAX_INTERVALS = 288
"""Five minutes each for a day."""
MAX_HEARTBEAT_SEC = 86_400.0
SUM_TOLERANCE_SEC = 1.0
LIMITS_NOTHING = (
    " and would limit nothing (is it in watts?): give at most the rating, or end a limit by cancel"
)
"""Why a limit above the rating is refused and not taken for none: what is not known is never
unlimited, and 4200 for 4.2 kW would be."""


@dataclass(frozen=True)
class CommandLimits:
    """What this site accepts; power in kW, times in seconds."""

    max_shed_kw: float
    """The panel's rating: a larger request cannot be meant for this site."""
    min_duration_sec: float = 1.0
    max_duration_sec: float = 86_400.0
    max_payload_bytes: int = MAX_INPUT_BYTES
    max_age_sec: float = 900.0
    """Since `issued_ts`: an older event was queued somewhere, and no one waits for it now."""
    max_ahead_sec: float = 30 * 86_400.0
    """An event that begins later than this is a mistake in the unit or the year."""
    clock_tolerance_sec: float = 300.0
    """So far the sender's clock may be ahead of ours."""
    require_issued_ts: bool = False
    """Whether an event must say when it was sent."""
    supported: frozenset[CommandFeature] = frozenset()
    """What the engine can carry out; the rest is refused as `not_supported`."""


def command_limit_problem(command: Command, limits: CommandLimits, now: float) -> Reason | None:
    """What keeps a well-formed command from being obeyed at `now` (epoch s); None: nothing."""
    problem = None
    if isinstance(command, EventCommand) and command.intervals:
        problem = _interval_problem(command, limits, now)
    if problem is not None:
        return problem
    if isinstance(command, ShedCommand):
        problem = _power_problem("shed_kw", command.shed_kw, limits)
    elif isinstance(command, LoadUpCommand):
        problem = _power_problem("raise_kw", command.raise_kw, limits)
    elif isinstance(command, LimitCommand):
        problem = _limit_problem(command, limits)
    elif isinstance(command, GetCommand) and command.what not in command.choices:
        text = f"what: must be one of {', '.join(command.choices)}"
        problem = Reason(ReasonCode.BAD_FIELD, text)
    if problem is None and isinstance(command, EventCommand):
        problem = _event_problem(command, limits, now)
    if problem is None and isinstance(command, (EventCommand, RestoreCommand, CancelCommand)):
        problem = _modification_problem(command)
    problem = problem or _date_problem(command, limits, now)
    if problem is None and command.features - limits.supported:
        names = ", ".join(sorted(each.value for each in command.features - limits.supported))
        text = f"{names}: this version of VenAgent does not do this yet"
        problem = Reason(ReasonCode.NOT_SUPPORTED, text)
    return problem


def _power_problem(name: str, power_kw: float, limits: CommandLimits) -> Reason | None:
    text = None
    if power_kw <= 0:
        text = f"{name}: must be above 0, got {power_kw:g}"
    elif power_kw < LEAST_KW:
        text = _under_a_watt(name, power_kw)
    elif power_kw > limits.max_shed_kw:
        text = _over_rating(name, power_kw, limits)
    return None if text is None else Reason(ReasonCode.POWER_OUT_OF_RANGE, text)


def _under_a_watt(name: str, power_kw: float) -> str:
    return f"{name}: {power_kw:g} kW is less than one watt"


def _over_rating(name: str, power_kw: float, limits: CommandLimits) -> str:
    rating = f"more than the panel's rating of {limits.max_shed_kw:g} kW"
    return f"{name}: {power_kw:g} kW is {rating}"


def _limit_problem(command: LimitCommand, limits: CommandLimits) -> Reason | None:
    if command.import_kw is None and command.export_kw is None and not command.intervals:
        return Reason(ReasonCode.MISSING_FIELD, "import_kw: is missing (or export_kw)")
    powers = {
        "import_kw": command.import_kw,
        "export_kw": command.export_kw,
        "failsafe_kw": command.failsafe_kw,
    }
    for name, power_kw in powers.items():
        if power_kw is not None and power_kw < 0:
            text = f"{name}: must be 0 or more, got {power_kw:g}"
            return Reason(ReasonCode.POWER_OUT_OF_RANGE, text)
        if power_kw is not None and power_kw > limits.max_shed_kw:
            text = f"{_over_rating(name, power_kw, limits)}{LIMITS_NOTHING}"
            return Reason(ReasonCode.POWER_OUT_OF_RANGE, text)
        if power_kw is not None and 0.0 < power_kw < LEAST_KW:
            return Reason(ReasonCode.POWER_OUT_OF_RANGE, _under_a_watt(name, power_kw))
    if (command.failsafe_kw is None) != (command.heartbeat_sec is None):
        text = "failsafe_kw and heartbeat_sec: give both or neither"
        return Reason(ReasonCode.MISSING_FIELD, text)
    if command.failsafe_min_sec is not None and command.failsafe_kw is None:
        text = "failsafe_min_sec: goes with failsafe_kw and heartbeat_sec, and they are missing"
        return Reason(ReasonCode.MISSING_FIELD, text)
    times = {
        "window_sec": (command.window_sec, 1.0, 3_600.0),
        "heartbeat_sec": (command.heartbeat_sec, 1.0, MAX_HEARTBEAT_SEC),
        "failsafe_min_sec": (command.failsafe_min_sec, 0.0, MAX_HEARTBEAT_SEC),
    }
    for name, (duration_sec, least, most) in times.items():
        if duration_sec is not None and not least <= duration_sec <= most:
            text = f"{name}: {duration_sec:g} s is outside {least:g} … {most:g} s"
            return Reason(ReasonCode.DURATION_OUT_OF_RANGE, text)
    return None


def _event_problem(command: EventCommand, limits: CommandLimits, now: float) -> Reason | None:
    problem = _window_problem(command, limits, now)
    if problem is not None:
        return problem
    if command.event_priority is not None and command.event_priority < 0:
        return Reason(ReasonCode.BAD_FIELD, "event_priority: must be 0 (the highest) or more")
    delay_sec = command.randomize_start_sec
    if delay_sec is not None and not 0 <= delay_sec <= limits.max_duration_sec:
        text = f"randomize_start_sec: {delay_sec:g} s is outside 0 … {limits.max_duration_sec:g} s"
        return Reason(ReasonCode.DURATION_OUT_OF_RANGE, text)
    start_ts, end_ts = event_command_window(command, now)
    if delay_sec and command.end_ts is not None and delay_sec >= end_ts - start_ts:
        # Whoever drew more would begin with all others just before the end.
        text = (
            f"randomize_start_sec: {delay_sec:g} s is as long as the event, which ends at its "
            f"end_ts after {end_ts - start_ts:g} s: give less, or duration_sec in place of end_ts"
        )
        return Reason(ReasonCode.CONTRADICTION, text)
    return None


def _modification_problem(command: EventCommand | RestoreCommand | CancelCommand) -> Reason | None:
    if command.modification >= 0:
        return None
    return Reason(ReasonCode.BAD_FIELD, "modification: must be 0 or more")


def _window_problem(command: EventCommand, limits: CommandLimits, now: float) -> Reason | None:
    if command.duration_sec == 0 and command.end_ts is not None:
        text = "duration_sec: 0 is until cancelled, and end_ts names an end: leave one of them out"
        return Reason(ReasonCode.CONTRADICTION, text)
    if command.duration_sec and not _may_last(command.duration_sec, limits):
        return _lasts_wrong("duration_sec", command.duration_sec, limits)
    if command.lasts_until_cancelled or _is_without_end(command):
        start_ts = now if command.start_ts is None else command.start_ts
        end_ts = max(start_ts, now) + limits.max_duration_sec
        if start_ts < now - limits.max_duration_sec:
            return Reason(ReasonCode.TIME_PAST, "start_ts: is too long past")
        start_ts = max(start_ts, now)
    else:
        start_ts, end_ts = event_command_window(command, now)
    if command.start_ts is not None and command.end_ts is not None and end_ts <= start_ts:
        return Reason(ReasonCode.TIMES_REVERSED, "end_ts: must be later than start_ts")
    if None not in (command.start_ts, command.end_ts, command.duration_sec):
        given_sec = command.duration_sec or 0.0
        if abs(end_ts - start_ts - given_sec) > SUM_TOLERANCE_SEC:
            lasts_sec = end_ts - start_ts
            text = f"end_ts: {lasts_sec:g} s after the start, and it is to last {given_sec:g} s"
            return Reason(ReasonCode.CONTRADICTION, text)
    if end_ts <= now:
        return Reason(ReasonCode.TIME_PAST, f"the event's end is in the past{_as_read(end_ts)}")
    if start_ts > now + limits.max_ahead_sec:
        ahead_sec = start_ts - now
        text = (
            f"start_ts: begins in {ahead_sec / 86_400:.4g} days, more than "
            f"{limits.max_ahead_sec / 86_400:.4g} days ahead"
        )
        return Reason(ReasonCode.START_TOO_FAR_AHEAD, text)
    if not _may_last(end_ts - start_ts, limits):
        return _lasts_wrong("duration_sec", end_ts - start_ts, limits)
    return None


def _may_last(duration_sec: float, limits: CommandLimits) -> bool:
    return limits.min_duration_sec <= duration_sec <= limits.max_duration_sec


def _lasts_wrong(name: str, duration_sec: float, limits: CommandLimits) -> Reason:
    bounds = f"{limits.min_duration_sec:g} … {limits.max_duration_sec:g} s"
    return Reason(
        ReasonCode.DURATION_OUT_OF_RANGE, f"{name}: {duration_sec:g} s is outside {bounds}"
    )


def _as_read(ts: float) -> str:
    """A past time as it was read: 20260131 was meant as a date, and is a second of 1970."""
    if not 0.0 <= ts < 1e11:
        return ""
    return f" ({datetime.fromtimestamp(ts, timezone.utc):%Y-%m-%d %H:%M:%S} UTC)"


def _is_without_end(command: EventCommand) -> bool:
    return isinstance(command, LimitCommand) and command.is_without_end


def _interval_problem(command: EventCommand, limits: CommandLimits, now: float) -> Reason | None:
    intervals = command.intervals
    if len(intervals) > MAX_INTERVALS:
        return Reason(ReasonCode.BAD_FIELD, f"intervals: at most {MAX_INTERVALS}")
    name = "import_kw" if isinstance(command, LimitCommand) else "shed_kw"
    other = "shed_kw" if name == "import_kw" else "import_kw"
    for number, each in enumerate(intervals):
        where = f"intervals.{number}"
        power_kw = getattr(each, name)
        if power_kw is None:
            return Reason(ReasonCode.MISSING_FIELD, f"{where}.{name}: is missing")
        if getattr(each, other) is not None:
            text = f"{where}.{other}: {command.op} has no use for this field"
            return Reason(ReasonCode.FIELD_NOT_APPLICABLE, text)
        if power_kw < 0 or power_kw > limits.max_shed_kw:
            is_limit = isinstance(command, LimitCommand) and power_kw > 0
            why = LIMITS_NOTHING if is_limit else ""
            text = f"{where}.{name}: {power_kw:g} kW is outside 0 … {limits.max_shed_kw:g} kW{why}"
            return Reason(ReasonCode.POWER_OUT_OF_RANGE, text)
        if 0.0 < power_kw < LEAST_KW:
            text = _under_a_watt(f"{where}.{name}", power_kw)
            return Reason(ReasonCode.POWER_OUT_OF_RANGE, text)
        if not _may_last(each.duration_sec, limits):
            return _lasts_wrong(f"{where}.duration_sec", each.duration_sec, limits)
    return _interval_contradiction(command, limits, now)


def _interval_contradiction(
    command: EventCommand, limits: CommandLimits, now: float
) -> Reason | None:
    """What is said of the whole must be what its intervals say. An end without a start names the
    start; that may be past for as long as a command may take."""
    total_sec = sum(each.duration_sec for each in command.intervals)
    given_sec = command.duration_sec
    if given_sec is not None and abs(given_sec - total_sec) > SUM_TOLERANCE_SEC:
        text = f"intervals: they last {total_sec:g} s in all, duration_sec says {given_sec:g} s"
        return Reason(ReasonCode.CONTRADICTION, text)
    if command.end_ts is not None and command.start_ts is not None:
        given_sec = command.end_ts - command.start_ts
    if command.end_ts is not None and command.start_ts is None:
        sent_ts = now if command.issued_ts is None else min(command.issued_ts, now)
        if command.end_ts - sent_ts < total_sec - limits.max_age_sec:
            given_sec = command.end_ts - sent_ts
    if given_sec is not None and abs(given_sec - total_sec) > SUM_TOLERANCE_SEC:
        text = f"intervals: they last {total_sec:g} s in all, the event {given_sec:g} s"
        return Reason(ReasonCode.CONTRADICTION, text)
    is_limit = isinstance(command, LimitCommand)
    name = "import_kw" if is_limit else "shed_kw"
    given_kw = getattr(command, name)
    highest_kw = max(getattr(each, name) or 0.0 for each in command.intervals)
    if given_kw != highest_kw and not (is_limit and given_kw is None):
        text = f"{name}: {given_kw:g} kW is not the highest of the intervals"
        return Reason(ReasonCode.CONTRADICTION, text)
    return None


def _date_problem(command: Command, limits: CommandLimits, now: float) -> Reason | None:
    """Of when it was sent, and until when it holds."""
    issued_ts, expires_ts = command.issued_ts, command.expires_ts
    if expires_ts is not None and expires_ts <= now:
        return Reason(ReasonCode.EXPIRED, "the command has expired (expires_ts)")
    if issued_ts is not None and issued_ts - now > limits.clock_tolerance_sec:
        text = (
            f"issued_ts: is {issued_ts - now:.0f} s ahead of this site's clock, more than "
            f"{limits.clock_tolerance_sec:g} s: check both clocks"
        )
        return Reason(ReasonCode.CLOCK_AHEAD, text)
    latest_sec = limits.max_ahead_sec + limits.max_duration_sec + limits.clock_tolerance_sec
    if expires_ts is not None and expires_ts - now > latest_sec:
        text = f"expires_ts: is more than {latest_sec / 86_400:.4g} days ahead"
        return Reason(ReasonCode.CLOCK_AHEAD, text)
    if not isinstance(command, EventCommand):
        return None
    if issued_ts is None and limits.require_issued_ts:
        text = "issued_ts: is missing; this site wants to know when an event was sent"
        return Reason(ReasonCode.ISSUED_TS_REQUIRED, text)
    if issued_ts is not None and now - issued_ts > limits.max_age_sec:
        text = (
            f"issued_ts: the command was issued {now - issued_ts:.0f} s ago, more than "
            f"{limits.max_age_sec:g} s: send it anew if it is still meant"
        )
        return Reason(ReasonCode.ISSUED_TOO_LONG_AGO, text)
    return None
