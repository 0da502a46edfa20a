"""The event engine: a configuration that changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.builders import VEN_ID, house_panel, limit, panel_of, switch
from tests.dr.house import House, send_event
from tests.support.each_case import each_case
from VenAgent.dr.panel import PanelCircuitControl, PanelReading
from VenAgent.dr.point_write import PointWrite


def test_a_running_event_ends_as_it_began_though_the_panel_was_changed(house: House) -> None:
    before = house.setting
    send_event(house)
    smaller = panel_of(switch("range1", 40.0))
    house.engine.reconfigure(smaller, VEN_ID)
    house.wait(700.0)
    assert house.setting == before


def test_later_events_see_the_changed_panel_and_name(house: House) -> None:
    house.engine.reconfigure(panel_of(switch("range1", 40.0)), "site-2")
    send_event(house, 9.0)
    assert house.opened() == {"range1"}
    assert {ack["venId"] for ack in house.acks} == {"site-2"}


def test_a_switch_that_has_become_a_limit_is_never_written_as_one(house: House) -> None:
    before = house.setting
    send_event(house, 7.5)
    changed = tuple(
        limit(c.id, c.breaker_amps, priority=c.priority) if c.id in house.opened() else c
        for c in house.panel.circuits
    )
    house.reconfigure(replace(house.panel, circuits=changed))
    for number, shed_kw in enumerate((5.0, 12.0, 3.0), 1):
        send_event(house, shed_kw, modification=number, correlationId=f"m{number}")
        house.wait(30.0)
    for write in house.written:
        assert isinstance(write.value, bool) or write.point.endswith("_limit")
    house.wait(700.0)
    assert house.setting == before


def test_a_circuit_taken_out_of_the_configuration_goes_back_with_the_right_polarity() -> None:
    panel = house_panel()
    circuits = tuple(replace(c, inverted=c.id == "heater1") for c in panel.circuits)
    house = House(replace(panel, circuits=circuits))
    send_event(house, 4.5)
    assert house.opened() == {"heater1"}
    house.reconfigure(panel_of(switch("range1", 40.0)))
    house.restart()
    house.send("restore", correlationId="r1")
    assert not house.opened()
    assert all(write.inverted for write in house.written if write.circuit_id == "heater1")


class CountedHouse(House):
    """One unit of its registers is `true` percent, and the configuration takes it for `unit`."""

    def __init__(self, true: float, unit: float) -> None:
        self.true, self.unit = true, unit
        super().__init__(panel_of(limit("car1", 50.0, priority=5)), {"car1": 7.2})

    def read(self) -> PanelReading:
        reading = super().read()
        counted = {
            name: replace(one, limit=self.limits[name] / self.true * self.unit)
            for name, one in reading.circuits.items()
        }
        circuits = {n: replace(one, register_unit=self.unit) for n, one in counted.items()}
        return replace(reading, circuits=circuits)

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        raw = [(write, write.register_unit or self.unit) for write in writes]
        percent = (replace(w, value=float(w.value) / unit * self.true) for w, unit in raw)
        return super()._write(tuple(percent))


@pytest.mark.long
@each_case("how", ["edited", "edited while restoring", "edited while it was down"])
@each_case(
    ("true", "first", "then"), [(0.01, 0.1, 0.01), (0.1, 0.05, 0.1), (0.1, 1.0, 0.1), (1, 1, 0.1)]
)
def test_a_registers_unit_that_is_corrected_in_mid_event_leaves_what_stood_there(
    true: float, first: float, then: float, how: str
) -> None:
    """Ten times of it was written back."""
    house = CountedHouse(true, first)
    house.wait(300.0)
    send_event(house, 4.0, duration_sec=300)
    house.wait(60.0)
    assert house.limits["car1"] < 100.0
    house.unit = then
    if how == "edited while it was down":
        house.restart()
    else:
        house.reconfigure(house.panel)
    if how == "edited while restoring":
        house.send("restore", correlationId="r1")
    house.wait(600.0)
    assert house.limits == {"car1": 100.0}
    assert "restore.failed" not in house.alerted


@pytest.mark.long
@each_case("asked", ["limit", "event"])
@each_case("edit", ["critical", "control none", "floor"])
def test_a_circuit_that_may_not_be_shed_any_more_goes_back_at_once(asked: str, edit: str) -> None:
    """Someone sees the cold freezer and edits it: under a limit it stayed off for ever."""
    house = House()
    house.wait(300.0)
    if asked == "limit":
        house.send("limit", event_id="l1", correlationId="l1", import_kw=15.0)
    else:
        send_event(house, 7.5, duration_sec=36_000)
    house.wait(60.0)
    shed = house.opened()
    assert shed
    edits = {
        "critical": {"critical": True, "priority": 1},
        "control none": {"control": PanelCircuitControl.NONE},
        "floor": {"floor": 1.0},
    }
    circuits = (replace(c, **edits[edit]) if c.id in shed else c for c in house.panel.circuits)
    house.reconfigure(replace(house.panel, circuits=tuple(circuits)))
    house.wait(30.0)
    assert not house.opened() & shed
    assert "comfort.guard" not in house.alerted
    house.wait(600.0)
    assert not house.opened() & shed, "nor is it shed again"
