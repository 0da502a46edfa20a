"""Why a command for an event is refused, before anything is done for it."""

from __future__ import annotations

from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.event import Event
from VenAgent.dr.event_queue import EventQueue
from VenAgent.dr.panel import Panel, PanelCircuitControl
from VenAgent.dr.site_state import SiteState

EXPORT_NOT_SUPPORTED = Reason(
    ReasonCode.NOT_SUPPORTED,
    "export_kw: no circuit of this site can reduce what it feeds in: it needs one with "
    '"generates": true and a limit or switch point, or a battery with "control": "power"',
)
ONLY_ITS_SENDER = Reason(
    ReasonCode.ONLY_ITS_SENDER,
    "a limit is a condition of the grid connection: only its sender changes or ends it",
)


class EventAdmission:
    """By the site's panel and policy, and by what is known of the event already."""

    def __init__(self, site: SiteState, queue: EventQueue) -> None:
        self._site = site
        self._queue = queue

    def refusal(self, event: Event, known: Event | None, *, from_sender: bool) -> Reason | None:
        """Why `event` is neither begun nor a change of the `known` one; None if nothing is against
        it. `from_sender`: it is of the cloud's, not of someone at the site."""
        if known is not None and is_event_of_its_sender_alone(known, from_sender=from_sender):
            return ONLY_ITS_SENDER
        request, panel = event.request, self._site.panel
        refusal = None
        if request.circuit_id is not None:
            refusal = _refusal_of_circuit(request.circuit_id, panel)
        elif request.export_kw is not None and not panel.can_feed_in_less:
            refusal = EXPORT_NOT_SUPPORTED
        if refusal is None and self._queue.is_over(event.event_id, request.modification):
            refusal = Reason(
                ReasonCode.EVENT_OVER,
                f"event {event.event_id} is over in modification {request.modification}: "
                f"send a higher one to begin it again",
            )
        return refusal

    def refusal_of_new(self, event: Event, running: Event | None, now: float) -> Reason | None:
        """Why an event that is not known does not wait here; None if it may, or need not."""
        most, waiting = self._site.policy.max_scheduled, len(self._queue.waiting)
        if waiting < most or (event.request.start_ts <= now and running is None):
            return None
        text = f"as many events wait already as this site takes ({most})"
        return Reason(ReasonCode.TOO_MANY_SCHEDULED, text)


def is_event_of_its_sender_alone(event: Event, *, from_sender: bool) -> bool:
    """Whether `event` is a limit of the cloud's, and who asks is at the site."""
    return event.is_limit and not event.request.from_site and not from_sender


def _refusal_of_circuit(circuit_id: str, panel: Panel) -> Reason | None:
    """Why a command may not shed this circuit by name; None if it may."""
    circuit = panel.by_id.get(circuit_id)
    if circuit is None:
        return Reason(
            ReasonCode.UNKNOWN_CIRCUIT,
            f"unknown circuit {circuit_id!r}: this panel has {', '.join(panel.by_id)}",
        )
    if circuit.control is PanelCircuitControl.NONE:
        return Reason(ReasonCode.NOT_CONTROLLABLE, f"circuit {circuit_id} cannot be controlled")
    if circuit.critical or circuit.kept_fraction >= 1.0:
        text = f"circuit {circuit_id} is critical and is never shed by command"
        return Reason(ReasonCode.CRITICAL, text)
    return None
