"""The agent's health, in a sentence for the person who reads `vctl status` or VOLTTRON Central."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from VenAgent.contract.alerts import Severity
from VenAgent.contract.telemetry import Quality
from VenAgent.site.meter import Meter
from VenAgent.ven import Ven
from VenAgent.volttron_compat import STATUS_BAD, STATUS_GOOD, STATUS_STARTING

if TYPE_CHECKING:
    from VenAgent.cloud.tls.credentials import CredentialFinding

POINTS_NAMED = 4


@dataclass
class AgentHealth:
    """What is known to be wrong, and what was last shown: (status, sentence)."""

    config_error: str | None = None
    not_begun: str | None = None
    """Why the agent could not begin to work."""
    absent: tuple[str, ...] = ()
    """Agents that we cannot do without and that do not run."""
    shown: tuple[str, str] = ("", "")

    def look(self, ven: Ven | None, now: float) -> tuple[str, str] | None:
        """The new status and sentence; None if they are what was last shown."""
        findings = [f"configuration: {self.config_error}"] if self.config_error else []
        findings += [self.not_begun] if self.not_begun else []
        findings += [f"{peer} is not running" for peer in self.absent]
        if ven is not None:
            findings += _findings(ven, now)
        if findings:
            current = (STATUS_BAD, "; ".join(findings))
        elif ven is None:
            current = (STATUS_STARTING, "waiting for its configuration")
        else:
            current = (STATUS_GOOD, _all_is_well(ven, now))
        if current == self.shown:
            return None
        self.shown = current
        return current


def _all_is_well(ven: Ven, now: float) -> str:
    event, broker = ven.engine.running, ven.config.broker
    doing = f"event {event.event_id} is {event.state.value}" if event else "no event"
    sentence = f"connected to {broker.host}:{broker.port}, meter live, {doing}"
    opted_out = ven.engine.opted_out(now)
    if opted_out is not None:
        sentence += f", {opted_out}"
    unprotected = ven.config.without_lease()
    if unprotected:
        sentence += f"; protected by restart only (no lease): {', '.join(unprotected)}"
    return sentence + "".join(f"; {finding.message}" for finding in _credential_findings(ven))


def _credential_findings(ven: Ven) -> list[CredentialFinding]:
    return [] if ven.credentials is None else ven.credentials.findings()


def _findings(ven: Ven, now: float) -> list[str]:
    """Everything that a person should see to."""
    findings = [ven.journal_damage] if ven.journal_damage else []
    findings += [text for text in (ven.history.complaint, ven.history.failure) if text]
    if ven.performer.storage_failure:
        findings.append(ven.performer.storage_failure)
    broker = ven.config.broker
    cloud = ven.link.state.finding(f"{broker.host}:{broker.port}")
    if cloud:
        findings.append(f"MQTT: {cloud}")
    if ven.outbox.damage:
        findings.append(ven.outbox.damage)
    if ven.outbox.full:
        findings.append(
            f"the outbox is full (outbox.max_mb {ven.config.outbox.max_mb:g}): of the older "
            f"telemetry only every second is kept, or fewer"
        )
    if ven.link.state.online and ven.shadow.trouble:
        findings.append(ven.shadow.trouble)
    findings += [
        finding.message
        for finding in _credential_findings(ven)
        if finding.severity is Severity.CRITICAL
    ]
    findings += _meter_findings(ven.meter, now)
    if ven.page.failure:
        findings.append(ven.page.failure)
    trouble = ven.engine.trouble()
    if trouble:
        findings.append(trouble)
    return findings


def _meter_findings(meter: Meter, now: float) -> list[str]:
    why = f" ({meter.failure})" if meter.failure else ""
    quality, age_sec = meter.points.quality(now), meter.points.age_sec(now)
    if quality is Quality.MISSING or age_sec is None:
        return [f"the meter has not been read yet{why}"]
    if quality is Quality.STALE:
        return [f"the meter was last read {age_sec // 10 * 10:.0f} s ago{why}"]
    lacking = meter.points.missing()
    if not lacking:
        return []
    more = f" and {len(lacking) - POINTS_NAMED} more" if len(lacking) > POINTS_NAMED else ""
    return [
        f"the driver does not publish {', '.join(lacking[:POINTS_NAMED])}{more}: "
        f"correct the point names in the configuration or in the registry"
    ]
