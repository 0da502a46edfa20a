"""The event engine: a configuration that changes."""

from __future__ import annotations

from tests.dr.builders import VEN_ID, panel_of, switch
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
