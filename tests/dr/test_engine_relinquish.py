"""What is given back is given back to whoever had it: a priority array with a BMS at 16."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dr.flexible_house import FlexibleHouse, shop_panel, thermostat
from tests.dr.house import House, send_event
from VenAgent.dr.panel import PanelReading
from VenAgent.dr.point_write import PointWrite


class BacnetHouse(House):
    """Every contactor is a commandable object: we write at 8, the BMS at 16."""

    def __init__(self) -> None:
        super().__init__()
        self.bms = dict(self.closed)
        self.slots: dict[str, bool] = {}
        """What stands at our priority."""
        self.above: dict[str, bool] = {}
        """What someone commands at a priority above ours."""

    def read(self) -> PanelReading:
        self.closed |= self.above
        reading = super().read()
        circuits = {
            name: replace(
                read,
                relinquish=read.limit is None,
                relinquish_switch=read.limit is None,
                has_slot=read.limit is None,
                slot=self.slots.get(name),
            )
            for name, read in reading.circuits.items()
        }
        return replace(reading, circuits=circuits)

    def _write(self, writes: tuple[PointWrite, ...]) -> dict[str, str]:
        failures = super()._write(tuple(write for write in writes if not write.relinquish))
        for write in writes:
            if (
                write.circuit_id in failures
                or write.point != self.panel.by_id[write.circuit_id].switch_point
            ):
                continue
            if not write.relinquish:
                assert isinstance(write.value, bool)
                self.slots[write.circuit_id] = write.value
            elif write.circuit_id in self.broken:
                failures[write.circuit_id] = "no answer from the device"
            else:
                self.written.append(write)
                self.slots.pop(write.circuit_id, None)
                self.closed[write.circuit_id] = self.bms[write.circuit_id]
        return failures

    def command_bms(self, circuit_id: str, *, closed: bool) -> None:
        self.bms[circuit_id] = closed
        if circuit_id not in self.slots:
            self.closed[circuit_id] = closed


@pytest.fixture
def house() -> BacnetHouse:
    house = BacnetHouse()
    house.wait(120.0)
    return house


def test_after_an_event_nothing_stands_at_our_priority(house: BacnetHouse) -> None:
    house.send("event", shed_kw=4.5, duration_sec=600, event_id="e1")
    assert house.slots == {"heater1": False}
    house.wait_until_over()
    assert house.slots == {}
    assert house.closed["heater1"] is True


def test_a_bms_that_changes_its_mind_meanwhile_has_its_way_after(house: BacnetHouse) -> None:
    house.send("event", shed_kw=4.5, duration_sec=600, event_id="e1")
    house.command_bms("heater1", closed=False)
    house.wait_until_over()
    assert house.slots == {}
    assert house.closed["heater1"] is False, "the building's schedule wants it off"
    assert house.alerts == {}
    house.command_bms("heater1", closed=True)
    assert house.closed["heater1"] is True


def test_what_stood_at_our_priority_before_is_written_back(house: BacnetHouse) -> None:
    house.slots["heater1"] = True
    house.send("event", shed_kw=4.5, duration_sec=600, event_id="e1")
    assert house.slots == {"heater1": False}
    house.wait_until_over()
    assert house.slots == {"heater1": True}


def test_a_person_s_off_is_held_and_on_gives_the_output_back(house: BacnetHouse) -> None:
    """The value of a setLoad stood in our slot for ever."""
    house.send("setLoad", loadId="heater1", enabled=False, correlationId="s1")
    assert house.slots == {"heater1": False}
    house.command_bms("heater1", closed=True)
    assert house.closed["heater1"] is False, "a person's off is held"
    house.wait(10.0)
    house.send("setLoad", loadId="heater1", enabled=True, correlationId="s2")
    assert house.slots == {}
    assert house.closed["heater1"] is True
    assert house.replies_to("s2") == ["success"]
    house.command_bms("heater1", closed=False)
    assert house.closed["heater1"] is False, "the building's schedule rules again"


def test_after_a_kill_in_mid_event_it_is_relinquished_too(house: BacnetHouse) -> None:
    house.send("event", shed_kw=4.5, duration_sec=600, event_id="e1")
    house.restart()
    house.wait_until_over()
    assert house.slots == {}


def test_a_relinquish_that_fails_is_tried_again(house: BacnetHouse) -> None:
    house.send("event", shed_kw=4.5, duration_sec=60, event_id="e1")
    house.broken.add("heater1")
    house.wait(90.0)
    assert house.slots == {"heater1": False}
    assert ("restore.failed", "heater1") in house.alerts
    house.broken.clear()
    house.wait(900.0)
    assert house.slots == {}
    assert house.alerts == {}


def test_what_others_command_above_us_leaves_nothing_of_ours_below_them(house: BacnetHouse) -> None:
    """It was theirs, so that nothing was given back: once they let go, our value ruled for ever."""
    house.send("event", shed_kw=4.5, duration_sec=600, event_id="e1")
    house.above["heater1"] = True
    house.wait(60.0)
    assert ("circuit.manual_override", "heater1") in house.alerts
    assert house.slots["heater1"] is False
    house.wait_until_over()
    assert house.slots == {}
    assert house.alerts == {}
    del house.above["heater1"]
    house.command_bms("heater1", closed=False)
    assert house.closed["heater1"] is False, "the building's schedule rules"


def test_under_a_limit_our_own_slot_is_not_taken_for_someone_s(house: BacnetHouse) -> None:
    house.send("limit", import_kw=18.0, event_id="grid", correlationId="grid")
    (name,) = house.slots
    house.above[name] = True
    house.wait(2.0 * 3_600.0)
    house.send("cancel", event_id="grid", correlationId="c")
    house.wait(120.0)
    assert house.slots == {}


def test_an_output_that_was_not_reached_is_tried_again_whatever_its_schedule_does() -> None:
    """What its point reads was the schedule's by then, and no more what it was before."""
    powers_kw = {"rtu1": 4.0, "range1": 2.4, "outlets1": 1.2, "fridge1": 0.2}
    house = FlexibleHouse(shop_panel(thermostat("rtu1")), powers_kw, {"rtu1": 2.0})
    house.is_bacnet = True
    house.wait(120.0)
    house.broken = {"rtu1"}
    send_event(house, 5.6, duration_sec=3_600.0)
    house.wait(30.0)
    assert house.limits["rtu1"] == 22.0
    house.broken = set()
    house.own["rtu1"] = house.limits["rtu1"] = 21.0
    house.wait(240.0)
    assert house.limits["rtu1"] == 23.0
    house.wait_until_over()
    assert house.limits["rtu1"] == 21.0


def test_a_release_whose_answer_got_lost_is_one_and_its_slot_is_given_back(
    house: BacnetHouse,
) -> None:
    """That its output is closed again is no proof: someone may command it above us."""
    send_event(house, 7.5, duration_sec=1_800.0)
    house.wait(60.0)
    assert house.slots == {"heater1": False, "dryer1": False}
    house.broken = {"dryer1"}
    send_event(house, 4.5, duration_sec=1_800.0, modification=1, correlationId="m1")
    house.above = {"dryer1": True}
    house.wait(1.0)
    house.broken = set()
    house.wait(60.0)
    assert house.slots == {"heater1": False}
    assert house.alerts == {}
    assert house.engine.trouble() is None
    house.above = {}
    house.wait(1_900.0)
    assert house.slots == {}
