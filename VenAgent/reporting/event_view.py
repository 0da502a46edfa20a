"""An event as others see it: the bus message and the RPC answer, and the entry of the local page.

Each field is named here, so that the core may rename its own without changing what is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from VenAgent.contract.json_codec import json_number
from VenAgent.contract.op import END_OPS
from VenAgent.contract.reasons import ReasonCode
from VenAgent.dr.event import Event
from VenAgent.dr.event_completion import event_completion_summary
from VenAgent.dr.event_state import EventState
from VenAgent.dr.shed_circuit import ShedCircuit

SCHEDULED_EVENTS_LISTED = 20
"""Of those that wait; there may be hundreds, and an answer has to fit into a message."""
EVENT_CIRCUITS_LISTED = 100
"""Of the running event, in an answer; a panel has up to a thousand."""


def event_view_next(waiting: Iterable[Event]) -> list[Event]:
    """Of the events that wait, the page that an answer lists: the next ones, by their start."""
    by_start = sorted(waiting, key=lambda event: event.request.start_ts)
    return by_start[:SCHEDULED_EVENTS_LISTED]


def event_view_for_answer(event: Event) -> dict[str, Any]:
    """For `get status`: as on the bus, with no more circuits than fit into a message."""
    view = event_view_for_bus(event)
    circuits = view["circuits"]
    omitted = max(0, len(circuits) - EVENT_CIRCUITS_LISTED)
    return {**view, "circuits": circuits[:EVENT_CIRCUITS_LISTED], "circuits_omitted": omitted}


def event_view_for_bus(event: Event) -> dict[str, Any]:
    """For `ven/{venId}/event` on the VOLTTRON bus."""
    request, baseline, reason = event.request, event.baseline, event.end_reason
    return {
        "event_id": event.event_id,
        "op": request.op,
        "correlation_id": request.correlation_id,
        "state": event_view_state(event),
        "requested_kw": abs(event.wanted_kw),
        "start_ts": request.start_ts,
        "end_ts": json_number(event.end_ts),
        "import_kw": json_number(event.limit_terms.import_kw),
        "export_kw": json_number(event.limit_terms.export_kw),
        "failsafe": event.limit.is_failsafe,
        "modification": request.modification,
        "circuit_id": request.circuit_id,
        "priority": request.priority,
        "kind": request.kind.value,
        "test": request.is_test,
        "interval": event_view_interval(event),
        "task_id": event.task_id,
        "baseline_kw": event.baseline_kw,
        "settlement_kw": None if baseline is None else baseline.settlement_kw,
        "baseline_method": None if baseline is None else baseline.method,
        "active_ts": event.active_ts,
        "ended_ts": event.ended_ts,
        "predicted_kw": event.predicted_kw,
        "measured_kw": event.measured_kw,
        "opted_out": event.opted_out,
        "preempted_by": event.preempted_by,
        "end_reason": None if reason is None else reason.text,
        "end_reason_code": None if reason is None else reason.code.value,
        "rebound_kw": event.rebound_kw,
        "restored": _restored(event),
        "circuits": [_circuit_message(circuit) for circuit in event.circuits],
    }


def event_view_state(event: Event) -> str:
    """A limit that another event keeps along with its own is active too."""
    joined = event.is_limit and event.active_ts is not None
    is_kept = joined and event.state is EventState.SCHEDULED
    return EventState.ACTIVE.value if is_kept else event.state.value


def event_view_interval(event: Event) -> dict[str, int] | None:
    """Which of its intervals rules; None for an event that has none."""
    of = len(event.request.levels)
    return {"number": event.level + 1, "of": of} if of else None


def _circuit_message(circuit: ShedCircuit) -> dict[str, Any]:
    return {
        "circuit_id": circuit.circuit_id,
        "name": circuit.name,
        "breaker_amps": circuit.breaker_amps,
        "critical": circuit.critical,
        "priority": circuit.priority,
        "point": circuit.point,
        "before": circuit.before,
        "value": circuit.value,
        "original_kw": circuit.original_kw,
        "final_kw": circuit.final_kw,
        "shed_ts": circuit.shed_ts,
        "confirmed": circuit.confirmed,
        "failure": circuit.failure,
        "responded": circuit.responded,
        "manual_override": circuit.manual_override,
        "releasing": circuit.releasing,
        "restored": circuit.restored,
    }


def _page_state(event: Event) -> str:
    """`failed`: what was begun to be written is put back, and nothing was shed."""
    never_began = event.state is EventState.COMPLETED and event.active_ts is None
    return "failed" if never_began else event_view_state(event)


def _origin(event: Event) -> str:
    """Who sent it: `page` (as far as its id tells), `site` (RPC), `operator` (the backend's, as far
    as its ids tell), or `cloud`."""
    correlation_id = event.request.correlation_id or ""
    if event.request.from_site:
        return "page" if event.event_id.startswith("page-") else "site"
    return "operator" if correlation_id.startswith("evt-") else "cloud"


def _ended_from(correlation_id: str) -> str:
    """Where the command that ended it came from: `site` (page, RPC), `operator` (the backend, or
    the operations command) or `cloud`."""
    if correlation_id.startswith("rpc-"):
        return "site"
    operators = ("evt-", *(f"{op}-" for op in END_OPS))
    return "operator" if correlation_id.startswith(operators) else "cloud"


def _ended_by(event: Event) -> tuple[str | None, str | None]:
    """What ended it early, and where that came from; None: no one did."""
    ender, why = event.ended_by, event.end_reason
    if ender is not None:
        return ender.op, _ended_from(ender.correlation_id or "")
    if why is not None and why.code is ReasonCode.OPTED_OUT:
        return "opt_out", "site"
    return None, None


def _restored(event: Event) -> dict[str, int] | None:
    """How far a restoration is; None while none is under way."""
    if event.state is not EventState.RESTORING:
        return None
    restored, of = event.restored_of()
    return {"circuits": of, "restored": restored}


def event_view_for_page(event: Event) -> dict[str, Any]:
    """For the local page and its JSON API."""
    request, began, over = event.request, event.active_ts is not None, event.state.over
    why, (ended_by, ended_from) = event.end_reason, _ended_by(event)
    was_ended = event.state is EventState.COMPLETED
    reasons = [None if why is None else why.text, event.left_out() if began else None]
    return {
        "event_id": event.event_id,
        "state": _page_state(event),
        "kind": request.kind.value,
        "test": request.is_test,
        "import_kw": json_number(event.limit_terms.import_kw),
        "export_kw": json_number(event.limit_terms.export_kw),
        "failsafe": event.limit.is_failsafe,
        "interval": event_view_interval(event),
        "start_ts": json_number(request.start_ts),
        "end_ts": json_number(event.ended_ts if was_ended and event.ended_ts else event.end_ts),
        "ended_ts": json_number(event.ended_ts),
        "requested_kw": json_number(abs(event.wanted_kw)),
        "predicted_kw": json_number(event.predicted_kw) if began else None,
        "measured_kw": json_number(event.measured_kw),
        "baseline_kw": json_number(event.baseline_kw),
        "circuits": [circuit.circuit_id for circuit in event.circuits if circuit.confirmed],
        "origin": _origin(event),
        "reason": "; ".join(filter(None, reasons)) or None,
        "reason_code": None if why is None else why.code.value,
        "ended_by": ended_by,
        "ended_from": ended_from,
        "opted_out": event.opted_out,
        "restored": _restored(event),
        "summary": event_completion_summary(event) if over and began else None,
    }
