"""What the driver's own configuration says, and the slot of a BACnet output that we write to."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest

from tests.platform.site import ROOT
from VenAgent.config.driver_entry import (
    BacnetDriverEntry,
    DriverEntry,
    bacnet_driver_entries,
    driver_entry_points_without_default,
)
from VenAgent.site.driver_entries import driver_entries
from VenAgent.site.priority_arrays import priority_array_slot

COLUMNS = "Volttron Point Name,BACnet Object Type,Index,Write Priority"
MODELS = ROOT / "MeterDriverConfigs"


def entry_of(model: str) -> DriverEntry:
    return DriverEntry.of(json.loads((MODELS / model / "driver.json").read_text()))


def test_a_modbus_device_is_behind_its_host_and_port() -> None:
    assert entry_of("eastron_sdm630").driver_type.startswith("modbus")
    gateway = entry_of("eastron_sdm630").gateway
    assert gateway is not None
    assert gateway.endswith(":502")


def test_one_gateway_is_one_however_its_entries_spell_it() -> None:
    spellings: list[dict[str, Any]] = [
        {"device_address": "Gateway.local", "port": 502},
        {"device_address": "gateway.local"},
        {"device_address": " gateway.local.", "port": None},
        {"device_address": "GATEWAY.LOCAL", "port": "502"},
        {"device_address": "gateway.local", "port": 502.0},
    ]
    for driver_type in ("modbus", "modbus_tk"):
        entries = [
            DriverEntry.of({"driver_type": driver_type, "driver_config": each})
            for each in spellings
        ]
        assert {entry.gateway for entry in entries} == {"gateway.local:502"}
    serial = {"driver_type": "modbus_tk", "driver_config": {"device_address": "/dev/ttyUSB0"}}
    assert DriverEntry.of(serial).gateway is not None, "a serial line is shared, too"


def test_a_bacnet_device_shares_no_connection_and_names_its_registry() -> None:
    entry = entry_of("bacnet_panel")
    assert (entry.driver_type, entry.gateway) == ("bacnet", None)
    assert entry.registry == "bacnet_panel.csv"
    assert (entry.address, entry.proxy) == ("127.0.0.1:47809", "platform.bacnet_proxy")


def test_an_entry_in_the_words_of_driver_2_has_its_kind_and_gateway_too() -> None:
    address = {"driver_type": "modbus", "device_address": "10.0.0.1", "port": 503, "slave_id": 2}
    entry = DriverEntry.of({"remote_config": address, "registry_config": "config://r.csv"})
    assert (entry.driver_type, entry.gateway, entry.registry) == ("modbus", "10.0.0.1:503", "r.csv")
    assert DriverEntry.of({"driver_type": "modbus", "remote_config": 1}).gateway is None


@pytest.mark.parametrize("contents", [None, "x", [], {}, {"driver_type": 3}, {"driver_config": 1}])
def test_what_an_entry_does_not_say_stays_unknown(contents: Any) -> None:
    assert DriverEntry.of(contents).gateway is None


@pytest.mark.parametrize(
    ("interval", "interval_sec"),
    [(1, 1.0), (15, 15.0), ("30", 30.0), (600, 600.0), (2.9, 2.0)]
    + [(wrong, 60.0) for wrong in (0, 0.5, -5, "soon", None, True, [], float("nan"))],
)
def test_the_interval_is_as_the_driver_takes_it(interval: Any, interval_sec: float) -> None:
    entry = {"driver_type": "modbus", "driver_config": {"device_address": "10.0.0.1"}}
    assert DriverEntry.of({**entry, "interval": interval}).interval_sec == interval_sec
    assert DriverEntry.of(entry).interval_sec == 60.0
    assert DriverEntry.of(None).interval_sec is None


def test_the_priority_of_a_write_is_the_registrys_or_the_drivers_lowest() -> None:
    objects = bacnet_driver_entries((MODELS / "bacnet_panel" / "registry.csv").read_text())
    assert objects["heater1_contactor"] == BacnetDriverEntry("binaryOutput", 1, 10)
    assert objects["total_kw"] == BacnetDriverEntry("analogInput", 0, 16)
    assert bacnet_driver_entries(None) == {}
    assert bacnet_driver_entries("a,b\n1,2") == {}


@pytest.mark.parametrize(
    "registry",
    [
        "Volttron Point Name,Writable,Default Value\nfan,TRUE,0\nheater,TRUE,\n,,",
        [
            {"Volttron Point Name": "fan", "Default Value": False},
            {"Volttron Point Name": "heater", "Default Value": None},
        ],
        [{"Volttron Point Name": "heater"}],
        "Volttron Point Name\nheater",
    ],
)
def test_a_point_without_a_default_value_is_known(registry: Any) -> None:
    assert driver_entry_points_without_default(registry) == {"heater"}
    assert driver_entry_points_without_default(None) == frozenset()


class Store:
    """The platform's config store; None for what it does not give."""

    def __init__(self, entries: dict[str, str]) -> None:
        self._entries = entries

    def call(self, peer: str, method: str, identity: str, name: str, raw: bool) -> Store:
        assert (method, identity, raw) == ("get_config", "platform.driver", True)
        self._asked = name
        return self

    def get(self, timeout: float) -> str:
        if self._asked not in self._entries:
            raise gevent.Timeout(timeout)
        return self._entries[self._asked]


def test_entries_that_the_store_does_not_give_are_left_out() -> None:
    store: Any = Store(
        {
            "devices/a": json.dumps({"driver_type": "bacnet", "registry_config": "config://a.csv"}),
            "a.csv": f"{COLUMNS}\nfan,binaryOutput,3,9",
            "devices/b": "{no json",
            "devices/d": json.dumps({"driver_type": "modbus", "registry_config": "config://d.csv"}),
            "d.csv": "Volttron Point Name,Default Value\nfan,0\nheater,\n",
        }
    )
    entries, is_complete = driver_entries(store, "platform.driver", ["a", "b", "c", "d"])
    assert not is_complete, "nothing was heard of c"
    assert set(entries) == {"a", "d"}
    assert entries["a"].without_default == frozenset()
    assert entries["d"].without_default == {"heater"}
    assert entries["a"].objects == {"fan": BacnetDriverEntry("binaryOutput", 3, 9)}


def test_a_lost_answer_of_the_store_forgets_nothing() -> None:
    """Without its objects a BACnet device's slots were not read, and what they held was lost."""
    contents = {
        "devices/a": json.dumps({"driver_type": "bacnet", "registry_config": "config://a.csv"}),
        "a.csv": f"{COLUMNS}\nfan,binaryOutput,3,9",
    }
    whole: Any = Store(contents)
    known = driver_entries(whole, "platform.driver", ["a"])
    assert known.is_complete
    for lost in contents:
        store: Any = Store({name: text for name, text in contents.items() if name != lost})
        read = driver_entries(store, "platform.driver", ["a"], known.entries)
        assert read.entries == known.entries, lost
        assert not read.is_complete, lost
    other = {**contents, "devices/a": contents["devices/a"].replace("a.csv", "b.csv")}
    store = Store(other)
    read = driver_entries(store, "platform.driver", ["a"], known.entries)
    assert read.entries["a"].objects == {}, "another registry's objects are not known"
    assert driver_entries(whole, "platform.driver", [], known.entries).entries == {}


ARRAY = [None] * 9 + ["inactive"] + [None] * 6


@pytest.mark.parametrize(
    ("array", "held"),
    [
        (ARRAY, "inactive"),
        ([{"null": []}] * 16, None),
        ([{"null": []}] * 9 + [{"enumerated": 0}] + [{"null": []}] * 6, 0),
        ([None] * 16, None),
        ([[]] * 16, None),
        ([None] * 3, None),
        ("no array", None),
        (None, None),
    ],
)
def test_what_a_slot_holds(array: Any, held: Any) -> None:
    assert priority_array_slot(array, 10) == held
