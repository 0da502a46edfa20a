"""The hybrid inverter: its SunSpec registers and its battery, without a clock, and on the wire."""

from __future__ import annotations

import pytest
from panel_harness import PanelProcess

from simulator.equipment_registers import EquipmentRegisters
from simulator.hybrid_inverter import HybridInverter
from simulator.moment import Moment
from simulator.panel_loads import SteadyPanelLoads
from simulator.register_table import RegisterTable, RegisterTableError
from simulator.simulated_panel import SimulatedPanel
from simulator.simulated_panel_control import SimulatedPanelControl
from tests.support.each_case import each_case

W, W_SF, STORCTL_MOD, CHASTATE, OUTWRTE, INWRTE = 40083, 40084, 40348, 40351, 40355, 40356
RVRT_SEC, FROM_GRID = 40358, 40360
WMAXLIMPCT, WMAXLIM_ENA, WMAXLIMPCT_SF = 40232, 40236, 40250
HOLDING = RegisterTable.HOLDING


class Inverter:
    """The registers of an inverter that is alone behind its meter, and seconds that pass."""

    def __init__(self) -> None:
        self.equipment = HybridInverter()
        panel = SimulatedPanel(SteadyPanelLoads(), Moment(0.0, 0.0))
        self.registers = EquipmentRegisters(self.equipment, panel, 1)
        self.now_sec = 0.0

    def read(self, address: int, count: int = 1) -> list[int]:
        return self.registers.read(HOLDING, address, count, Moment(self.now_sec, self.now_sec))

    def signed(self, address: int) -> int:
        word = self.read(address)[0]
        return word - 0x10000 if word & 0x8000 else word

    def write(self, address: int, value: int) -> None:
        moment = Moment(self.now_sec, self.now_sec)
        self.registers.write(HOLDING, address, [value & 0xFFFF], moment)


def test_a_walk_along_the_models_ends_at_the_end() -> None:
    inverter = Inverter()
    assert inverter.read(40000, 2) == [0x5375, 0x6E53]
    address, models = 40002, {}
    while (header := inverter.read(address, 2) if address < 40369 else [0xFFFF])[0] != 0xFFFF:
        models[header[0]] = address
        address += header[1] + 2
    assert models == {
        1: 40002, 103: 40069, 120: 40121, 121: 40149, 122: 40181, 123: 40227, 160: 40253,
        124: 40343,
    }  # fmt: skip
    assert inverter.read(address) == [0xFFFF]
    assert inverter.read(40085) == [0x8000]  # a frequency that it does not tell


@each_case(("scale", "word"), [(0, 3000), (1, 300), (3, 3), (-1, 30000)])
def test_a_value_is_its_integer_times_ten_to_its_scale_factor(scale: int, word: int) -> None:
    inverter = Inverter()
    inverter.equipment.settings["power_scale"].write(scale)
    assert (inverter.signed(W), inverter.signed(W_SF)) == (word, scale)


def test_a_discharge_is_forced_by_a_negative_charging_rate() -> None:
    inverter = Inverter()
    inverter.write(INWRTE, -5000)  # 50 % of 5 kW
    assert inverter.signed(W) == 3000  # not yet in force
    inverter.write(STORCTL_MOD, 1)
    assert inverter.signed(W) == 5500
    assert inverter.equipment.power_kw == -5.5
    inverter.write(STORCTL_MOD, 0)
    assert inverter.signed(W) == 3000


def test_limits_hold_what_the_battery_does_by_itself() -> None:
    inverter = Inverter()
    inverter.equipment.settings["own_kw"].write(-4.0)
    assert inverter.signed(W) == 7000
    inverter.write(OUTWRTE, 2000)
    inverter.write(STORCTL_MOD, 2)
    assert inverter.signed(W) == 4000
    inverter.write(OUTWRTE, -10000)  # charge with all
    assert inverter.signed(W) == -2000
    inverter.write(FROM_GRID, 0)  # but with no more than the roof gives
    assert inverter.signed(W) == 0


def test_the_roof_gives_no_more_than_its_limit_while_that_is_enabled() -> None:
    inverter = Inverter()
    assert (inverter.read(WMAXLIMPCT), inverter.signed(WMAXLIMPCT_SF)) == ([10000], -2)
    inverter.write(WMAXLIMPCT, 1900)  # 19 % of 10 kW
    assert inverter.signed(W) == 3000  # not yet in force
    inverter.write(WMAXLIM_ENA, 1)
    assert inverter.signed(W) == 1900
    inverter.write(WMAXLIMPCT, 10000)
    assert inverter.signed(W) == 3000


def test_it_lets_go_when_nobody_renews_the_limits() -> None:
    inverter = Inverter()
    inverter.write(RVRT_SEC, 60)
    inverter.write(INWRTE, -10000)
    inverter.write(STORCTL_MOD, 1)
    inverter.now_sec = 50.0
    inverter.write(INWRTE, -10000)
    inverter.now_sec = 100.0
    assert inverter.signed(W) == 8000
    inverter.now_sec = 111.0
    assert (inverter.signed(W), inverter.read(STORCTL_MOD)) == (3000, [0])


def test_the_state_of_charge_falls_with_what_is_given() -> None:
    inverter = Inverter()
    assert inverter.read(CHASTATE) == [6000]
    inverter.write(INWRTE, -10000)
    inverter.write(STORCTL_MOD, 1)
    inverter.now_sec = 1800.0
    assert 3900 < inverter.read(CHASTATE)[0] < 4200
    inverter.registers.power_up(Moment(1801.0, 1801.0))
    assert inverter.equipment.power_kw == -3.0


@each_case(
    ("address", "value", "code"),
    [
        (WMAXLIMPCT, 10001, 3),
        (WMAXLIM_ENA, 2, 3),
        (STORCTL_MOD, 4, 3),
        (OUTWRTE, 10001, 3),
        (FROM_GRID, 2, 3),
        (W, 1, 2),
        (CHASTATE, 1, 2),
    ],
)
def test_what_it_does_not_take(address: int, value: int, code: int) -> None:
    with pytest.raises(RegisterTableError) as refused:
        Inverter().write(address, value)
    assert refused.value.exception_code == code


@pytest.mark.long
def test_the_same_on_the_wire() -> None:
    from pymodbus.client import ModbusTcpClient

    options = ("--steady", "--port", "0", "--control-port", "0", "--device", "inverter:7")
    process = PanelProcess(*options)
    with (
        SimulatedPanelControl(process.control_port) as control,
        ModbusTcpClient("127.0.0.1", port=process.port, retries=0) as client,
    ):
        block = client.read_holding_registers(40069, count=52, device_id=7).registers
        assert (block[:2], block[14:16]) == ([103, 50], [3000, 0])
        client.write_register(INWRTE, 0x10000 - 10000, device_id=7)
        client.write_register(STORCTL_MOD, 1, device_id=7)
        assert control.state(unit=7)["battery_kw"] == -5.0
        assert control.state()["total_kw"] == pytest.approx(22.6 - 8.0)
        control.change(7, "power_scale", 1)
        words = client.read_holding_registers(W, count=2, device_id=7).registers
        assert words == [800, 1]
    assert process.stop() == (0, "")
