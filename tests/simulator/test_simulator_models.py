"""The device models whose registers and objects the simulator has, compared with it."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

from simulator.device_catalog import CatalogDevice, DeviceCatalog
from simulator.faulty_registers import FaultyRegisters
from simulator.moment import Moment
from simulator.register_table import RegisterTable
from tests.support.each_case import each_case

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from simulator.bacnet_objects import bacnet_objects

MODELS = Path(__file__).resolve().parents[2] / "MeterDriverConfigs"


def registry(model: str) -> list[dict[str, str]]:
    with (MODELS / model / "registry.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def device(kind: str) -> FaultyRegisters:
    catalog = DeviceCatalog(steady=True, seed=1, speed=1.0)
    return FaultyRegisters(catalog.build(1, [CatalogDevice(kind, 2)], Moment.now())[2])


def test_the_thermostats_registry_names_the_simulators_objects() -> None:
    objects = {
        each.objectIdentifier: each.objectName for each in bacnet_objects(device("thermostat"))
    }
    rows = {
        (row["BACnet Object Type"], int(row["Index"])): row for row in registry("bacnet_thermostat")
    }
    assert {where: row["Reference Point Name"] for where, row in rows.items()} == objects
    for (kind, _), row in rows.items():
        assert (row["Writable"] == "TRUE") == kind.endswith("Output")


@each_case(
    ("point", "value"),
    [("watts_raw", 3000), ("watts_scale", 0), ("soc_raw", 6000), ("soc_scale", -2),
     ("most_charge_raw", 5000), ("discharge_rate_raw", 10000), ("rate_scale", -2),
     ("storage_mode", 0), ("charge_from_grid", 1), ("storage_status", 6)],
)  # fmt: skip
def test_the_inverters_registry_reads_the_simulators_registers(point: str, value: int) -> None:
    rows = {row["Volttron Point Name"]: row for row in registry("fronius_gen24")}
    row = rows[point]
    address = int(row["Point Address"])
    word = device("inverter").read(RegisterTable.HOLDING, address, 1, Moment.now())[0]
    signed = row["Modbus Register"] == ">h" and word & 0x8000
    assert (word - 0x10000 if signed else word) == value
