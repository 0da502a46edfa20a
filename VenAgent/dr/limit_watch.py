"""Whether the limits in force are kept: circuits to shed or to let back, and what to say."""

from __future__ import annotations

from VenAgent.contract.acks import AckStatus
from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, RaiseAlertEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.grid_limits import GridLimits, GridLimitSide
from VenAgent.dr.shed_target import ShedTarget
from VenAgent.dr.site_state import SiteState

LIMIT_TRY_AGAIN_SEC = 60.0
"""Between two tries of what cannot be done now."""
_NO_LOAD_LEFT = "and no load is left to shed"
_WOULD_FEED_IN = "and with less load it would feed in more than the {:g} kW allowed"
_NOTHING_TO_CURTAIL = "and nothing is left that can feed in less or draw more"
_SAID_DIGITS = 2
"""Of kW, in what is said of a limit."""
SAVED_EVERY_SEC = 900.0
"""A restart forgets at most so much of how a limit was kept."""
LIMIT_EXCEEDED = "limit.exceeded"
"""The alert while a limit is not kept."""


class LimitWatch:
    """Looks at each reading of a site that has a limit."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._try_again_ts = 0.0
        self._let_back_again_ts = 0.0
        self._unkept: set[tuple[str, GridLimitSide]] = set()
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
        ruling = [limits for limits in self._site.all_limits if limits.strictest(now) is not None]
        for limits in ruling:
            if limits.to_correct(now):
                if now < self._try_again_ts:
                    return None
                flow_kw, limit_kw = limits.side.flow_kw(power_kw), limits.least_kw(now)
                text = f"the site {_drawn(limits.side, flow_kw)} of the {limit_kw:g} kW allowed"
                return Reason(ReasonCode.LIMIT_EXCEEDED, text)
        if now < self._let_back_again_ts:
            return None
        over = self._site.no_longer_needed(event, now)
        if over:
            self.hold_back(now)
            names = ", ".join(circuit.circuit_id for circuit in over)
            text = f"neither an event nor a limit asks for it any more: {names}"
            return Reason(ReasonCode.NOT_NEEDED, text)
        if not ruling or not event.is_limit or not event.held():
            return None
        target = ShedTarget.of(event, self._site, power_kw, 0.0, now)
        if target.is_met and abs(target.missing_kw) <= target.band_kw:
            return None
        side = self._site.export_limits if target.is_export else self._site.limits
        text = f"there is room under the {side.least_kw(now) or 0.0:g} kW allowed"
        return Reason(ReasonCode.ROOM_UNDER_LIMIT, text)

    def account(self, ts: float, since_ts: float | None) -> Effects:
        """Note how the limits were kept since the reading before; what is kept again has its end.
        `since_ts`: of that reading. Of a time without readings nothing is known."""
        effects: Effects = []
        was_unkept = bool(self._unkept)
        begun = {event.event_id for event in self._site.limits.begun()}
        self._unkept = {key for key in self._unkept if key[0] in begun}
        if was_unkept and not self._unkept:  # they are over
            effects.append(RaiseAlertEffect(LIMIT_EXCEEDED))
        seen_from_ts = ts if since_ts is None else since_ts
        if ts - seen_from_ts > self._site.sampling.gap_limit_sec:
            seen_from_ts = ts
        in_force: dict[str, Event] = {}
        for limits in self._site.all_limits:
            for event in limits.in_force(ts):
                in_force[event.event_id] = event
                effects += self._account(limits, event, ts, _seen_sec(event, ts, seen_from_ts))
        for event in in_force.values():
            before_sec = event.limit.seen_sec
            event.keep_limit(event.limit.with_seen(_seen_sec(event, ts, seen_from_ts)))
            if event.limit.seen_sec // SAVED_EVERY_SEC > before_sec // SAVED_EVERY_SEC:
                effects.append(SaveEventEffect.of(event))
        return effects

    def _account(self, limits: GridLimits, event: Event, ts: float, seen_sec: float) -> Effects:
        mean_kw = limits.seen_mean_kw(event.request.window_sec, ts)
        if mean_kw is None or event.active_ts is None:
            return []
        side = limits.side
        is_over = mean_kw > limits.allowed_kw(event) + 1e-9
        over_sec = seen_sec if is_over else 0.0
        stands, is_import = event.limit, side is GridLimitSide.IMPORT
        noted = stands.with_mean if is_import else stands.with_export_mean
        event.keep_limit(noted(mean_kw, over_sec))
        limit_kw, key = limits.allowed_kw(event), (event.event_id, side)
        if key not in self._unkept or is_over or limits.last_kw > limit_kw:
            return []
        self._unkept.discard(key)
        text = f"the site is under {limit_kw:g} kW again"
        reason = Reason(ReasonCode.LIMIT_KEPT_AGAIN, text)
        ack = self._site.replies.follow_up(
            event, AckStatus.ADJUSTED, ts, reason, mean_kw=json_number(mean_kw)
        )
        over: Effects = [] if self._unkept else [RaiseAlertEffect(LIMIT_EXCEEDED)]
        return [SaveEventEffect.of(event), ack, *over]

    def unkept(self, power_kw: float, why: str | None, now: float) -> Effects:
        """The limits that `power_kw` is over cannot be kept now: each is acked once, and the alert
        lasts as long as that does."""
        effects: Effects = []
        for limits in self._site.all_limits:
            for event in limits.in_force(now):
                reason = self.reason_not_kept(event, limits.side, power_kw, why, now)
                if reason is not None:
                    effects += self._not_kept(event, limits.side, reason, now)
        return effects

    def reason_not_kept(
        self, event: Event, side: GridLimitSide, power_kw: float, why: str | None, now: float
    ) -> Reason | None:
        """Why the site does not keep this limit while it draws `power_kw`; None if it does, as
        exactly as that is said. `why`: what stands against it; None if nothing is left that could
        help."""
        flow_kw, limit_kw = side.flow_kw(power_kw), side.allowed_kw(event)
        if limit_kw is None or round(flow_kw, _SAID_DIGITS) <= limit_kw:
            return None
        why = why or self._nothing_helps(event, side, power_kw, now)
        text = f"{limit_kw:g} kW cannot be kept: the site {_drawn(side, flow_kw)}, {why}"
        return Reason(ReasonCode.LIMIT_NOT_KEPT, text)

    def _nothing_helps(self, event: Event, side: GridLimitSide, power_kw: float, now: float) -> str:
        if side is GridLimitSide.EXPORT:
            return _NOTHING_TO_CURTAIL
        fed_in = self._site.export_limits
        if round(fed_in.room_now_kw(-power_kw, now, event), _SAID_DIGITS) > 0.0:
            return _NO_LOAD_LEFT
        return _WOULD_FEED_IN.format(fed_in.least_kw(now) or 0.0)

    def _not_kept(self, event: Event, side: GridLimitSide, reason: Reason, now: float) -> Effects:
        effects: Effects = []
        is_known = (event.event_id, side) in self._unkept
        self._unkept.add((event.event_id, side))
        if event.acked and not is_known:
            ack = self._site.replies.follow_up(event, AckStatus.ADJUSTED, now, reason)
            effects += [SaveEventEffect.of(event), ack]
        message = f"event {event.event_id}: {reason.text}"
        alert = RaiseAlertEffect(LIMIT_EXCEEDED, message, reason_code=ReasonCode.LIMIT_NOT_KEPT)
        return [*effects, alert]


def _seen_sec(event: Event, ts: float, from_ts: float) -> float:
    """How long of the time from the reading before to `ts` this event was in force."""
    return 0.0 if event.active_ts is None else max(0.0, ts - max(from_ts, event.active_ts))


def _drawn(side: GridLimitSide, flow_kw: float) -> str:
    verb = "draws" if side is GridLimitSide.IMPORT else "feeds in"
    return f"{verb} {flow_kw:.{_SAID_DIGITS}f} kW"
