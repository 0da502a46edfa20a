"""The agent's health, in a sentence for the person who reads `vctl status` or VOLTTRON Central."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from VenAgent.cloud.link_state import LinkState
from VenAgent.contract.alerts import AlertSeverity
from VenAgent.contract.reasons import Reason
from VenAgent.dr.event import Event
from VenAgent.site.point_readings import SuspectPointReading
from VenAgent.volttron_compat import STATUS_BAD, STATUS_GOOD, STATUS_STARTING

if TYPE_CHECKING:
    from VenAgent.cloud.tls.credentials import CredentialsFinding

POINTS_NAMED = 4
STARTING_SEC = 15.0
"""So long after its start an agent without meter or broker is starting: nothing is wrong yet."""


@dataclass(frozen=True)
class SiteHealthCondition:
    """What there is to know of a VEN at work; sentences are None where all is well."""

    broker: str
    """host:port"""
    link: LinkState
    credentials: Sequence[CredentialsFinding]
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
    page_moved: str | None
    """That the local page is at another port than its usual one."""
    devices_unread: Sequence[str]
    points_stale: Mapping[str, float]
    """Devices, or single points, that are too old, with their age in seconds."""
    points_suspect: Sequence[SuspectPointReading]
    meter_failure: str | None
    points_missing: Sequence[str]
    """Configured points that their device does not publish."""
    without_lease: Sequence[str]
    polled_too_fast: Sequence[str] = ()
    """A sentence for each connection whose devices are polled faster than they answer."""

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
        if self.page_moved is not None:
            sentence += f"; {self.page_moved}"
        sentence += "".join(f"; {text}" for text in self.polled_too_fast)
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
        found += [f.message for f in self.credentials if f.severity is AlertSeverity.CRITICAL]
        meter = self._meter_findings()
        found += [*meter, *self.polled_too_fast] if meter else []
        found += [text for text in (self.page_failure, self.trouble) if text]
        return found

    def _meter_findings(self) -> list[str]:
        why = f" ({self.meter_failure})" if self.meter_failure else ""
        if self.devices_unread:
            return [f"the meter has not been read yet: {_listed(self.devices_unread)}{why}"]
        found = []
        if self.points_stale:
            age_sec = max(self.points_stale.values()) // 10 * 10
            found.append(
                f"the meter was last read {age_sec:.0f} s ago: {_listed([*self.points_stale])}{why}"
            )
        if self.points_missing:
            found.append(
                f"the driver does not publish {_listed(self.points_missing)}: "
                f"correct the point names in the configuration or in the registry"
            )
        if self.points_suspect:
            suspects = [f"{each.point} reads {each.value!r}" for each in self.points_suspect]
            found.append(f"what cannot be is not used: {_listed(suspects)}")
        return found


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - POINTS_NAMED} more" if len(names) > POINTS_NAMED else ""
    return f"{', '.join(names[:POINTS_NAMED])}{more}"


@dataclass
class SiteHealth:
    """What is known to be wrong, and what was last shown: (status, sentence)."""

    config_error: str | None = None
    not_begun: str | None = None
    """Why the agent could not begin to work."""
    absent: tuple[str, ...] = ()
    """Agents that we cannot do without and that do not run."""
    driver_unready: str | None = None
    """Why the driver, where it reserves the devices itself, can neither reserve nor write."""
    shown: tuple[str, str] = ("", "")

    def update(
        self, site: SiteHealthCondition | None, since_start_sec: float
    ) -> tuple[str, str] | None:
        """The new status and sentence; None if they are what was last shown."""
        findings = [f"configuration: {self.config_error}"] if self.config_error else []
        findings += [self.not_begun] if self.not_begun else []
        findings += [f"{peer} is not running" for peer in self.absent]
        findings += [self.driver_unready] if self.driver_unready else []
        findings += [] if site is None else site.findings()
        if self._is_starting(site, since_start_sec):
            within = f"within {STARTING_SEC:g} s"
            current = (STATUS_STARTING, f"starting: meter and broker are there {within}")
        elif findings:
            current = (STATUS_BAD, "; ".join(findings))
        elif site is None:
            current = (STATUS_STARTING, "waiting for its configuration")
        else:
            current = (STATUS_GOOD, site.sentence())
        if current == self.shown:
            return None
        self.shown = current
        return current

    def _is_starting(self, site: SiteHealthCondition | None, since_start_sec: float) -> bool:
        """Whether all that is missing is what comes with a little patience."""
        if site is None or since_start_sec > STARTING_SEC or self.config_error or self.absent:
            return False
        if any(site.storage) or not (site.devices_unread or not site.link.online):
            return False
        return not site.points_missing
