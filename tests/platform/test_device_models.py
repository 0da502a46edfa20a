"""Each device model, loaded into VOLTTRON's own Modbus driver and read from the vendor's layout.

The addresses here are written down a second time, from the documents that the models' READMEs
name, and as those documents print them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from volttron.driver.base.driver_locks import configure_socket_lock
from volttron.driver.interfaces.modbus.modbus import Modbus

from tests.platform.modbus_slave import (
    READ_COILS,
    READ_HOLDING,
    READ_INPUT,
    Slave,
    doubles,
    floats,
    serving,
)
from tests.platform.site import ROOT
from VenAgent.config import AgentConfig
from VenAgent.dr.panel import PanelReading
from VenAgent.site.point_readings import PointReadings

MODELS = ROOT / "MeterDriverConfigs"
NOW = 1_760_000_000.0


configure_socket_lock()


def driver_for(folder: Path, port: int) -> Modbus:
    """The driver with the folder's configuration, as the platform driver makes it."""
    config = json.loads((folder / "driver.json").read_text())
    assert config["driver_type"] == "modbus"
    with (folder / "registry.csv").open(newline="") as file:
        registry = list(csv.DictReader(file))
    driver = Modbus()
    driver.configure({**config["driver_config"], "device_address": "127.0.0.1", "port": port},
                     registry)  # fmt: skip
    return driver


@contextmanager
def connected(model: str, slave: Slave) -> Iterator[Modbus]:
    with serving(slave):
        yield driver_for(MODELS / model, slave.port)


def reading(model: str, **devices: Any) -> PanelReading:
    """What the agent makes of the devices' points with the model's agent.json."""
    config = AgentConfig.load(json.loads((MODELS / model / "agent.json").read_text()), {})
    points = PointReadings(config)
    for device in config.devices():
        points.update(device, devices[device.rpartition("/")[2]], NOW, complete=True)
    assert points.missing(NOW) == []
    return points.reading(NOW)


def approx(value: float) -> Any:
    return pytest.approx(value, rel=1e-6)


def sdm630() -> Slave:
    """Input registers 3xxxx; on the wire the number less 30001. Not more than 80, in pairs."""
    numbered = {
        30001: 0.0, 30003: 231.5, 30005: 229.9,  # volts
        30007: 20.5, 30009: 10.25, 30011: 0.5,  # amps
        30013: 4600.0, 30015: 2300.0, 30017: -115.0,  # watts
        30043: 230.5, 30049: 31.25, 30053: 6785.0,
        30071: 49.98, 30073: 12345.5, 30075: 678.25,
    }  # fmt: skip
    words = floats({number - 30001: value for number, value in numbered.items()})
    words[0], words[1] = 0x4366, 0x3334  # the document's own example: Volts 1 = 230.2
    return Slave({READ_INPUT: words}, max_count=80, even_only=True)


def test_eastron_sdm630_is_read_as_its_protocol_document_has_it() -> None:
    with connected("eastron_sdm630", sdm630()) as driver:
        values = driver.scrape_all()
        assert driver.get_point("l1_volts") == approx(230.2)
        assert driver.get_point("total_w") == 6785.0
    assert values["l1_volts"] == approx(230.2)
    assert (values["l2_w"], values["l3_w"]) == (2300.0, -115.0)
    assert values["exported_kwh"] == 678.25
    seen = reading("eastron_sdm630", meter=values)
    assert seen.power_kw == approx(6.785)
    assert seen.voltage == 230.5
    assert seen.current_amps == 31.25
    assert {name: c.power_kw for name, c in seen.circuits.items()} == {
        "l1": approx(4.6),
        "l2": approx(2.3),
        "l3": approx(-0.115),
    }


def pm5xxx() -> Slave:
    """Registers counted from 1, on the wire one less; function 03 only."""
    numbered = {
        2700: 98765.4,
        3000: 40.5, 3002: 41.5, 3004: 42.5,
        3028: 229.1, 3030: 230.2, 3032: 231.3, 3036: 230.2,
        3054: 9.25, 3056: 8.5, 3058: 7.75, 3060: 25.5,
        3110: 50.02,
    }  # fmt: skip
    words = floats({number - 1: value for number, value in numbered.items()})
    return Slave({READ_HOLDING: words})


def test_schneider_pm5xxx_is_read_as_its_register_list_has_it() -> None:
    slave = pm5xxx()
    with connected("schneider_pm5xxx", slave) as driver:
        values = driver.scrape_all()
        assert driver.get_point("frequency_hz") == approx(50.02)
        driver.revert_all()
    assert values["imported_kwh"] == approx(98765.4)
    assert (values["l1_amps"], values["l3_volts"]) == (40.5, approx(231.3))
    seen = reading("schneider_pm5xxx", meter=values)
    assert seen.power_kw == 25.5
    assert [seen.circuits[name].power_kw for name in ("l1", "l2", "l3")] == [9.25, 8.5, 7.75]
    assert seen.voltage == approx(230.2)


@pytest.mark.parametrize(("exponent", "total_kw"), [(0, 7.321), (1, 73.21)])
def test_accuenergy_acurev_1312_is_read_as_its_sunspec_block_has_it(
    exponent: int, total_kw: float
) -> None:
    words = dict.fromkeys(range(0x1000, 0x10B2), 0x8000)  # not implemented, as SunSpec says it
    words.update({0x1045: 202, 0x1047: 305, 0x104B: 0xFFFF, 0x104C: 1201, 0x1054: 0xFFFF})
    words.update({0x1057: 7321, 0x1058: 4021, 0x1059: 3300, 0x105B: exponent})
    with connected("accuenergy_acurev_1312", Slave({READ_HOLDING: words})) as driver:
        values = driver.scrape_all()
    assert values["meter_kind"] == 202
    assert values["amps_raw"] * 10.0 ** values["amps_scale"] == approx(30.5)
    assert values["volts_raw"] * 10.0 ** values["volts_scale"] == approx(120.1)
    seen = reading("accuenergy_acurev_1312", meter=values)
    assert seen.power_kw == approx(total_kw)
    assert seen.circuits["l2"].power_kw == approx(3.3 * 10**exponent)


def test_an_acurev_1312_is_read_as_a_real_one_answered() -> None:
    """Registers 4165 to 4187 of a meter with firmware 2.16 that exported on two phases."""
    recorded = (
        203, 105, 16061, 5447, 5264, 5350, 0xFFFE,
        1237, 1232, 1239, 1242, 2143, 2136, 2150, 2145, 0xFFFF, 6001, 0xFFFE,
        132, 6323, 0xFBE4, 0xEBED, 0,
    )  # fmt: skip
    words = dict(enumerate(recorded, 4165))
    with connected("accuenergy_acurev_1312", Slave({READ_HOLDING: words})) as driver:
        values = driver.scrape_all()
    assert (values["meter_kind"], values["amps_raw"], values["amps_scale"]) == (203, 16061, -2)
    assert (values["volts_raw"], values["volts_scale"]) == (1237, -1)
    seen = reading("accuenergy_acurev_1312", meter=values)
    assert seen.power_kw == approx(0.132)
    assert seen.circuits["l1"].power_kw == approx(6.323)
    assert seen.circuits["l2"].power_kw == approx(-1.052)


def acurev_2100() -> Slave:
    """Floats from 2000H; 18 circuits of six floats each from 2100H. Function 03 only."""
    system = {
        0x2000: 60.01, 0x2002: 120.5, 0x2004: 121.5, 0x2006: 122.5, 0x2008: 121.5,
        0x200A: 209.0, 0x200C: 210.0, 0x200E: 211.0, 0x2010: 210.0,
        0x2012: 101.5, 0x2014: 102.5, 0x2016: 103.5, 0x2018: 102.5,
        0x201A: 36.75, 0x201C: 4.5, 0x201E: 37.0, 0x2020: 0.99, 0x2022: 1.0,
        0x2024: 12.0, 0x2026: 12.25, 0x2028: 12.5,
    }  # fmt: skip
    circuits = {
        0x2100 + 12 * (number - 1) + 2 * place: value
        for number in range(1, 19)
        for place, value in enumerate((number + 0.5, number / 8, -9.0, -8.0, -7.0, -6.0))
    }
    return Slave({READ_HOLDING: floats(system | circuits)})


def test_accuenergy_acurev_2100_is_read_with_its_18_circuits() -> None:
    slave = acurev_2100()
    with connected("accuenergy_acurev_2100", slave) as driver:
        values = driver.scrape_all()
        asked = len(slave.requests)
        assert driver.get_point("total_kw") == 36.75
        driver.revert_all()
    assert asked < 25, "one connection, few and small requests"
    assert (values["c01_amps"], values["c18_amps"]) == (1.5, 18.5)
    assert (values["l1_kw"], values["l3_amps"]) == (12.0, 103.5)
    seen = reading("accuenergy_acurev_2100", meter=values)
    assert seen.power_kw == 36.75
    assert seen.voltage == 121.5
    expected = {f"c{number:02d}": number / 8 for number in range(1, 19)}
    assert {name: circuit.power_kw for name, circuit in seen.circuits.items()} == expected


def test_shelly_pro_3em_is_read_with_its_low_word_first() -> None:
    numbered = {
        31011: 44.5, 31013: 10234.5,
        31020: 228.8, 31022: 20.5, 31024: 4690.25,
        31040: 229.9, 31042: 14.5, 31044: 3333.5,
        31060: 230.1, 31062: 9.5, 31064: 2210.75,
        31162: 1234567.0, 31164: 42.5,
    }  # fmt: skip
    words = floats({number - 30000: value for number, value in numbered.items()}, True)
    with connected("shelly_pro_3em", Slave({READ_INPUT: words})) as driver:
        values = driver.scrape_all()
        assert driver.get_point("total_w") == 10234.5
    assert (values["imported_wh"], values["exported_wh"]) == (1234567.0, 42.5)
    seen = reading("shelly_pro_3em", meter=values)
    assert seen.power_kw == approx(10.2345)
    assert seen.current_amps == 44.5
    assert seen.circuits["l3"].power_kw == approx(2.21075)


def amtron_ecu() -> Slave:
    """Holding registers from 100 on; 32 bits with the high word first."""
    words = doubles({
        206: 3650, 208: 3660, 210: 3670,  # watts
        212: 15900, 214: 15950, 216: 16000,  # milliamperes
        218: 1_234_567, 220: 10_980,
    })  # fmt: skip
    words.update({122: 3, 706: 16, 1000: 16})
    return Slave({READ_HOLDING: words}, writable=frozenset({1000}))


def test_mennekes_amtron_ecu_is_read_and_limited_as_its_specification_has_it() -> None:
    wallbox = amtron_ecu()
    with connected("mennekes_amtron_ecu", wallbox) as driver:
        values = driver.scrape_all()
        assert driver.set_point("hems_limit_amps", 6) == 6
        assert bytes.fromhex("10 03E8 0001 02 0006") in wallbox.requests
        assert wallbox.tables[READ_HOLDING][1000] == 6
        driver.revert_all()
    assert (values["l2_w"], values["l3_ma"], values["total_wh"]) == (3660, 16000, 1_234_567)
    assert (values["vehicle_state"], values["hems_limit_amps"]) == (3, 16)
    assert wallbox.tables[READ_HOLDING][1000] == 16, "it has no default: what stood there"
    seen = reading("mennekes_amtron_ecu", wallbox=values)
    assert seen.power_kw == approx(10.98)
    assert seen.circuits["charger1"].limit == 16


@pytest.mark.parametrize(("exponent", "raw", "fed_in_kw"), [(0, 5321, 5.321), (1, 532, 5.32)])
def test_fronius_gen24_is_read_and_commanded_as_its_sunspec_models_have_it(
    exponent: int, raw: int, fed_in_kw: float
) -> None:
    words = dict.fromkeys(range(40000, 40370), 0x8000)  # not implemented, as SunSpec says it
    words.update({40002: 1, 40003: 65, 40069: 103, 40070: 50, 40343: 124, 40344: 24})
    words.update({40079: 2304, 40082: 0xFFFF, 40083: raw, 40084: exponent})
    words.update({40345: 5120, 40348: 0, 40351: 8750, 40354: 6, 40355: 10000, 40356: 10000})
    words.update({40358: 0, 40360: 1, 40361: 0, 40365: 0xFFFE, 40368: 0xFFFE})
    inverter = Slave({READ_HOLDING: words}, writable=frozenset({40348, 40355, 40356, 40358, 40360}))
    with connected("fronius_gen24", inverter) as driver:
        values = driver.scrape_all()
        assert driver.set_point("charge_rate_raw", -5000) == -5000
        assert bytes.fromhex("10 9DA4 0001 02 EC78") in inverter.requests
        driver.revert_all()
    assert values["soc_raw"] * 10.0 ** values["soc_scale"] == approx(87.5)
    assert values["volts_raw"] * 10.0 ** values["volts_scale"] == approx(230.4)
    assert values["discharge_rate_raw"] * 10.0 ** values["rate_scale"] == approx(100.0)
    seen = reading("fronius_gen24", inverter=values)
    assert seen.power_kw is not None
    # the README: power_scale = -0.001 x 10^watts_scale
    assert seen.power_kw * 10 ** values["watts_scale"] == approx(-fed_in_kw)


def relays() -> Slave:
    return Slave({READ_COILS: dict.fromkeys(range(8), 0)})


def test_waveshare_relays_get_the_frames_that_the_wiki_prints() -> None:
    board = relays()
    with connected("waveshare_relay_8", board) as driver:
        assert driver.set_point("relay_1", True) is True
        assert board.requests[-1] == bytes.fromhex("05 00 00 FF 00")
        assert driver.set_point("relay_2", True) is True
        assert board.requests[-1] == bytes.fromhex("05 00 01 FF 00")
        assert driver.set_point("relay_1", False) is False
        assert board.requests[-1] == bytes.fromhex("05 00 00 00 00")
        values = driver.scrape_all()
        assert board.requests[-1] == bytes.fromhex("01 00 00 00 08")
        assert [values[f"relay_{n}"] for n in range(1, 9)] == [False, True, *[False] * 6]
        driver.revert_all()
        assert board.tables[READ_COILS] == dict.fromkeys(range(8), 0)  # released: loads are on


def test_a_meter_and_a_relay_board_make_a_site() -> None:
    model = "site_meter_and_relays"
    config = AgentConfig.load(json.loads((MODELS / model / "agent.json").read_text()), {})
    boiler = next(c for c in config.build_panel().circuits if c.id == "boiler")
    with ExitStack() as stack:
        meter = stack.enter_context(connected("eastron_sdm630", sdm630()))
        board = stack.enter_context(connected("waveshare_relay_8", relays()))
        before = reading(model, meter=meter.scrape_all(), relays=board.scrape_all())
        board.set_point(boiler.point.rpartition("/")[2], True)
        after = reading(model, meter=meter.scrape_all(), relays=board.scrape_all())
    assert boiler.point == "site/building/relays/relay_2"
    assert before.circuits["boiler"].power_kw == approx(2.3)
    assert {name: c.closed for name, c in before.circuits.items()} == {
        "heatpump": True,
        "boiler": True,
        "charger": True,
    }
    assert {name for name, c in after.circuits.items() if not c.closed} == {"boiler"}


def test_every_modbus_model_has_a_test_of_its_layout() -> None:
    tested = {
        "eastron_sdm630",
        "schneider_pm5xxx",
        "accuenergy_acurev_1312",
        "accuenergy_acurev_2100",
        "shelly_pro_3em",
        "waveshare_relay_8",
        "mennekes_amtron_ecu",
        "fronius_gen24",
        "simulated_panel",  # in every other platform test
    }
    modbus = {
        path.parent.name
        for path in MODELS.glob("*/driver.json")
        if json.loads(path.read_text())["driver_type"] == "modbus"
    }
    assert modbus == tested
