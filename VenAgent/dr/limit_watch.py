"""Whether the limits in force are kept: circuits to shed or to let back, and what to say."""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, RaiseAlertEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

LIMIT_TRY_AGAIN_SEC = 60.0
"""Between two tries of what cannot be done now."""
NO_LOAD_LEFT = "and no load is left to shed"
LIMIT_EXCEEDED = "limit.exceeded"
"""The alert while a limit is not kept."""


class LimitWatch:
    """Looks at each reading of a site that has a limit."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._try_again_ts = 0.0
        self._let_back_again_ts = 0.0
        self._unkept: set[str] = set()
        """The limits that are known not to be kept."""

    def hold_off(self, now: float) -> None:
        """Nothing can be done now about what is drawn."""
        self._try_again_ts = now + LIMIT_TRY_AGAIN_SEC

    def hold_back(self, now: float) -> None:
        """Nothing can be let back now, though there is room."""
        self._let_back_again_ts = now + LIMIT_TRY_AGAIN_SEC / 6.0

    def restart(self) -> None:
        """The clock was set, or another event has the circuits."""
        self._try_again_ts = self._let_back_again_ts = 0.0

    def look(self, event: Event, power_kw: float, now: float) -> Reason | None:
        """Why circuits of `event` are to be shed or let back; None if nothing is to be done."""
        limits = self._site.limits
        ruling = limits.strictest(now)
        if ruling is None:
            return None
        limit_kw = ruling.import_kw or 0.0
        if limits.to_correct(now):
            if now < self._try_again_ts:
                return None
            text = f"the site draws {power_kw:.2f} kW of the {limit_kw:g} kW allowed"
            return Reason(ReasonCode.LIMIT_EXCEEDED, text)
        if not event.is_limit or not event.held() or now < self._let_back_again_ts:
            return None
        target = ShedTarget.of(event, self._site, power_kw, 0.0, now)
        if target.is_met and -target.missing_kw <= target.band_kw:
            return None
        text = f"there is room under the {limit_kw:g} kW allowed"
        return Reason(ReasonCode.ROOM_UNDER_LIMIT, text)

    def account(self, ts: float, since_ts: float | None) -> Effects:
        """Note how the limits were kept since the reading before; what is kept again has its end.
        `since_ts`: of that reading."""
        limits = self._site.limits
        effects: Effects = []
        was_unkept, begun = bool(self._unkept), {event.event_id for event in limits.begun()}
        self._unkept &= begun
        if was_unkept and not self._unkept:  # they are over
            effects.append(RaiseAlertEffect(LIMIT_EXCEEDED))
        for event in limits.in_force(ts):
            mean_kw = limits.mean_kw(event.request.window_sec, ts)
            if mean_kw is None or event.active_ts is None:
                continue
            is_over = limits.is_over(event, ts)
            known_sec = 0.0 if since_ts is None else max(0.0, ts - max(since_ts, event.active_ts))
            event.keep_limit(event.limit.with_mean(mean_kw, known_sec if is_over else 0.0))
            is_kept = not is_over and limits.last_kw <= (event.import_kw or 0.0)
            if event.event_id in self._unkept and is_kept:
                self._unkept.discard(event.event_id)
                reason = Reason(
                    ReasonCode.LIMIT_KEPT_AGAIN, f"the site is under {event.import_kw:g} kW again"
                )
                ack = self._site.replies.follow_up(
                    event, AckStatus.ADJUSTED, ts, reason, mean_kw=json_number(mean_kw)
                )
                effects += [SaveEventEffect.of(event), ack]
                effects += [] if self._unkept else [RaiseAlertEffect(LIMIT_EXCEEDED)]
        return effects

    def unkept(self, power_kw: float, why: str, now: float) -> Effects:
        """The limits that `power_kw` is over cannot be kept now: each is acked once, and the alert
        lasts as long as that does."""
        effects: Effects = []
        for event in self._site.limits.in_force(now):
            limit_kw = event.import_kw or 0.0
            if power_kw <= limit_kw:
                continue
            reason = limit_watch_reason(power_kw, limit_kw, why)
            is_known = event.event_id in self._unkept
            self._unkept.add(event.event_id)
            if event.acked and not is_known:
                ack = self._site.replies.follow_up(event, AckStatus.ADJUSTED, now, reason)
                effects += [SaveEventEffect.of(event), ack]
            message = f"event {event.event_id}: {reason.text}"
            effects.append(
                RaiseAlertEffect(LIMIT_EXCEEDED, message, reason_code=ReasonCode.LIMIT_NOT_KEPT)
            )
        return effects


def limit_watch_reason(power_kw: float, limit_kw: float, why: str) -> Reason:
    text = f"{limit_kw:g} kW cannot be kept: the site draws {power_kw:.2f} kW, {why}"
    return Reason(ReasonCode.LIMIT_NOT_KEPT, text)
