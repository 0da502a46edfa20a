"""How far what is shed now is from what is wanted: by the event, and by the limits in force."""

from __future__ import annotations

from dataclasses import dataclass, replace

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.event import Event
from VenAgent.dr.site_state import SiteState

NO_ROOM_TO_FEED_IN = Reason(
    ReasonCode.NOTHING_TO_SHED,
    "the site feeds in as much as a limit allows: with less load it would feed in more",
)
LEAST_ROOM_KW = 0.1
"""Less room below a limit than this is not worth a write."""


@dataclass(frozen=True)
class ShedTarget:
    """Power in kW."""

    missing_kw: float
    """More is to be shed; negative: less."""
    band_kw: float
    """So far off is near enough."""
    is_limit: bool = False
    """A limit asks for it: at least as much is shed, and at most as much let back."""
    is_export: bool = False
    """A limit of what is fed in asks for it: so much more is to be drawn or less generated at
    least; positive: so much of that may be given back."""
    is_capped: bool = False
    """More is wanted, and a limit of what is fed in does not allow it."""

    @classmethod
    def of(
        cls, event: Event, site: SiteState, power_kw: float, held_kw: float, now: float
    ) -> ShedTarget:
        """What `event` wants while the site draws `power_kw` and `held_kw` are shed; the stricter
        of it and the limits."""
        also = event if event.is_limit else None
        drawn_kw = site.limits.missing_kw(power_kw, now, also)
        fed_in_kw = site.export_limits.missing_kw(-power_kw, now, also)
        own = cls._own(event, site, drawn_kw, held_kw)
        if fed_in_kw is None:
            return own
        if fed_in_kw > 0.0:
            if event.is_load_up and own.missing_kw < -fed_in_kw:
                return own  # more than that is to be drawn as it is
            return cls(-fed_in_kw, 0.0, is_limit=True, is_export=True)
        room_kw = -fed_in_kw
        if own.missing_kw > 0.0:  # a shed feeds in too; what was raised for the limit goes first
            if own.is_limit:  # down to what may be drawn: what was fed in before does not matter
                room_kw = site.export_limits.room_now_kw(-power_kw, now, also)
            capped_kw = min(own.missing_kw, room_kw)
            is_capped = capped_kw < own.missing_kw - own.band_kw and not event.is_load_up
            return replace(own, missing_kw=capped_kw, is_capped=is_capped)
        raised = any(circuit.is_raised for circuit in event.held()) and not event.is_load_up
        if raised and room_kw > LEAST_ROOM_KW and own.is_met and -own.missing_kw <= room_kw:
            return cls(room_kw, LEAST_ROOM_KW, is_limit=True, is_export=True)
        return own

    @classmethod
    def _own(
        cls, event: Event, site: SiteState, limited_kw: float | None, held_kw: float
    ) -> ShedTarget:
        """By the event and what may be drawn."""
        if event.is_limit:
            return cls._by_limit(0.0 if limited_kw is None else limited_kw)
        own = cls(event.wanted_kw - held_kw, event.band_kw(site.policy.band))
        if not event.wanted_kw:  # an interval without a shed: whatever is drawn, all goes back
            own = cls(-event.predicted_kw, own.band_kw)
        if limited_kw is None or limited_kw <= own.missing_kw:
            return own
        return cls._by_limit(limited_kw)

    @classmethod
    def _by_limit(cls, missing_kw: float) -> ShedTarget:
        return cls(missing_kw, 0.0 if missing_kw > 0.0 else LEAST_ROOM_KW, is_limit=True)

    @property
    def why_capped(self) -> Reason | None:
        """Why not more is shed, though loads are there; None if nothing keeps them."""
        return NO_ROOM_TO_FEED_IN if self.is_capped else None

    @property
    def is_met(self) -> bool:
        """Whether nothing is to be done; below a limit nothing has to be."""
        if self.is_export:
            return self.missing_kw >= 0.0
        if self.is_capped:
            return False
        return abs(self.missing_kw) <= self.band_kw or (self.is_limit and self.missing_kw <= 0.0)
