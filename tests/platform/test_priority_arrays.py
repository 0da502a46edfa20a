"""What our slot of a BACnet output holds, and what of its objects has no slots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gevent
import pytest
from gevent.event import Event as GreenEvent

from tests.platform.site import ROOT
from VenAgent.config import AgentConfig
from VenAgent.config.driver_entry import BacnetDriverEntry, DriverEntry
from VenAgent.dr.point_write import PointWrite
from VenAgent.site.control_writes import ControlWrites
from VenAgent.site.device_requests import DeviceRequests
from VenAgent.site.meter import Meter
from VenAgent.site.priority_arrays import PriorityArrays
from VenAgent.volttron_compat import RemoteError

MODEL = json.loads((ROOT / "MeterDriverConfigs" / "bacnet_panel" / "agent.json").read_text())
DEVICE = MODEL["panel"]["device"]
OBJECTS = {
    "heater1_contactor": BacnetDriverEntry("binaryOutput", 1, 10),
    "ev1_limit": BacnetDriverEntry("analogOutput", 2, 9),
    "dryer1_contactor": BacnetDriverEntry("binaryValue", 3),
}
DRIVERS = {DEVICE: DriverEntry("bacnet", 5.0, None, "a.csv", "10.0.0.9", objects=OBJECTS)}
NOTHING = [None] * 16


class Proxy:
    """Reads arrays; of `at_most` objects in one request, if its device can do no more."""

    def __init__(self, arrays: Mapping[str, Any] | None, at_most: int = 100) -> None:
        self.arrays = arrays
        self._at_most = at_most
        self.asked: list[int] = []

    def call(self, peer: str, method: str, *args: Any) -> Proxy:
        if method in ("scrape_all", "health.get_status"):
            return Proxy({})
        assert (peer, method, args[0]) == ("platform.bacnet_proxy", "read_properties", "10.0.0.9")
        self._points, at_once = args[1], args[2]
        self.asked.append(at_once)
        return self

    def get(self, timeout: float) -> Any:
        if self.arrays is None:
            raise gevent.Timeout(timeout)
        if self.asked and self.asked[-1] > self._at_most:
            text = "Device communication aborted: segmentationNotSupported"
            raise RemoteError(text, exc_type="RuntimeError", exc_args=[text])
        return self.arrays


def arrays_of(proxy: Proxy, **of_each: Any) -> PriorityArrays:
    circuits = [{**circuit, **of_each} for circuit in MODEL["circuits"]]
    config = AgentConfig.load({**MODEL, "circuits": circuits}, {})
    arrays = PriorityArrays(DeviceRequests(proxy, config), config)
    arrays.know_drivers(DRIVERS)
    return arrays


def held_at(priority: int, value: Any) -> list[Any]:
    return [*NOTHING[: priority - 1], value, *NOTHING[priority:]]


def test_what_our_slot_holds_is_known_by_circuit() -> None:
    proxy = Proxy(
        {
            "heater1_contactor": held_at(10, "active"),
            "ev1_limit": held_at(9, 40.0),
            "dryer1_contactor": held_at(16, 0),
        }
    )
    arrays = arrays_of(proxy)
    assert arrays.read_slots() == {"heater1": True, "ev1": 40.0, "dryer1": False}
    assert arrays.uncommandable == frozenset()
    proxy.arrays = {
        "heater1_contactor": held_at(8, "inactive"),
        "ev1_limit": NOTHING,
        "dryer1_contactor": held_at(15, 1),
    }
    assert arrays.read_slots() == {}, "a person's 8, and another's 15, are no slots of ours"


def test_what_our_slot_holds_counts_in_the_objects_unit() -> None:
    """A setpoint in tenths, 215, was given back as 2150."""
    (limited,) = (each for each in MODEL["circuits"] if each["id"] == "ev1")
    quirks = [{"device": DEVICE, "scale_points": {limited["limit_point"]: 0.1}}]
    config = AgentConfig.load({**MODEL, "quirks": quirks}, {})
    proxy = Proxy({"ev1_limit": held_at(9, 215)})
    meter = Meter(None, DeviceRequests(proxy, config), config, lambda reading: None)
    meter.know_drivers(DRIVERS)
    read = meter.plan_reading().circuit("ev1")
    assert (read.slot, read.register_unit) == (21.5, 0.1)
    (write,) = ControlWrites(config, {}, meter.unit_of).at_devices(
        [PointWrite("ev1", f"{DEVICE}/ev1_limit", 21.5, register_unit=0.1)]
    )
    assert write.value == 215.0
    assert meter.is_commandable(f"{DEVICE}/ev1_limit")
    assert not meter.is_commandable(f"{DEVICE}/heater1_contactor"), "not among the answers"


def test_an_object_without_slots_gets_what_it_held_before() -> None:
    """Many analog and binary values: a null is refused, and the event could not be given back."""
    proxy = Proxy({"heater1_contactor": NOTHING, "ev1_limit": NOTHING})
    arrays = arrays_of(proxy)
    assert arrays.read_slots() == {}
    assert arrays.uncommandable == {f"{DEVICE}/dryer1_contactor"}
    proxy.arrays = None
    assert arrays.read_slots() == {}
    assert arrays.uncommandable == {f"{DEVICE}/dryer1_contactor"}, "stays known"
    proxy.arrays = {"heater1_contactor": NOTHING, "ev1_limit": None, "dryer1_contactor": NOTHING}
    arrays.read_slots()
    assert arrays.uncommandable == {f"{DEVICE}/ev1_limit"}


@pytest.mark.parametrize("without", ["ev1_limit", "ev1_run"])
def test_a_contactor_beside_a_limit_is_given_back_by_its_own_object(without: str) -> None:
    """A null where it takes none left the load off, a value in our slot kept the building out."""
    circuits = [
        {**circuit, "switch_point": "ev1_run"} if circuit["id"] == "ev1" else circuit
        for circuit in MODEL["circuits"]
    ]
    config = AgentConfig.load({**MODEL, "circuits": circuits}, {})
    objects = {**OBJECTS, "ev1_run": BacnetDriverEntry("binaryOutput", 7, 10)}
    proxy = Proxy({name: NOTHING for name in objects if name != without})
    meter = Meter(None, DeviceRequests(proxy, config), config, lambda reading: None)
    meter.know_drivers({DEVICE: replace(DRIVERS[DEVICE], objects=objects)})
    read = meter.plan_reading().circuit("ev1")
    assert read.relinquish is (without != "ev1_limit")
    assert read.relinquish_switch is (without != "ev1_run")


def test_a_device_of_short_answers_is_asked_for_one_after_the_other() -> None:
    """On an MS/TP bus, behind a router: no segmentation, 480 bytes or fewer."""
    proxy = Proxy(
        {
            "heater1_contactor": held_at(10, "active"),
            "ev1_limit": NOTHING,
            "dryer1_contactor": NOTHING,
        },
        at_most=1,
    )
    arrays = arrays_of(proxy)
    assert arrays.read_slots() == {"heater1": True}
    assert proxy.asked[-1] == 1
    proxy.asked.clear()
    assert arrays.read_slots() == {"heater1": True}
    assert proxy.asked == [1], "and that is remembered"


@pytest.mark.parametrize("restore", ["previous", "default"])
def test_slots_are_not_read_where_they_are_not_given_back(restore: str) -> None:
    proxy = Proxy({"heater1_contactor": held_at(10, "active")})
    assert arrays_of(proxy, restore=restore).read_slots() == {}
    assert proxy.asked == []


def test_the_meter_says_what_can_be_given_back() -> None:
    config = AgentConfig.load(MODEL, {})
    proxy = Proxy({"heater1_contactor": held_at(10, "active"), "ev1_limit": NOTHING})
    meter = Meter(None, DeviceRequests(proxy, config), config, lambda reading: None)
    meter.know_drivers(DRIVERS)
    reading = meter.plan_reading()
    assert reading.circuit("heater1").slot is True
    assert reading.circuit("ev1").relinquish
    assert not reading.circuit("dryer1").relinquish
    assert not meter.reading(0.0).circuit("dryer1").relinquish, "nor does a switch by command"


@pytest.mark.parametrize("restore", ["default", "relinquish"])
def test_what_a_driver_would_revert_to_what_was_shed_gets_its_previous_value(restore: str) -> None:
    """A driver that restarts in an event takes what it reads then for the default of a point whose
    registry names none."""
    circuits = [{**circuit, "restore": restore} for circuit in MODEL["circuits"]]
    config = AgentConfig.load({**MODEL, "circuits": circuits}, {})
    proxy = Proxy({"heater1_contactor": NOTHING})
    meter = Meter(None, DeviceRequests(proxy, config), config, lambda reading: None)
    without = frozenset({"heater1_contactor"})
    meter.know_drivers({DEVICE: DriverEntry("modbus", 5.0, without_default=without)})
    for reading in (meter.reading(0.0), meter.plan_reading()):
        assert not reading.circuit("heater1").relinquish
        assert reading.circuit("dryer1").relinquish


def test_a_battery_that_nobody_commands_is_given_back_by_its_mode_without_a_default() -> None:
    battery = {
        "id": "battery1",
        "name": "Battery",
        "breaker_amps": 32,
        "control": "power",
        "power_point": "power_kw",
        "power_setpoint_point": "setpoint_kw",
        "mode_point": "remote",
        "max_discharge_kw": 5,
        "capacity_kwh": 13.5,
        "soc_point": "soc_percent",
    }
    contents = {"ven_id": "home", "panel": {"device": DEVICE}, "circuits": [battery]}
    config = AgentConfig.load(contents, {})
    meter = Meter(None, DeviceRequests(Proxy({}), config), config, lambda reading: None)
    without = frozenset({"setpoint_kw", "remote"})
    meter.know_drivers({DEVICE: DriverEntry("modbus", 5.0, without_default=without)})
    free = {"power_kw": 0.0, "setpoint_kw": 0.0, "remote": False, "soc_percent": 80.0}
    meter.points.update(DEVICE, free, 1.0)
    assert meter.reading(1.0).circuit("battery1").relinquish


def test_a_proxy_that_never_ends_holds_no_plan_up_for_ever() -> None:
    """Its slots are taken for empty after as long as all readings together may take."""

    class Endless(Proxy):
        def get(self, timeout: float) -> Any:
            if self.asked:
                GreenEvent().wait()
            return {}

    arrays = arrays_of(Endless(None))
    arrays._requests.together_sec = lambda devices: 0.01  # type: ignore[method-assign]
    began = gevent.spawn(arrays.read_slots)
    assert began.get(timeout=30.0) == {}
