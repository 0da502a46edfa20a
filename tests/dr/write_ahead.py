"""The write-ahead rule: whatever is done or acked, the journal accounts for it before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from VenAgent.dr.effects import (
    Effects,
    PrepareEffect,
    RestoreEffect,
    SaveEventEffect,
    SendAckEffect,
    WriteEffect,
)
from VenAgent.dr.event import Event
from VenAgent.dr.event_state import EventState
from VenAgent.dr.policy import Policy
from VenAgent.storage.event_record import from_event_record, to_event_record

STATES_ACKED = {
    "accepted": {"active"},
    "scheduled": {"scheduled"},
    "measured": {"active", "shedding"},
    "adjusted": {"active"},
    "completed": {"completed"},
    "rebound": {"completed"},
    "superseded": {"shedding", "restoring", "active", "scheduled"},
    "opted_out": {"rejected", "shedding", "active", "restoring", "cancelled"},
    "failed": {"rejected", "restoring", "completed", "cancelled", "shedding", "scheduled"},
}
"""What the journal must say of an event before an ack of it is sent. (Failed while it is shedding
or scheduled: a modification that was taken back, or overtaken, before it could be applied.)"""

NO_LIMIT = 65_535.0
"""What stands in the registers of the tests' chargers without a limit."""


class _Records(dict[str, dict[str, Any]]):
    """What the journal holds by now, read when it is asked for."""

    def __init__(self, journal: Mapping[str, str]) -> None:
        super().__init__()
        self._journal = journal

    def __missing__(self, event_id: str) -> dict[str, Any]:
        self[event_id] = record = json.loads(self._journal[event_id])
        return record


def check_order(
    effects: Effects, journal: Mapping[str, str], remembered: Iterable[str], policy: Policy
) -> None:
    """`remembered`: the acks given so far, as JSON."""
    known = _Records(journal)
    for effect in effects:
        if isinstance(effect, SaveEventEffect):
            known[effect.event.event_id] = to_event_record(effect.event)
        elif isinstance(effect, SendAckEffect):
            repeated = _was_sent(effect.body, remembered)
            of_event = "circuits_curtailed" in effect.body and not repeated
            of_event = of_event and not effect.body.get("dry_run")  # it leaves no record
            if of_event and effect.body["status"] != "rejected":
                record = known[effect.body["event_id"]]
                states = STATES_ACKED[effect.body["status"]]
                if record["request"]["kind"] == "limit":  # in force beside another event
                    states = states | {"scheduled", "shedding"}
                assert record["state"] in states
        elif isinstance(effect, (PrepareEffect, WriteEffect, RestoreEffect)):
            event = from_event_record(known[effect.event_id])
            _check_doing(effect, event, ramped=policy.limit_ramp_sec > 0.0)


def _was_sent(body: Mapping[str, Any], remembered: Iterable[str]) -> bool:
    """Whether it is an earlier ack again, be it to another command that asks the same."""
    return any(
        {**json.loads(sent), "correlationId": body["correlationId"]} == body for sent in remembered
    )


def _check_doing(
    effect: PrepareEffect | WriteEffect | RestoreEffect, record: Event, *, ramped: bool
) -> None:
    circuits = {circuit.circuit_id: circuit for circuit in record.circuits}
    match effect:
        case PrepareEffect():  # ahead of its start, or at it
            assert record.state in (EventState.SCHEDULED, EventState.SHEDDING)
            assert record.task_id == effect.task_id != ""
            assert effect.until_ts > min(record.end_ts, record.request.start_ts + 86_400.0)
        case WriteEffect():
            assert record.state is EventState.SHEDDING
            for write in effect.writes:
                assert circuits[write.circuit_id].write() == write
        case RestoreEffect():
            assert record.state is EventState.RESTORING
            for write in effect.writes:
                circuit = circuits[write.circuit_id]
                if circuit.before == NO_LIMIT:  # some devices do not take it
                    assert write.value >= circuit.value
                elif circuit.is_switch or not ramped:
                    assert circuit.before == write.value
                else:
                    assert circuit.value <= write.value or write.value == circuit.before
