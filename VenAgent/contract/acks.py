"""Acks to `ven/ack/{venId}`: one for every command, and one for every change of an event."""

from __future__ import annotations

from enum import Enum
from typing import Any

from VenAgent.contract.json_codec import rounded


class AckStatus(str, Enum):
    """What an ack says; docs/mqtt-topics.md tells when each is sent."""

    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    MEASURED = "measured"
    ADJUSTED = "adjusted"
    COMPLETED = "completed"
    OPTED_OUT = "opted_out"
    SUCCESS = "success"
    FAILED = "failed"
    REJECTED = "rejected"

    @property
    def ok(self) -> bool:
        return self not in (AckStatus.FAILED, AckStatus.REJECTED)


def ack(
    *,
    op: str,
    status: AckStatus,
    ven_id: str,
    ts: float,
    correlation_id: str | None,
    **fields: Any,
) -> dict[str, Any]:
    """An ack as it goes on the wire; `fields` are those beyond the usual ones."""
    return {
        "op": op,
        "status": status.value,
        "ok": status.ok,
        "venId": ven_id,
        "ts": rounded(ts),
        "correlationId": correlation_id,
        **fields,
    }


def curtailed_circuit(
    *,
    circuit_id: str,
    name: str,
    breaker_amps: float,
    original_kw: float,
    final_kw: float,
    critical: bool,
) -> dict[str, Any]:
    """One entry of `circuits_curtailed`, under both the new and the older names."""
    shed_kw = rounded(original_kw - final_kw)
    return {
        "id": circuit_id,
        "loadId": circuit_id,
        "name": name,
        "breaker_amps": breaker_amps,
        "original_kw": rounded(original_kw),
        "curtailed_kw": shed_kw,
        "shedKw": shed_kw,
        "final_kw": rounded(final_kw),
        "critical": critical,
    }
