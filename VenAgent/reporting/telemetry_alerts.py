"""What a person should know of a telemetry: no readings, or a current beyond its rating."""

from __future__ import annotations

from VenAgent.contract.telemetry import (
    Telemetry,
    TelemetryQuality,
)


def telemetry_alert_meter_fault(
    quality: TelemetryQuality, up_sec: float, patience_sec: float
) -> str | None:
    """What a person should know of the meter's readings; None when they are good, or when none
    can be there yet: the agent has been up for `up_sec`, less than `patience_sec`."""
    is_good = quality is TelemetryQuality.GOOD
    if is_good or (quality is TelemetryQuality.MISSING and up_sec < patience_sec):
        return None
    return f"the meter's readings are {quality.value}"


def telemetry_alert_over_current(telemetry: Telemetry) -> str | None:
    """What draws more than it is rated for; None when nothing does."""
    found = []
    amps, rating = telemetry.current_amps, telemetry.panel_amperage_rating
    if amps is not None and amps > rating:
        found.append(f"the panel draws {amps:.0f} A of {rating:.0f} A")
    found += [
        f"{circuit.name} draws {circuit.current_amps:.0f} A of {circuit.breaker_amps:.0f} A"
        for circuit in telemetry.circuits
        if circuit.current_amps is not None and circuit.current_amps > circuit.breaker_amps
    ]
    return "; ".join(found) or None
