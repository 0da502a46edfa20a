"""What rules when the sender of a limit is not heard any more.

After EEBus LPC (Limitation of Power Consumption, high-level test specification 1.0.1): without a
sign of the sender for its time the failsafe limit rules. It is left by a heartbeat and a following
new limit (LPC-916), not by a heartbeat alone (LPC-921), and not before its minimum time
(LPC-TS-012); our wire lets no other rule shorten that. It does not lapse either: what is not known
is never unlimited.
"""

from __future__ import annotations

import math

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import (
    AnnounceEffect,
    Effects,
    RaiseAlertEffect,
    ReadMeterEffect,
    SaveEventEffect,
)
from VenAgent.dr.event import Event
from VenAgent.dr.site_state import SiteState

SAVED_PART = 0.25
"""A heartbeat is written down when the one written before is so much of its time old: a restart
then takes the sender for silent by as much too early at most."""
LIMIT_FAILSAFE = "limit.failsafe"
"""The alert while a failsafe limit rules."""


class LimitFailsafe:
    """Watches the senders of the limits in force."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._saved_ts: dict[str, float] = {}

    def hear(self, ts: float) -> Effects:
        """A sign of the sender, given at `ts`."""
        limits = self._site.limits
        limits.heard_ts = max(limits.heard_ts or ts, ts)
        effects: Effects = []
        for event in limits.begun():
            heartbeat_sec = event.request.heartbeat_sec
            if heartbeat_sec is None:
                continue
            effects += self._void_new_limit(event, ts)  # before this sign of life
            event.hear_sender(ts)
            if abs(ts - self._saved_ts.get(event.event_id, 0.0)) >= SAVED_PART * heartbeat_sec:
                self._saved_ts[event.event_id] = ts
                effects.append(SaveEventEffect.of(event))
        return effects

    def tick(self, now: float) -> Effects:
        """Enter and leave failsafe."""
        effects: Effects = []
        for event in self._site.limits.begun():
            effects += self._void_new_limit(event, now)
            if _enters_ts(event) <= now:
                effects += self._enter(event, now)
            elif _leaves_ts(event) <= now:
                effects += self._leave(event, now)
        return effects

    def next_deadline(self) -> float:
        """When a sender has been silent for too long, or a failsafe has ruled for long enough."""
        events = self._site.limits.begun()
        times = (ts(e) for e in events for ts in (_enters_ts, _voids_ts, _leaves_ts))
        return min(times, default=math.inf)

    def _void_new_limit(self, event: Event, now: float) -> Effects:
        """A sender that falls silent again has to give a new limit again: the one that it gave
        before is as old as its silence."""
        if _voids_ts(event) > now:
            return []
        event.keep_limit(event.limit.without_new_limit())
        return [SaveEventEffect.of(event)]

    def _enter(self, event: Event, now: float) -> Effects:
        request = event.request
        heartbeat_sec, failsafe_kw = request.heartbeat_sec, request.failsafe_kw or 0.0
        least_sec = request.failsafe_min_sec
        event.keep_limit(event.limit.in_failsafe(now, failsafe_kw, least_sec))
        text = (
            f"nothing was heard of the sender for {heartbeat_sec:g} s: the failsafe limit of "
            f"{failsafe_kw:g} kW rules until it is heard again and gives a new limit"
        )
        alert = RaiseAlertEffect(
            LIMIT_FAILSAFE,
            f"event {event.event_id}: {text}",
            event.event_id,
            reason_code=ReasonCode.FAILSAFE,
        )
        reason = Reason(ReasonCode.FAILSAFE, text)
        return [*self._adjusted(event, reason, now), alert, ReadMeterEffect()]

    def _leave(self, event: Event, now: float) -> Effects:
        event.keep_limit(event.limit.out_of_failsafe())
        text = f"the sender is heard again and gave a new limit: {event.limit_terms.text} rules"
        effects = self._adjusted(event, Reason(ReasonCode.FAILSAFE_LEFT, text), now)
        return [*effects, RaiseAlertEffect(LIMIT_FAILSAFE, None, event.event_id), ReadMeterEffect()]

    def _adjusted(self, event: Event, reason: Reason, now: float) -> Effects:
        acks: Effects = []
        if event.acked:
            acks = [self._site.replies.follow_up(event, AckStatus.ADJUSTED, now, reason)]
        return [SaveEventEffect.of(event), *acks, AnnounceEffect.of(event)]


def limit_failsafe_over(event: Event) -> Effects:
    """The event is over, and its failsafe with it."""
    return [RaiseAlertEffect(LIMIT_FAILSAFE, None, event.event_id)] if event.is_limit else []


def limit_failsafe_reason(event: Event) -> Reason | None:
    """Why another limit rules than the one asked for; None if that does."""
    terms = event.limit_terms
    failsafe_kw, least_sec = terms.failsafe_kw, terms.failsafe_least_sec
    if not event.limit.is_failsafe or failsafe_kw is None:
        return None
    text = f"its sender was silent: the failsafe limit of {failsafe_kw:g} kW rules"
    if least_sec > 0.0:
        text += f", for at least {least_sec:g} s"
    return Reason(ReasonCode.FAILSAFE, text)


def _enters_ts(event: Event) -> float:
    """When its sender has been silent for too long."""
    due_ts = event.limit_terms.failsafe_due_ts
    return math.inf if due_ts is None or due_ts >= event.end_ts else due_ts


def _leaves_ts(event: Event) -> float:
    """When its failsafe has ruled for long enough, with a new limit from a sender that is heard."""
    until_ts = event.limit_terms.failsafe_least_until_ts
    if until_ts is None or event.limit.new_limit_ts is None or _voids_ts(event) <= until_ts:
        return math.inf
    return until_ts


def _voids_ts(event: Event) -> float:
    """When its sender has been silent for too long since it gave a new limit in its failsafe."""
    heartbeat_sec = event.request.heartbeat_sec
    if not event.limit.is_failsafe or event.limit.new_limit_ts is None or heartbeat_sec is None:
        return math.inf
    return (event.limit.heartbeat_ts or 0.0) + heartbeat_sec
