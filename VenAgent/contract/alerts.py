"""Alerts to `ven/alerts/{venId}`: what a person should see to, and each one's end."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from VenAgent.contract.json_codec import json_number
from VenAgent.contract.reasons import ReasonCode


class AlertSeverity(str, Enum):
    CLEARED = "cleared"
    """The alert of this code (and circuit, if its context names one) is over."""
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


def build_alert(
    *,
    ven_id: str,
    ts: float,
    severity: AlertSeverity,
    code: str,
    message: str,
    context: Mapping[str, Any],
    reason_code: ReasonCode | None = None,
) -> dict[str, Any]:
    """An alert as it goes on the wire; `ts` in epoch seconds.

    `code` names the kind of trouble, `reason_code` why it is there, where that is known.
    """
    return {
        "venId": ven_id,
        "ts": json_number(ts),
        "severity": severity.value,
        "code": code,
        "message": message,
        "context": dict(context),
        **({} if reason_code is None else {"reason_code": reason_code.value}),
    }
