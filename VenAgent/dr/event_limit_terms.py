"""What a limit allows at this moment: as it was asked for, or as its failsafe has it.

Power is kW, times epoch seconds.
"""

from __future__ import annotations

from typing import NamedTuple

from VenAgent.dr.event_limit import EventLimit
from VenAgent.dr.event_request import EventRequest


class EventLimitTerms(NamedTuple):
    """Of an event's request, of how the limit stands, and of which of its levels rules."""

    request: EventRequest
    limit: EventLimit
    level: int
    level_ts: float | None
    """When it came into force, or entered this level; None: it has not begun."""

    @property
    def import_kw(self) -> float | None:
        """What the site may draw now by this event; None: any."""
        return self._limited_kw(self.request.import_kw_at(self.level), is_failsafes=True)

    @property
    def export_kw(self) -> float | None:
        """What the site may feed in now by this event; None: any. The failsafe is of this where
        nothing is said of what is drawn."""
        is_alone = self.request.import_kw_at(self.level) is None
        return self._limited_kw(self.request.export_kw, is_failsafes=is_alone)

    def _limited_kw(self, asked_kw: float | None, *, is_failsafes: bool) -> float | None:
        """While the failsafe limit rules, that; a stricter one that came since goes before it."""
        failsafe_kw = self.failsafe_kw
        if not self.limit.is_failsafe or not is_failsafes or asked_kw is None:
            return asked_kw
        if failsafe_kw is None:
            return asked_kw
        if self.limit.new_limit_ts is None:
            return failsafe_kw
        return min(failsafe_kw, asked_kw)

    @property
    def failsafe_kw(self) -> float | None:
        """What it asks for; of a change that leaves it out, what rules already and has to for a
        time: without one, a new limit without a failsafe rules at once."""
        if self.request.failsafe_kw is None and self.limit.failsafe_least_sec > 0.0:
            return self.limit.failsafe_kw
        return self.request.failsafe_kw

    @property
    def failsafe_least_sec(self) -> float:
        """For how long it rules at least."""
        return max(self.request.failsafe_min_sec, self.limit.failsafe_least_sec)

    @property
    def text(self) -> str:
        """What it allows now, for a person."""
        allowed = []
        if self.import_kw is not None:
            allowed.append(f"{self.import_kw:g} kW")
        if self.export_kw is not None:
            allowed.append(f"{self.export_kw:g} kW fed in")
        return " and ".join(allowed)

    @property
    def since_ts(self) -> float:
        """Since when the present limit rules."""
        start_ts = self.request.start_ts
        return max(self.level_ts or start_ts, start_ts, self.limit.failsafe_ts or 0.0)

    @property
    def failsafe_due_ts(self) -> float | None:
        """When the failsafe limit begins to rule if nothing is heard until then."""
        heartbeat_sec = self.request.heartbeat_sec
        heartbeat_ts = self.limit.heartbeat_ts
        if heartbeat_sec is None or heartbeat_ts is None or self.limit.is_failsafe:
            return None
        return heartbeat_ts + heartbeat_sec

    @property
    def failsafe_least_until_ts(self) -> float | None:
        """Until when the failsafe limit rules at least; None while it does not."""
        since_ts = self.limit.failsafe_ts
        return None if since_ts is None else since_ts + self.failsafe_least_sec
