"""What is to be written so that an event sheds what it was asked."""

from __future__ import annotations

import copy

from VenAgent.dr.curtailment_plan import Moves, exchange, shed_less, shed_more
from VenAgent.dr.event import Event
from VenAgent.dr.panel import Reading
from VenAgent.dr.site_state import SiteState


def moves_toward(
    event: Event,
    context: SiteState,
    reading: Reading,
    held_kw: float,
    now: float,
    *,
    by_command: bool,
) -> Moves:
    """What brings the shed from `held_kw` to the request; none if nothing would.

    A change that a command asked for may exchange circuits; a correction of the closed loop only
    adds or releases some, so that it does not move loads to and fro.
    """
    panel, order = context.panel, context.policy.release_order
    barred = context.barred(event.end_ts, now)
    missing_kw = event.requested_kw - held_kw
    band_kw = context.policy.band * event.requested_kw
    if missing_kw > band_kw or (missing_kw > 0.0 and not event.held()):
        return shed_more(event, panel, reading, barred, missing_kw, now)
    if missing_kw >= -band_kw:
        return Moves()
    less = shed_less(copy.deepcopy(event), panel, order, -missing_kw, band_kw, now)
    if not by_command or -missing_kw + less.delta_kw <= band_kw:
        return shed_less(event, panel, order, -missing_kw, band_kw, now)
    wanted_kw = event.predicted_kw + missing_kw
    return exchange(event, panel, reading, barred, wanted_kw, now)
