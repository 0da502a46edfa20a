"""Alerts to `ven/alerts/{venId}`: what a person should see to, and each one's end."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from VenAgent.contract.json_codec import rounded


class Severity(str, Enum):
    CLEARED = "cleared"
    """The alert of this code (and circuit, if its context names one) is over."""
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


def alert(
    *,
    ven_id: str,
    ts: float,
    severity: Severity,
    code: str,
    message: str,
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """An alert as it goes on the wire; `ts` in epoch seconds."""
    return {
        "venId": ven_id,
        "ts": rounded(ts),
        "severity": severity.value,
        "code": code,
        "message": message,
        "context": dict(context),
    }
