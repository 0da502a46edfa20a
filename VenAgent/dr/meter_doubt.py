"""Whether a meter that shows nothing of what was switched is frozen, rather than the circuits deaf.

When circuits read back as they were written, and the site's power reads the same to the last digit
since before, it is the meter that is not believed: what is shed counts as planned, nothing more is
shed on its word, and what was delivered is not measured. One circuit alone may be deaf, and a meter
of coarse digits stand still: then another is tried first, unless standing still is unusual.
"""

from __future__ import annotations

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.effects import Effects, RaiseAlertEffect, SaveEventEffect
from VenAgent.dr.event import Event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.site_state import SiteState

METER_FROZEN = "meter.frozen"
"""The alert while it is not believed."""
LEAST_SWITCHED_KW = 0.2
STILL_PART = 0.8
"""Of the time in which a deviation is confirmed: standing still for less is no standing still."""
CIRCUITS_SURE = 2
"""So many circuits are not deaf at once."""


class MeterDoubt:
    """Of the site's power; it is believed again as soon as it moves."""

    def __init__(self, site: SiteState) -> None:
        self._site = site
        self._is_alerted = False

    def look(self, event: Event) -> tuple[Effects, bool]:
        """What follows from a reading, and whether its power is still not believed."""
        stillness = self._site.stillness
        if stillness.is_suspect and not event.held():
            stillness.trust()
        if stillness.is_suspect:
            return [], True
        was_alerted, self._is_alerted = self._is_alerted, False
        return ([RaiseAlertEffect(METER_FROZEN)] if was_alerted else []), False

    def judge(
        self, event: Event, reading: PanelReading, now: float
    ) -> tuple[Effects, Reason | None]:
        """The time is over in which the writes should have shown: why the meter is not believed
        from now on; None if it is."""
        stillness, unshown = self._site.stillness, self._site.unshown
        if not event.is_limit and not event.wanted_kw:
            return [], None
        still_from_ts = now - STILL_PART * self._site.policy.confirm_sec
        hidden = [
            circuit
            for circuit in event.circuits
            if circuit.confirmed and circuit.seen and not circuit.manual_override
            for written_ts in [unshown.written_ts(circuit.circuit_id)]
            if written_ts <= now
            and (stillness.has_stood_since(written_ts) or stillness.has_stood_since(still_from_ts))
        ]
        least_kw = max(LEAST_SWITCHED_KW, event.band_kw(self._site.policy.band))
        if sum(abs(circuit.shed_kw) for circuit in hidden) < least_kw:
            return [], None
        still = [
            circuit
            for circuit in hidden
            for since_ts in [unshown.still_since_ts(circuit.circuit_id)]
            if since_ts <= max(still_from_ts, unshown.written_ts(circuit.circuit_id))
        ]
        if len(still) < CIRCUITS_SURE and not stillness.is_unusual(reading.ts):
            return [], None
        stillness.suspect()
        self._is_alerted = True
        names = ", ".join(circuit.circuit_id for circuit in hidden)
        text = (
            f"the meter stands still at {reading.power_kw:.2f} kW to the last digit, though "
            f"{names} read as they were written: it is not believed, what is shed is as planned "
            "and not measured"
        )
        reason = Reason(ReasonCode.METER_FROZEN, text)
        event.put(circuit.not_judged() for circuit in hidden)
        event.measure_not()
        over = [RaiseAlertEffect("circuit.not_responding", None, c.circuit_id) for c in hidden]
        return [
            SaveEventEffect.of(event),
            RaiseAlertEffect(METER_FROZEN, text, reason_code=reason.code),
            *over,
        ], reason
