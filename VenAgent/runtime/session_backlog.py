"""Whether a command may have lain in the broker's session while the agent was away.

A broker keeps what is sent to an agent that is away, and delivers it at the next connection, before
anything newer. A command that does not say when it was sent can then be as old as the agent was
away: an event of last evening must not begin this morning.

No message says that all that was kept has come. Brokers begin late, pause, and need a quarter of
an hour for a long queue; MQTT orders the messages of one topic by one sender, AWS IoT Core not even
those: so neither a pause of seconds nor a newer command in between tells. What counts is time.
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from VenAgent.contract.commands import Command, EventCommand, SetCommand, SetLoadCommand
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, SaveFactEffect

LAST_CONNECTED = "last_connected_ts"
"""The fact under which the journal keeps when we were last connected."""
NOTE_EVERY_SEC = 60.0
QUIET_SEC = 60.0
"""What is kept comes one after the other: not all has come while one came within so long."""
DELIVERED_WITHIN_SEC = 3_600.0
"""Who dates nothing and sends all the time is obeyed after so long."""
LAST_BOOT = "last_connected_boot"
"""The fact under which the journal keeps in which run of the machine that was, and how long after
its start."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x40
_BEGIN = (EventCommand, SetLoadCommand, SetCommand)
"""What changes something now."""


@dataclass(frozen=True)
class MachineRun:
    """The machine since its start: a clock that nobody sets, and whether the other one is right."""

    boot_id: str
    since_boot_sec: float
    clock_is_set: bool
    """By the network, as the kernel knows it. A machine without a battery for its clock begins with
    the time of its last stop, or the year of its make."""


def machine_run() -> MachineRun:
    """This run; one that is like no other where the system does not tell."""
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        boot_id = ""
    return MachineRun(boot_id, time.clock_gettime(time.CLOCK_BOOTTIME), _clock_is_set())


class _Timex(ctypes.Structure):
    """The begin of C's `struct timex`, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def _clock_is_set() -> bool:
    """adjtimex(2), which changes nothing when it is asked for nothing."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return False
    return bool(state >= 0 and not timex.status & _STA_UNSYNC)


class SessionBacklog:
    """`last_connected_ts` (epoch s): as the journal has it, None if it knows nothing. Times of the
    connection are epoch seconds, `monotonic` is for what lies between two messages.

    `max_age_sec`: away for longer than that, an undated command may be too old; and so long after
    the connection it still may come from the broker's queue.
    """

    def __init__(self, max_age_sec: float = math.inf) -> None:
        self.max_age_sec = max_age_sec
        self.last_connected_ts: float | None = None
        self.last_boot: tuple[str, float] | None = None
        """The machine's run then, and how long it had run, in seconds."""
        self._earlier_boot = ""
        """The machine's run of an earlier process."""
        self._noted_ts = 0.0
        self._connection: int | None = None
        self._away_sec = 0.0
        self._connected_at = self._heard_at = 0.0
        """Of the connection, and of its latest command that may have waited."""
        self._over_since: float | None = -math.inf
        """What came from then on (monotonic s) is new; None: that is not known yet."""

    def recall(self, facts: Mapping[str, Any]) -> None:
        """What the journal knows."""
        self.last_connected_ts = facts.get(LAST_CONNECTED)
        boot = facts.get(LAST_BOOT)
        self.last_boot = None if boot is None else (str(boot[0]), float(boot[1]))
        self._earlier_boot = "" if self.last_boot is None else self.last_boot[0]

    def note_online(self, now: float, monotonic: float, run: MachineRun) -> Effects:
        """We are connected; every minute that is written down."""
        self.last_connected_ts = now
        self.last_boot = (run.boot_id, run.since_boot_sec)
        if self._over_since is None and self._is_delivered(monotonic):
            self._over_since = monotonic
        if abs(now - self._noted_ts) < NOTE_EVERY_SEC:
            return []
        self._noted_ts = now
        return [
            SaveFactEffect(LAST_CONNECTED, round(now, 3)),
            SaveFactEffect(LAST_BOOT, [run.boot_id, round(run.since_boot_sec, 3)]),
        ]

    def connected(self, now: float, monotonic: float, run: MachineRun) -> None:
        """A new connection: what comes now may have been kept for us."""
        away_sec = self._away_since(now, run)
        # One that broke off before all had come leaves the rest to this one.
        was_over = self._over_since is not None
        self._away_sec = away_sec if was_over else max(away_sec, self._away_sec)
        self._connected_at = self._heard_at = monotonic
        self._over_since = None

    def _away_since(self, now: float, run: MachineRun) -> float:
        """How long we were away, as far as a clock can be trusted; infinite: that is not known."""
        known = self.last_connected_ts
        if known is None:
            return math.inf
        if self.last_boot is None:  # of an earlier version
            return now - known if now >= known else math.inf
        boot_id, since_boot_sec = self.last_boot
        if boot_id and boot_id == run.boot_id and run.since_boot_sec >= since_boot_sec:
            return run.since_boot_sec - since_boot_sec
        return now - known if run.clock_is_set and now >= known else math.inf

    def kept_sec(self, kept_ts: float, now: float, run: MachineRun) -> float:
        """How long a command has lain in the inbox, from an earlier process on."""
        is_same_run = self._earlier_boot in ("", run.boot_id)
        return now - kept_ts if now >= kept_ts and (is_same_run or run.clock_is_set) else math.inf

    def refusal(
        self,
        command: Command,
        *,
        from_session: bool,
        monotonic: float,
        kept_sec: float = 0.0,
    ) -> Reason | None:
        """Why a command that came at `monotonic` must not be obeyed; None when it may be.

        `from_session`: the broker had a session of ours when we connected. `kept_sec`: for so long
        it lay in the inbox, from an earlier process on.
        """
        if not isinstance(command, _BEGIN) or _is_dated(command):
            return None
        if kept_sec > self.max_age_sec:
            return _stale(kept_sec, self.max_age_sec)
        if not from_session or self._away_sec <= self.max_age_sec:
            return None
        # Not by when it is dealt with: in a burst it may have waited for its turn here.
        is_new = self._over_since is not None and monotonic >= self._over_since
        if is_new or self._is_delivered(monotonic):
            return None
        self._heard_at = max(self._heard_at, monotonic)
        return _stale(self._away_sec, self.max_age_sec)

    def _is_delivered(self, monotonic: float) -> bool:
        online_sec = monotonic - self._connected_at
        is_quiet = monotonic - self._heard_at > QUIET_SEC
        return online_sec > self.max_age_sec and (is_quiet or online_sec > DELIVERED_WITHIN_SEC)


def _stale(away_sec: float, max_age_sec: float) -> Reason:
    away = "an unknown time" if away_sec == math.inf else f"{away_sec:.0f} s"
    return Reason(
        ReasonCode.STALE_UNDATED_COMMAND,
        f"the command says neither when it was sent (issued_ts) nor until when it holds, and may "
        f"have waited at the broker while this site was away for {away}, more than "
        f"{max_age_sec:g} s: send it anew if it is still meant",
    )


def _is_dated(command: Command) -> bool:
    """Whether it says itself when it is for."""
    dates = [command.issued_ts, command.expires_ts]
    if isinstance(command, EventCommand):
        dates += [command.start_ts, command.end_ts]
    return any(date is not None for date in dates)
