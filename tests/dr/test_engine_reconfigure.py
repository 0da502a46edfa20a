"""The event engine: a configuration that changes."""

from __future__ import annotations

from dataclasses import replace

from tests.dr.builders import VEN_ID, house_panel, limit, panel_of, switch
from tests.dr.house import House, send_event


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
