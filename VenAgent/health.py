"""The agent's health, in a sentence for the person who reads `vctl status` or VOLTTRON Central."""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.cloud.link import Link
from VenAgent.config import AgentConfig
from VenAgent.contract.telemetry import Quality
from VenAgent.dr.engine import Engine
from VenAgent.site.meter import Meter
from VenAgent.volttron_api import STATUS_BAD, STATUS_GOOD, STATUS_STARTING

POINTS_NAMED = 4


@dataclass
class Vitals:
    """What is known to be wrong, and what was last shown: (status, sentence)."""

    config_error: str | None = None
    journal_damage: str | None = None
    shown: tuple[str, str] = (STATUS_STARTING, "starting")

    def look(
        self,
        config: AgentConfig | None,
        link: Link | None,
        meter: Meter | None,
        engine: Engine | None,
        now: float,
    ) -> tuple[str, str] | None:
        """The new status and sentence; None if they are what was last shown."""
        findings = [f"configuration: {self.config_error}"] if self.config_error else []
        if self.journal_damage:
            findings.append(self.journal_damage)
        if config is not None and link is not None and meter is not None and engine is not None:
            findings += _findings(link, meter, engine, now)
        if findings:
            current = (STATUS_BAD, "; ".join(findings))
        elif config is None or engine is None:
            current = (STATUS_STARTING, "waiting for its configuration")
        else:
            event = engine.running
            doing = f"event {event.event_id} is {event.state.value}" if event else "no event"
            broker = f"{config.broker.host}:{config.broker.port}"
            current = (STATUS_GOOD, f"connected to {broker}, meter live, {doing}")
        if current == self.shown:
            return None
        self.shown = current
        return current


def _findings(link: Link, meter: Meter, engine: Engine, now: float) -> list[str]:
    """Everything that a person should see to."""
    findings = []
    if not link.state.online:
        findings.append(f"MQTT: {link.state.why}")
    quality = meter.points.quality(now)
    if quality is Quality.MISSING:
        why = f" ({meter.failure})" if meter.failure else ""
        findings.append(f"the meter has not been read yet{why}: is the platform driver running?")
    elif quality is Quality.STALE:
        findings.append(f"the last reading is {meter.points.age_sec(now):.0f} s old")
    lacking = meter.points.missing()
    if lacking:
        more = f" and {len(lacking) - POINTS_NAMED} more" if len(lacking) > POINTS_NAMED else ""
        findings.append(
            f"the driver does not publish {', '.join(lacking[:POINTS_NAMED])}{more}: "
            f"correct the point names in the configuration or the registry"
        )
    trouble = engine.trouble()
    if trouble:
        findings.append(trouble)
    return findings
