"""The agent's health, in a sentence for the person who reads `vctl status` or VOLTTRON Central."""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.contract.telemetry import Quality
from VenAgent.site.meter import Meter
from VenAgent.ven import Ven
from VenAgent.volttron_api import STATUS_BAD, STATUS_GOOD, STATUS_STARTING

POINTS_NAMED = 4


@dataclass
class Vitals:
    """What is known to be wrong, and what was last shown: (status, sentence)."""

    config_error: str | None = None
    absent: tuple[str, ...] = ()
    """Agents that we cannot do without and that do not run."""
    shown: tuple[str, str] = ("", "")

    def look(self, ven: Ven | None, now: float) -> tuple[str, str] | None:
        """The new status and sentence; None if they are what was last shown."""
        findings = [f"configuration: {self.config_error}"] if self.config_error else []
        findings += [f"{peer} is not running" for peer in self.absent]
        if ven is not None:
            findings += _findings(ven, now)
        if findings:
            current = (STATUS_BAD, "; ".join(findings))
        elif ven is None:
            current = (STATUS_STARTING, "waiting for its configuration")
        else:
            current = (STATUS_GOOD, _all_is_well(ven))
        if current == self.shown:
            return None
        self.shown = current
        return current


def _all_is_well(ven: Ven) -> str:
    event, broker = ven.engine.running, ven.config.broker
    doing = f"event {event.event_id} is {event.state.value}" if event else "no event"
    return f"connected to {broker.host}:{broker.port}, meter live, {doing}"


def _findings(ven: Ven, now: float) -> list[str]:
    """Everything that a person should see to."""
    findings = [ven.journal_damage] if ven.journal_damage else []
    if ven.performer.storage_failure:
        findings.append(ven.performer.storage_failure)
    if not ven.link.state.online:
        findings.append(f"MQTT: {ven.link.state.why}")
    findings += _meter_findings(ven.meter, now)
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
