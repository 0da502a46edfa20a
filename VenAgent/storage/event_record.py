"""An event as the journal keeps it: every field by its name, so that the core may rename its own.

`to_event_record` and `from_event_record` are each other's inverse: what is not in the record does
not survive a restart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from VenAgent.baseline.measured_power import MeasuredPower
from VenAgent.contract.reasons import Reason, ReasonCode
from VenAgent.dr.companion_point import companion_point_record, recorded_companion_point
from VenAgent.dr.event import Event, EventEndedBy, EventLevelStart, PendingEventModification
from VenAgent.dr.event_baseline import EventBaseline
from VenAgent.dr.event_limit import EventLimit
from VenAgent.dr.event_request import (
    DEFAULT_WINDOW_SEC,
    EventRequest,
    EventRequestKind,
    EventRequestLevel,
)
from VenAgent.dr.event_state import EventState
from VenAgent.dr.shed_circuit import ShedCircuit

Record = dict[str, Any]


def to_event_record(event: Event) -> Record:
    """Plain values that JSON can hold."""
    ended_by, pending, reason = event.ended_by, event.pending, event.end_reason
    return {
        "event_id": event.event_id,
        "request": _request_record(event.request),
        "state": event.state.value,
        "task_id": event.task_id,
        "baseline": None if event.baseline is None else _baseline_record(event.baseline),
        **_limit_record(event.limit),
        "circuits": [_circuit_record(circuit) for circuit in event.circuits],
        "active_ts": event.active_ts,
        "ended_ts": event.ended_ts,
        "metered": _metered_record(event.metered),
        "level_starts": [
            {"index": each.index, "ts": each.ts, "metered": _metered_record(each.metered)}
            for each in event.level_starts
        ],
        "measured_kw": event.measured_kw,
        "acked": event.acked,
        "duplicate_correlation_ids": list(event.duplicate_correlation_ids),
        "pending": None
        if pending is None
        else {
            "request": _request_record(pending.request),
            "duplicate_correlation_ids": list(pending.duplicate_correlation_ids),
        },
        "ended_by": None
        if ended_by is None
        else {
            "op": ended_by.op,
            "correlation_id": ended_by.correlation_id,
            "acked": ended_by.acked,
        },
        "end_reason": None if reason is None else {"code": reason.code.value, "text": reason.text},
        "opted_out": event.opted_out,
        "preempted_by": event.preempted_by,
        "rebound_until_ts": event.rebound_until_ts,
        "rebound_kw": event.rebound_kw,
        "done": event.done,
    }


def from_event_record(record: Mapping[str, Any]) -> Event:
    """The event of `to_event_record`. Raises TypeError, KeyError or ValueError if it is not one."""
    baseline, pending = record["baseline"], record["pending"]
    ended_by, reason = record["ended_by"], record["end_reason"]
    return Event(
        event_id=str(record["event_id"]),
        request=_request(record["request"]),
        state=EventState(record["state"]),
        task_id=record["task_id"],
        baseline=None if baseline is None else _baseline(baseline),
        limit=_limit(record),
        circuits=tuple(_circuit(circuit) for circuit in record["circuits"]),
        active_ts=record["active_ts"],
        ended_ts=record["ended_ts"],
        metered=_metered(record["metered"]),
        level_starts=tuple(
            EventLevelStart(each["index"], each["ts"], _metered(each["metered"]))
            for each in record.get("level_starts", ())
        ),
        measured_kw=record["measured_kw"],
        acked=record["acked"],
        duplicate_correlation_ids=tuple(record["duplicate_correlation_ids"]),
        pending=None
        if pending is None
        else PendingEventModification(
            _request(pending["request"]), tuple(pending["duplicate_correlation_ids"])
        ),
        ended_by=None
        if ended_by is None
        else EventEndedBy(ended_by["op"], ended_by["correlation_id"], ended_by["acked"]),
        end_reason=None if reason is None else Reason(ReasonCode(reason["code"]), reason["text"]),
        opted_out=record["opted_out"],
        preempted_by=record["preempted_by"],
        rebound_until_ts=record["rebound_until_ts"],
        rebound_kw=record["rebound_kw"],
    )


def _limit_record(limit: EventLimit) -> Record:
    """Beside the event's own fields, as they have always stood."""
    return {
        "heartbeat_ts": limit.heartbeat_ts,
        "failsafe_ts": limit.failsafe_ts,
        "ruling_failsafe_kw": limit.failsafe_kw,
        "ruling_failsafe_least_sec": limit.failsafe_least_sec,
        "new_limit_ts": limit.new_limit_ts,
        "reference_kw": limit.reference_kw,
        "highest_mean_kw": limit.highest_mean_kw,
        "over_limit_sec": limit.over_limit_sec,
        "highest_export_kw": limit.highest_export_kw,
        "over_export_sec": limit.over_export_sec,
        "seen_sec": limit.seen_sec,
    }


def _limit(record: Mapping[str, Any]) -> EventLimit:
    return EventLimit(
        heartbeat_ts=record.get("heartbeat_ts"),
        failsafe_ts=record.get("failsafe_ts"),
        failsafe_kw=record.get("ruling_failsafe_kw"),
        failsafe_least_sec=record.get("ruling_failsafe_least_sec", 0.0),
        new_limit_ts=record.get("new_limit_ts"),
        reference_kw=record.get("reference_kw"),
        highest_mean_kw=record.get("highest_mean_kw"),
        over_limit_sec=record.get("over_limit_sec", 0.0),
        highest_export_kw=record.get("highest_export_kw"),
        over_export_sec=record.get("over_export_sec", 0.0),
        seen_sec=record.get("seen_sec", 0.0),
    )


def _request_record(request: EventRequest) -> Record:
    return {
        "op": request.op,
        "correlation_id": request.correlation_id,
        "shed_kw": request.shed_kw,
        "start_ts": request.start_ts,
        "end_ts": request.end_ts if math.isfinite(request.end_ts) else None,
        "modification": request.modification,
        "circuit_id": request.circuit_id,
        "priority": request.priority,
        "kind": request.kind.value,
        "levels": [[level.duration_sec, level.power_kw] for level in request.levels],
        "raise_kw": request.raise_kw,
        "import_kw": request.import_kw,
        "export_kw": request.export_kw,
        "window_sec": request.window_sec,
        "failsafe_kw": request.failsafe_kw,
        "heartbeat_sec": request.heartbeat_sec,
        "failsafe_min_sec": request.failsafe_min_sec,
        "start_delay_sec": request.start_delay_sec,
        "is_test": request.is_test,
        "from_site": request.from_site,
        "content": dict(request.content),
    }


def _request(record: Mapping[str, Any]) -> EventRequest:
    return EventRequest(
        op=record["op"],
        correlation_id=record["correlation_id"],
        shed_kw=record["shed_kw"],
        start_ts=record["start_ts"],
        end_ts=math.inf if record["end_ts"] is None else record["end_ts"],
        modification=record["modification"],
        circuit_id=record["circuit_id"],
        priority=record["priority"],
        # what follows came with the kinds of events: a record from before has one level to shed
        kind=EventRequestKind(record.get("kind", EventRequestKind.SHED.value)),
        levels=tuple(EventRequestLevel(*level) for level in record.get("levels", ())),
        raise_kw=record.get("raise_kw", 0.0),
        import_kw=record.get("import_kw"),
        export_kw=record.get("export_kw"),
        window_sec=record.get("window_sec", DEFAULT_WINDOW_SEC),
        failsafe_kw=record.get("failsafe_kw"),
        heartbeat_sec=record.get("heartbeat_sec"),
        failsafe_min_sec=record.get("failsafe_min_sec", 0.0),
        start_delay_sec=record.get("start_delay_sec", 0.0),
        is_test=record.get("is_test", False),
        from_site=record.get("from_site", False),
        content=dict(record["content"]),
    )


def _baseline_record(baseline: EventBaseline) -> Record:
    return {
        "steering_kw": baseline.steering_kw,
        "settlement_kw": baseline.settlement_kw,
        "method": baseline.method,
        "samples": baseline.samples,
        "rrmse_percent": baseline.rrmse_percent,
        "note": baseline.note,
        "measured_by": baseline.measured_by,
        "profile": [list(interval) for interval in baseline.profile],
    }


def _baseline(record: Mapping[str, Any]) -> EventBaseline:
    return EventBaseline(
        steering_kw=record["steering_kw"],
        settlement_kw=record["settlement_kw"],
        method=record["method"],
        samples=record["samples"],
        rrmse_percent=record["rrmse_percent"],
        note=record["note"],
        measured_by=record["measured_by"],
        profile=tuple((start, power_kw) for start, power_kw in record["profile"]),
    )


def _metered_record(metered: MeasuredPower) -> Record:
    return {
        "samples": metered.samples,
        "seen_sec": metered.seen_sec,
        "kw_sec": metered.kw_sec,
        "baseline_kw_sec": metered.baseline_kw_sec,
        "last_ts": metered.last_ts,
        "last_kw": metered.last_kw,
        "last_baseline_kw": metered.last_baseline_kw,
        "paused_sec": metered.paused_sec,
        "paused_ts": metered.paused_ts,
    }


def _metered(record: Mapping[str, Any]) -> MeasuredPower:
    return MeasuredPower(
        samples=record["samples"],
        seen_sec=record["seen_sec"],
        kw_sec=record["kw_sec"],
        baseline_kw_sec=record["baseline_kw_sec"],
        last_ts=record["last_ts"],
        last_kw=record["last_kw"],
        last_baseline_kw=record["last_baseline_kw"],
        paused_sec=record["paused_sec"],
        paused_ts=record["paused_ts"],
    )


def _circuit_record(circuit: ShedCircuit) -> Record:
    return {
        "circuit_id": circuit.circuit_id,
        "name": circuit.name,
        "breaker_amps": circuit.breaker_amps,
        "critical": circuit.critical,
        "point": circuit.point,
        "before": circuit.before,
        "value": circuit.value,
        "original_kw": circuit.original_kw,
        "final_kw": circuit.final_kw,
        "priority": circuit.priority,
        "shed_ts": circuit.shed_ts,
        "confirmed": circuit.confirmed,
        "failure": circuit.failure,
        "responded": circuit.responded,
        "seen": circuit.seen,
        "manual_override": circuit.manual_override,
        "switching": circuit.switching,
        "releasing": circuit.releasing,
        "restored": circuit.restored,
        "unrestored": circuit.unrestored,
        "reference_kw": circuit.reference_kw,
        "step_kw": circuit.step_kw,
        "exhausted": circuit.exhausted,
        "inverted": circuit.inverted,
        "relinquish": circuit.relinquish,
        "settle_sec": circuit.settle_sec,
        "relieved_by": list(circuit.relieved_by),
        "rounding": circuit.rounding,
        "is_read_as_taken": circuit.is_read_as_taken,
        "generates": circuit.generates,
        "release_failed_ts": circuit.release_failed_ts,
        "register_unit": circuit.register_unit,
        "left_alone": circuit.left_alone,
        "companion": companion_point_record(circuit.companion),
    }


def _circuit(record: Mapping[str, Any]) -> ShedCircuit:
    return ShedCircuit(
        circuit_id=record["circuit_id"],
        name=record["name"],
        breaker_amps=record["breaker_amps"],
        critical=record["critical"],
        point=record["point"],
        before=record["before"],
        value=record["value"],
        original_kw=record["original_kw"],
        final_kw=record["final_kw"],
        priority=record["priority"],
        shed_ts=record["shed_ts"],
        confirmed=record["confirmed"],
        failure=record["failure"],
        responded=record["responded"],
        seen=record["seen"],
        manual_override=record["manual_override"],
        switching=record["switching"],
        releasing=record["releasing"],
        restored=record["restored"],
        unrestored=record["unrestored"],
        reference_kw=record["reference_kw"],
        step_kw=record["step_kw"],
        exhausted=record["exhausted"],
        inverted=record["inverted"],
        relinquish=record["relinquish"],
        settle_sec=record.get("settle_sec", 0.0),
        relieved_by=tuple(record.get("relieved_by", ())),
        rounding=record.get("rounding", 0.0),
        is_read_as_taken=record.get("is_read_as_taken", False),
        generates=record.get("generates", False),
        release_failed_ts=record.get("release_failed_ts"),
        register_unit=record.get("register_unit"),
        left_alone=record.get("left_alone", False),
        companion=recorded_companion_point(record.get("companion")),
    )
