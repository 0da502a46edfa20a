"""Phases, poles and voltages: what a breaker carries, and what a limit in amps means."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.builders import load
from tests.support.each_case import each_case
from VenAgent.config import ConfigError
from VenAgent.contract.telemetry import TelemetryQuality
from VenAgent.dr.engine import Engine
from VenAgent.dr.panel import PanelCircuitReading, PanelReading
from VenAgent.reporting import telemetry_builder as report
from VenAgent.reporting.telemetry_alerts import (
    telemetry_alert_over_current,
)

CHARGER: dict[str, Any] = {
    "id": "ev",
    "name": "Charger",
    "breaker_amps": 16,
    "control": "limit",
    "power_point": "ev_kw",
    "limit_point": "ev_amps",
    "limit_unit": "amps",
}


def site(panel: dict[str, Any], **circuit: Any) -> dict[str, Any]:
    return {
        "ven_id": "site-1",
        "panel": {"device": "site/panel", **panel},
        "circuits": [{**CHARGER, **circuit}],
    }


LINES = {"phases": 3, "voltage": 400}
NEUTRAL = {"phases": 3, "voltage": 230, "voltage_between": "line_and_neutral"}


@each_case("panel", [LINES, NEUTRAL])
@each_case(("poles", "kw"), [(1, 3.69), (2, 6.4), (3, 11.08)])
def test_a_breaker_on_three_phases_carries_what_its_poles_make(
    panel: dict[str, Any], poles: int, kw: float
) -> None:
    (circuit,) = load(site(panel, poles=poles)).build_panel().circuits
    assert circuit.rating_kw == pytest.approx(kw, rel=0.01)
    assert circuit.limit is not None
    assert circuit.limit.kw_of(16.0) == pytest.approx(kw, rel=0.01)


def test_a_charger_of_11_kw_is_lowered_to_what_is_asked() -> None:
    """On 230 V taken for one phase it was never shed; on 400 V it went from 16 to 15 A."""
    (circuit,) = load(site(LINES, poles=3)).build_panel().circuits
    assert circuit.limit is not None
    assert circuit.limit.value_at(11.0) == 16.0
    assert circuit.limit.value_at(6.0) == 9.0


@each_case(("kw", "amps"), [(0.0, 0.0), (1.0, 0.0), (2.9, 6.0), (4.2, 6.0)])
def test_a_charger_is_never_told_one_to_five_amps(kw: float, amps: float) -> None:
    (circuit,) = load(site(LINES, poles=3)).build_panel().circuits
    assert circuit.limit is not None
    assert circuit.limit.value_at(kw) == amps


def test_a_charger_that_must_go_on_gets_at_least_what_it_takes() -> None:
    (circuit,) = load(site(LINES, poles=3)).build_panel().circuits
    assert circuit.limit is not None
    assert circuit.limit.value_at(1.0, lowest_kw=0.5) == 6.0


def test_a_service_of_three_times_63_amps_takes_events_of_20_kw() -> None:
    config = load(site({**LINES, "amperage": 63}, poles=3))
    assert config.build_panel().max_kw == pytest.approx(43.6, rel=0.01)
    assert config.command_limits().max_shed_kw == pytest.approx(43.6, rel=0.01)


def test_on_three_phases_the_poles_must_be_said() -> None:
    with pytest.raises(ConfigError, match="give its poles"):
        load(site(LINES))


def test_amps_are_those_of_the_circuits_own_voltage() -> None:
    """24 A on a 20 A circuit of 120 V were shown as 12 A."""
    config = load(site({"voltage": 240}, breaker_amps=20, voltage=120))
    engine = Engine(config.build_panel(), "site-1")
    reading = PanelReading(100.0, 2.88, {"ev": PanelCircuitReading(power_kw=2.88)})
    telemetry = report.build_telemetry(engine, reading, TelemetryQuality.GOOD, seq=1, now=100.0)
    assert telemetry.circuits[0].current_amps == pytest.approx(24.0)
    assert telemetry.current_amps == pytest.approx(12.0)
    assert "Charger draws 24 A of 20 A" in str(telemetry_alert_over_current(telemetry))


def test_amps_on_three_phases_are_those_of_one_line() -> None:
    config = load(site(LINES, poles=3))
    engine = Engine(config.build_panel(), "site-1")
    reading = PanelReading(100.0, 11.08, {"ev": PanelCircuitReading(power_kw=11.08)}, voltage=400.0)
    telemetry = report.build_telemetry(engine, reading, TelemetryQuality.GOOD, seq=1, now=100.0)
    assert telemetry.circuits[0].current_amps == pytest.approx(16.0, rel=0.01)
    assert telemetry.current_amps == pytest.approx(16.0, rel=0.01)


def test_a_load_without_meter_and_without_nominal_power_is_refused() -> None:
    contents = site({}, control="switch", switch_point="on")
    del contents["circuits"][0]["power_point"]
    with pytest.raises(ConfigError, match=r"circuits\[0\]: power_point is missing: .* nominal_kw"):
        load(contents)
