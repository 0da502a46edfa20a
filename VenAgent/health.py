"""The agent's health, in a sentence for the person who reads `vctl status` or VOLTTRON Central."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from VenAgent.cloud.link_state import LinkState
from VenAgent.contract.alerts import Severity
from VenAgent.contract.reasons import Reason
from VenAgent.contract.telemetry import Quality
from VenAgent.dr.event import Event
from VenAgent.volttron_compat import STATUS_BAD, STATUS_GOOD, STATUS_STARTING

if TYPE_CHECKING:
    from VenAgent.cloud.tls.credentials import CredentialFinding

POINTS_NAMED = 4


@dataclass(frozen=True)
class SiteCondition:
    """What there is to know of a VEN at work; sentences are None where all is well."""

    broker: str
    """host:port"""
    link: LinkState
    credentials: Sequence[CredentialFinding]
    event: Event | None
    opted_out: Reason | None
    trouble: str | None
    """Of the events."""
    storage: tuple[str | None, ...]
    """Of journal, history and outbox."""
    outbox_full_mb: float | None
    """Its bound, when it is full."""
    shadow_trouble: str | None
    page_failure: str | None
    meter_quality: Quality
    meter_age_sec: float | None
    meter_failure: str | None
    points_missing: Sequence[str]
    """Configured points that their device does not publish."""
    without_lease: Sequence[str]

    def sentence(self) -> str:
        """When nothing is wrong."""
        event = self.event
        doing = f"event {event.event_id} is {event.state.value}" if event else "no event"
        sentence = f"connected to {self.broker}, meter live, {doing}"
        if self.opted_out is not None:
            sentence += f", opted out at the site: {self.opted_out.text}"
        if self.without_lease:
            devices = ", ".join(self.without_lease)
            sentence += f"; protected by restart only (no lease): {devices}"
        return sentence + "".join(f"; {finding.message}" for finding in self.credentials)

    def findings(self) -> list[str]:
        """Everything that a person should see to."""
        found = [text for text in self.storage if text]
        cloud = self.link.finding(self.broker)
        if cloud:
            found.append(f"MQTT: {cloud}")
        if self.outbox_full_mb is not None:
            found.append(
                f"the outbox is full (outbox.max_mb {self.outbox_full_mb:g}): of the older "
                f"telemetry only every second is kept, or fewer"
            )
        if self.link.online and self.shadow_trouble:
            found.append(self.shadow_trouble)
        found += [f.message for f in self.credentials if f.severity is Severity.CRITICAL]
        found += self._meter_findings()
        found += [text for text in (self.page_failure, self.trouble) if text]
        return found

    def _meter_findings(self) -> list[str]:
        why = f" ({self.meter_failure})" if self.meter_failure else ""
        if self.meter_quality is Quality.MISSING or self.meter_age_sec is None:
            return [f"the meter has not been read yet{why}"]
        if self.meter_quality is Quality.STALE:
            return [f"the meter was last read {self.meter_age_sec // 10 * 10:.0f} s ago{why}"]
        missing = self.points_missing
        if not missing:
            return []
        more = f" and {len(missing) - POINTS_NAMED} more" if len(missing) > POINTS_NAMED else ""
        return [
            f"the driver does not publish {', '.join(missing[:POINTS_NAMED])}{more}: "
            f"correct the point names in the configuration or in the registry"
        ]


@dataclass
class AgentHealth:
    """What is known to be wrong, and what was last shown: (status, sentence)."""

    config_error: str | None = None
    not_begun: str | None = None
    """Why the agent could not begin to work."""
    absent: tuple[str, ...] = ()
    """Agents that we cannot do without and that do not run."""
    shown: tuple[str, str] = ("", "")

    def update(self, site: SiteCondition | None) -> tuple[str, str] | None:
        """The new status and sentence; None if they are what was last shown."""
        findings = [f"configuration: {self.config_error}"] if self.config_error else []
        findings += [self.not_begun] if self.not_begun else []
        findings += [f"{peer} is not running" for peer in self.absent]
        findings += [] if site is None else site.findings()
        if findings:
            current = (STATUS_BAD, "; ".join(findings))
        elif site is None:
            current = (STATUS_STARTING, "waiting for its configuration")
        else:
            current = (STATUS_GOOD, site.sentence())
        if current == self.shown:
            return None
        self.shown = current
        return current
