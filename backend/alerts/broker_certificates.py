"""The certificates with which this side meets the broker: how long they are good."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from backend.alerts.system_conditions import SystemCondition
from backend.config.broker_settings import BrokerSettings
from VenAgent.contract.alerts import AlertSeverity

CERTIFICATE_ENDS = "certificate_ends"
_CRITICAL_WITHIN = timedelta(days=7)


def broker_certificate_conditions(
    broker: BrokerSettings, within_days: float, now: datetime
) -> list[SystemCondition]:
    """Of the client's certificate and the authority's: those that end soon, or have ended."""
    found = []
    for name, file, pem in (
        ("client", broker.client_cert, broker.client_cert_pem),
        ("authority", broker.ca_cert, broker.ca_cert_pem),
    ):
        ends = _first_end(file, pem)
        if ends is None or ends - now > timedelta(days=within_days):
            continue
        severity = AlertSeverity.WARNING
        if ends - now <= _CRITICAL_WITHIN:
            severity = AlertSeverity.CRITICAL
        word = "ends" if ends > now else "has ended"
        text = f"the broker's {name} certificate {word} on {ends:%Y-%m-%d}: renew it"
        found.append(SystemCondition(CERTIFICATE_ENDS, severity.value, text, name))
    return found


def _first_end(file: Path | None, pem: str | None) -> datetime | None:
    """When the first of them ends; None where there is none that can be read."""
    try:
        content = file.read_bytes() if file is not None else (pem or "").encode()
        certificates = x509.load_pem_x509_certificates(content)
    except (OSError, ValueError):
        return None  # the connection itself tells that
    return min(one.not_valid_after_utc for one in certificates)
