"""Whether a command may have lain in the broker's session while the agent was away.

A broker keeps what is sent to an agent that is away, and delivers it at the next connection, before
anything newer. A command that does not say when it was sent can then be as old as the agent was
away: an event of last evening must not begin this morning.
"""

from __future__ import annotations

from VenAgent.contract.commands import Command, EventCommand
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, SaveFactEffect

LAST_CONNECTED = "last_connected_ts"
"""The fact under which the journal keeps when we were last connected."""
NOTE_EVERY_SEC = 60.0
QUIET_SEC = 5.0
"""The broker delivers what it kept one after the other: when no command came for so long, all of it
has come."""
DELIVERED_WITHIN_SEC = 300.0


class SessionBacklog:
    """`last_connected_ts` (epoch s): as the journal has it, None if it knows nothing. Times of the
    connection are epoch seconds, `monotonic` is for what lies between two messages."""

    def __init__(self) -> None:
        self.last_connected_ts: float | None = None
        self._noted_ts = 0.0
        self._connection: int | None = None
        self._away_sec = 0.0
        self._connected_at = self._heard_at = 0.0
        """Of the connection, and of its latest command."""
        self._is_over = True

    def note_online(self, now: float, monotonic: float) -> Effects:
        """We are connected; every minute that is written down."""
        self.last_connected_ts = now
        self._is_over = self._is_over or self._is_delivered(monotonic)
        if abs(now - self._noted_ts) < NOTE_EVERY_SEC:
            return []
        self._noted_ts = now
        return [SaveFactEffect(LAST_CONNECTED, round(now, 3))]

    def connected(self, now: float, monotonic: float) -> None:
        """A new connection: what comes now may have been kept for us."""
        known = self.last_connected_ts
        away_sec = float("inf") if known is None else max(0.0, now - known)
        # One that broke off before all had come leaves the rest to this one.
        self._away_sec = away_sec if self._is_over else max(away_sec, self._away_sec)
        self._connected_at = self._heard_at = monotonic
        self._is_over = False

    def refusal(
        self,
        command: Command,
        *,
        from_session: bool,
        max_age_sec: float,
        monotonic: float,
        kept_sec: float = 0.0,
    ) -> Reason | None:
        """Why a command that came at `monotonic` must not be obeyed; None when it may be.

        `from_session`: the broker had a session of ours when we connected. `kept_sec`: for so long
        it lay in the inbox, from an earlier process on.
        """
        if kept_sec > max_age_sec and isinstance(command, EventCommand) and not _is_dated(command):
            return _stale(kept_sec, max_age_sec)
        self._is_over = self._is_over or self._is_delivered(monotonic)
        self._heard_at = max(self._heard_at, monotonic)
        if self._is_over or not from_session or self._away_sec <= max_age_sec:
            return None
        if not isinstance(command, EventCommand) or _is_dated(command):
            return None
        return _stale(self._away_sec, max_age_sec)

    def _is_delivered(self, monotonic: float) -> bool:
        is_quiet = monotonic - self._heard_at > QUIET_SEC
        return is_quiet or monotonic - self._connected_at > DELIVERED_WITHIN_SEC


def _stale(away_sec: float, max_age_sec: float) -> Reason:
    away = "an unknown time" if away_sec == float("inf") else f"{away_sec:.0f} s"
    return Reason(
        ReasonCode.STALE_UNDATED_COMMAND,
        f"the event says neither when it was sent (issued_ts) nor until when it holds, and may "
        f"have waited at the broker while this site was away for {away}, more than "
        f"{max_age_sec:g} s: send it anew if it is still meant",
    )


def _is_dated(command: EventCommand) -> bool:
    """Whether it says itself when it is for."""
    dates = (command.issued_ts, command.expires_ts, command.start_ts, command.end_ts)
    return any(date is not None for date in dates)
