"""Acks to `ven/ack/{venId}`: one for every command, and one for every change of an event."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from VenAgent.contract import MAX_PAYLOAD_BYTES
from VenAgent.contract.json_codec import encode_json, json_number, json_time
from VenAgent.contract.reasons import Reason, ReasonCode

_CIRCUITS, _OMITTED = "circuits_curtailed", "circuits_omitted"
_REASON_KEPT = 1_000


class AckStatus(str, Enum):
    """What an ack says; docs/mqtt-topics.md tells when each is sent."""

    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    MEASURED = "measured"
    ADJUSTED = "adjusted"
    COMPLETED = "completed"
    REBOUND = "rebound"
    OPTED_OUT = "opted_out"
    SUCCESS = "success"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    REJECTED = "rejected"

    @property
    def ok(self) -> bool:
        return self not in (AckStatus.FAILED, AckStatus.REJECTED, AckStatus.SUPERSEDED)


SHEDDING_STATUSES = (
    AckStatus.ACCEPTED.value,
    AckStatus.MEASURED.value,
    AckStatus.ADJUSTED.value,
)
"""Of a VEN that delivers now."""
OVER_STATUSES = (
    AckStatus.COMPLETED.value,
    AckStatus.REBOUND.value,
    AckStatus.OPTED_OUT.value,
    AckStatus.SUPERSEDED.value,
    AckStatus.FAILED.value,
    AckStatus.REJECTED.value,
)
"""Of one that delivers nothing for this event any more."""


def build_ack(
    *,
    op: str,
    status: AckStatus,
    ven_id: str,
    ts: float,
    correlation_id: str | None,
    **fields: Any,
) -> dict[str, Any]:
    """An ack as it goes on the wire; `fields` are those beyond the usual ones. `ts` in epoch s."""
    seconds, ts_ms = json_time(ts)
    return {
        "op": op,
        "status": status.value,
        "ok": status.ok,
        "venId": ven_id,
        "ts": seconds,
        "ts_ms": ts_ms,
        "correlationId": correlation_id,
        "data": {},
        **fields,
    }


def ack_reason_fields(reason: Reason | None) -> dict[str, str]:
    """`reason` and `reason_code` of an ack; nothing when there is none."""
    return {} if reason is None else {"reason": reason.text, "reason_code": reason.code.value}


def ack_circuit(
    *,
    circuit_id: str,
    name: str,
    breaker_amps: float,
    original_kw: float,
    final_kw: float,
    critical: bool,
) -> dict[str, Any]:
    """One entry of `circuits_curtailed`, under both the new and the older names."""
    shed_kw = json_number(original_kw - final_kw)
    return {
        "id": circuit_id,
        "loadId": circuit_id,
        "name": name,
        "breaker_amps": breaker_amps,
        "original_kw": json_number(original_kw),
        "curtailed_kw": shed_kw,
        "shedKw": shed_kw,
        "final_kw": json_number(final_kw),
        "critical": critical,
    }


def encode_ack(body: Mapping[str, Any], max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """`body` as JSON, at most `max_bytes`: AWS IoT Core ends the connection of one that is larger.

    It would be sent again first on the next, and nothing behind it would ever go. Of a panel with a
    thousand circuits the answer to `get` is that large, or the list of what an event curtailed. The
    last of the circuits are left out then and counted in `circuits_omitted`; an answer whose `data`
    does not fit has failed, and says so.
    """
    whole = encode_json(dict(body))
    if len(whole) <= max_bytes:
        return whole
    small = {**body, "data": {}}
    if body.get("data"):
        text = f"the answer has {len(whole)} bytes, more than {max_bytes}: ask the site itself"
        reason = Reason(ReasonCode.TOO_LARGE, text)
        small.update(status=AckStatus.FAILED.value, ok=False, **ack_reason_fields(reason))
    if isinstance(small.get("reason"), str):
        small["reason"] = small["reason"][:_REASON_KEPT]
    circuits = list(small.get(_CIRCUITS) or ())
    if circuits:
        small.update({_CIRCUITS: [], _OMITTED: len(circuits)})
        room = max_bytes - len(encode_json(small))
        kept = 0
        for circuit in circuits:
            room -= len(encode_json(circuit)) + 1
            if room < 0:
                break
            kept += 1
        small.update({_CIRCUITS: circuits[:kept], _OMITTED: len(circuits) - kept})
    return encode_json(small)
