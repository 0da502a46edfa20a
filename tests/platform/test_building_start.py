"""What is written right after a start, before the driver's entries are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult
from gevent.event import Event as GreenEvent

from tests.platform.site import ROOT, VEN
from VenAgent.config import AgentConfig
from VenAgent.dr.point_write import PointWrite
from VenAgent.site import building
from VenAgent.site.building import Building

MODEL = json.loads((ROOT / "MeterDriverConfigs" / "bacnet_panel" / "agent.json").read_text())
DEVICE = MODEL["panel"]["device"]
BATTERY = {
    "id": "battery1",
    "name": "Battery",
    "breaker_amps": 32,
    "control": "power",
    "power_point": "battery_kw",
    "power_setpoint_point": "battery_setpoint",
    "max_discharge_kw": 5,
    "capacity_kwh": 13.5,
    "soc_point": "battery_soc",
    "mode_point": "battery_mode",
}
CONFIG = AgentConfig.load({**MODEL, "circuits": [*MODEL["circuits"], BATTERY]}, {})
ENTRY = {
    "driver_type": "bacnet",
    "driver_config": {"device_address": "10.0.0.9"},
    "registry_config": "config://a.csv",
}
REGISTRY = """Volttron Point Name,BACnet Object Type,Index,Write Priority
heater1_contactor,binaryOutput,1,10
"""


class SlowStore:
    """All agents of a platform whose config store answers once `answers` is set."""

    def __init__(self) -> None:
        self.answers = GreenEvent()
        self.writes: list[tuple[str, str]] = []
        self.vip = SimpleNamespace(rpc=self, pubsub=self)
        signal = SimpleNamespace(connect=lambda listener: None)
        self.core = SimpleNamespace(identity=VEN, onviperror=signal)

    def subscribe(self, **_kwargs: Any) -> AsyncResult:
        return self._answer(None)

    unsubscribe = subscribe

    def call(self, peer: str, method: str, *args: Any) -> AsyncResult:
        if method == "get_config":
            stored = json.dumps(ENTRY) if args[1].startswith("devices/") else REGISTRY
            answer = AsyncResult()
            gevent.spawn(lambda: self.answers.wait() and answer.set(stored))
            return answer
        if method == "set_multiple_points":
            self.writes += [("value", topic.rpartition("/")[2]) for topic, _ in args[1]]
        if method in ("set_point", "revert_point"):
            kind = "null" if method == "revert_point" else "value"
            self.writes.append((kind, args[1].rpartition("/")[2]))
        if method == "read_properties":
            return self._answer(dict.fromkeys(args[1], [None] * 16))
        return self._answer(args[2] if method == "set_point" else {})

    def _answer(self, value: Any) -> AsyncResult:
        answer = AsyncResult()
        answer.set(value)
        return answer


def on_site(site: SlowStore, work: Callable[[Building], Any]) -> Any:
    """`work` began before the store answers, and what it gave."""
    house = Building(site, CONFIG, lambda reading: None)
    house.start()
    try:
        begun = gevent.spawn(work, house)
        gevent.sleep(0.0)
        gevent.sleep(0.0)
        site.answers.set()
        return begun.get(timeout=30.0)
    finally:
        house.stop()


def test_what_goes_back_before_the_drivers_entries_are_read_goes_back_as_they_say() -> None:
    """An event that ended while the agent was away left our values at priority 10 for ever."""
    site = SlowStore()
    point = f"{DEVICE}/battery_setpoint"
    back = PointWrite("battery1", point, 0.0, relinquish=True)
    assert on_site(site, lambda house: house.actuator.put_back([back])) == {}
    assert site.writes == [("null", "battery_mode"), ("null", "battery_setpoint")]


@pytest.mark.parametrize("reads", ["plan_reading", "fresh_reading"])
def test_what_is_planned_before_the_drivers_entries_are_read_is_to_be_relinquished(
    reads: str,
) -> None:
    read = on_site(SlowStore(), lambda house: getattr(house.meter, reads)())
    assert read.circuit("heater1").relinquish


def test_a_store_that_does_not_answer_holds_nothing_up_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(building, "ENTRIES_WITHIN_SEC", 0.01)
    site = SlowStore()
    house = Building(site, CONFIG, lambda reading: None)
    house.start()
    write = PointWrite("heater1", f"{DEVICE}/heater1_contactor", value=False)
    try:
        assert gevent.spawn(house.actuator.write, [write]).get(timeout=30.0) == {}
    finally:
        house.stop()
    assert site.writes == [("value", "heater1_contactor")]
