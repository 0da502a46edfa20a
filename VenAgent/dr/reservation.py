"""The reservation of the devices for an event, and the reading that its plan is made from."""

from __future__ import annotations

import math
from collections.abc import Iterable

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.backoff import Backoff
from VenAgent.dr.effects import (
    AnnounceEffect,
    Effects,
    PreparedEffect,
    PrepareEffect,
    RaiseAlertEffect,
    SaveEventEffect,
)
from VenAgent.dr.event import Event

RESERVE_BEYOND_END_SEC = 300.0
"""The reservation outlasts the event by this, so that a restore may be tried again under it."""
RESERVE_MOST_SEC = 86_400.0
"""For as long at once; a limit until further notice reserves anew then."""
TRY_AGAIN_MOST_SEC = 5.0
"""Between two tries to reserve and read, while an agent that is needed gives no answer."""
TRY_NEW_SEC = 10.0
"""So long an event that has no ack yet is tried, when a request failed alone."""
TRY_FOR_SEC = 30.0
"""So long what is new is tried; what was shed before a restart, until the event's end."""

MAY_PASS = (ReasonCode.NOT_ANSWERED, ReasonCode.WRITE_FAILED)
"""Of a write: no one has decided that it is not to be."""


def reserved_until_ts(end_ts: float, now: float) -> float:
    """Until when the devices are reserved now, for what ends at `end_ts`, which may be never."""
    return min(end_ts, now + RESERVE_MOST_SEC) + RESERVE_BEYOND_END_SEC


class Reservation:
    """Of one event at a time; tried again while those that are needed may be back soon."""

    def __init__(self) -> None:
        self._backoff = Backoff()
        self._try_until_ts: float | None = None
        self._renew_ts: float | None = None

    def request(self, event: Event, now: float) -> Effects:
        """Reserve under a new task."""
        event.reserve_as(f"{event.event_id}/{now:.3f}")
        return [*self.prepare(event, now), AnnounceEffect.of(event)]

    def prepare(self, event: Event, now: float) -> Effects:
        """Reserve, or reserve again under the same task, and read."""
        until_ts = reserved_until_ts(event.end_ts, now)
        self.reserved(event, until_ts)
        return [SaveEventEffect.of(event), PrepareEffect(event.event_id, event.task_id, until_ts)]

    def reserved(self, event: Event, until_ts: float) -> None:
        """The devices are its own until then: what goes on for longer reserves anew before."""
        self._renew_ts = None if event.end_ts <= until_ts else until_ts - RESERVE_BEYOND_END_SEC

    def may_try_again(
        self, event: Event, outcome: PreparedEffect, now: float, *, reassert: bool
    ) -> bool:
        """Whether those that the event needs may only not be there yet: after a power cut the
        agents come up one after the other, and one that is restarted is back within seconds. Who
        asks for an event now hears at once that it cannot begin, unless it was one request that
        got lost."""
        if reassert and event.held():
            return True
        is_known = event.acked or bool(event.held())
        self._try_until_ts = self._try_until_ts or now + (TRY_FOR_SEC if is_known else TRY_NEW_SEC)
        may_pass = outcome.may_pass if is_known else outcome.failed_alone
        return may_pass and now < self._try_until_ts

    def may_write_again(self, event: Event, failures: Iterable[Reason], now: float) -> bool:
        """Whether a device may be back soon of an event whose writes all failed: it may have gone
        away after it was read, which is long before the start where that was prepared."""
        may_pass = any(reason.code in MAY_PASS for reason in failures)
        silence = PreparedEffect(may_pass=may_pass, task_id=event.task_id)
        return event.acked and self.may_try_again(event, silence, now, reassert=False)

    def try_again(self, event: Event, outcome: PreparedEffect, now: float) -> Effects:
        """Later; what is shed already may not be as it should until then."""
        self._backoff.failed(now)
        self._backoff.due_ts = min(self._backoff.due_ts or now, now + TRY_AGAIN_MOST_SEC)
        if not event.held():
            return []
        refusal = outcome.refusal
        why = "the meter could not be read" if refusal is None else refusal.text
        code = ReasonCode.METER_UNREADABLE if refusal is None else refusal.code
        what = "begin" if event.active_ts is None else "go on"
        message = f"event {event.event_id} cannot {what} yet: {why}"
        return [RaiseAlertEffect("shed.short", message, reason_code=code)]

    def take_due(self, now: float) -> bool:
        """Whether the next try is due now; it is counted as begun."""
        if (self._backoff.due_ts or math.inf) > now:
            return False
        self._backoff.due_ts = None
        return True

    @property
    def due_ts(self) -> float | None:
        """When to try again; None while nothing is waited for."""
        return self._backoff.due_ts

    def renew_ts(self, event: Event) -> float:
        """When to reserve for it anew; infinite if it ends before."""
        return math.inf if self._renew_ts is None or not event.task_id else self._renew_ts

    def forget_tries(self) -> None:
        """It is there, or not needed any more."""
        self._backoff, self._try_until_ts = Backoff(), None

    def shift(self, step_sec: float) -> None:
        """The clock was set by `step_sec`."""
        self._backoff.shift(step_sec)
        if self._renew_ts is not None:
            self._renew_ts += step_sec
        if self._try_until_ts is not None:
            self._try_until_ts += step_sec
