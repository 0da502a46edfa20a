"""The site's figures in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from VenAgent.web.page_source import Json

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STATUS = (
    ("power_kw", "Power drawn by the site now, kW."),
    ("baseline_kw", "Baseline of the running event, or of one beginning now, kW."),
    ("target_kw", "Power that the running event aims at, kW."),
    ("shed_kw", "Power shed now, kW: baseline - power while an event runs."),
    ("utilization_percent", "Current drawn, in percent of the panel's rating."),
    ("battery_soc_percent", "State of charge of the battery, percent."),
    ("meter_age_sec", "Age of the oldest reading in use, seconds."),
)
_EVENT = (
    ("requested_kw", "Reduction that the running event asks for, kW."),
    ("predicted_kw", "Reduction that its confirmed writes should give, kW."),
    ("measured_kw", "Reduction that the settled meter showed, kW."),
)


def prometheus_metrics(status: Json, circuits: Sequence[Json], alerts: Json) -> bytes:
    """All metrics; what was not read has no sample."""
    event, cloud = status["event"] or {}, status["cloud"]
    lines: list[str] = []
    _metric(lines, "up", "Whether the agent is healthy.", float(status["health"] == "GOOD"))
    for name, text in _STATUS:
        _metric(lines, name, text, status[name])
    _metric(lines, "event_running", "Whether an event runs.", float(status["event"] is not None))
    for name, text in _EVENT:
        _metric(lines, f"event_{name}", text, event.get(name))
    _metric(lines, "broker_connected", "Whether the broker is reached.", float(cloud["online"]))
    _metric(lines, "outbox_depth", "Messages that wait for the broker.", cloud["outbox_depth"])
    _metric(
        lines,
        "commands_dropped_total",
        "Commands dropped while too many waited; the broker delivers them again.",
        cloud["commands_dropped"],
        kind="counter",
    )
    _metric(
        lines,
        "certificate_expiry_timestamp_seconds",
        "When the client certificate ends.",
        cloud["certificate_expiry_ts"],
    )
    _metric(lines, "alerts_active", "Alerts that are not over.", float(len(alerts["active"])))
    _circuits(lines, circuits)
    return ("\n".join(lines) + "\n").encode()


def _circuits(lines: list[str], circuits: Sequence[Json]) -> None:
    powers = ((circuit, circuit["power_kw"]) for circuit in circuits)
    _labelled(lines, "circuit_power_kw", "Power drawn by a circuit, kW.", powers)
    switches = ((c, None if c["enabled"] is None else float(bool(c["enabled"]))) for c in circuits)
    _labelled(lines, "circuit_enabled", "Whether a circuit's contactor is closed.", switches)
    shed = ((c, (c["shed"] or {}).get("shed_kw", 0.0)) for c in circuits)
    _labelled(lines, "circuit_shed_kw", "Predicted reduction of a circuit, kW.", shed)


def _metric(
    lines: list[str], name: str, text: str, value: float | None, kind: str = "gauge"
) -> None:
    if value is not None:
        lines += [*_head(name, text, kind), f"venagent_{name} {float(value)!r}"]


def _labelled(
    lines: list[str], name: str, text: str, values: Iterable[tuple[Json, float | None]]
) -> None:
    lines += _head(name, text, "gauge")
    for circuit, value in values:
        if value is not None:
            labels = f'circuit="{_escaped(circuit["id"])}",name="{_escaped(circuit["name"])}"'
            lines.append(f"venagent_{name}{{{labels}}} {float(value)!r}")


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP venagent_{name} {text}", f"# TYPE venagent_{name} {kind}"]


def _escaped(value: Any) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
