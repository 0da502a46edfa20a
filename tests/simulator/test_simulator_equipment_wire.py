"""Rooftop unit, battery and charger over Modbus and BACnet, beside the panel."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from panel_harness import PanelProcess, bacnet_panel
from pymodbus.client import ModbusTcpClient

from simulator.simulated_panel_control import SimulatedPanelControl, SimulatedPanelControlError

pytestmark = pytest.mark.long

DEVICES = ("--device", "thermostat:2", "--device", "battery:3", "--device", "charger:4")
CIRCUITS_KW, ROOFTOP_KW, CHARGER_KW = 22.6, 2.64, 11.04


class Site:
    """A Modbus client with floats, and the control port."""

    def __init__(self, client: ModbusTcpClient, control: SimulatedPanelControl) -> None:
        self.client = client
        self.control = control

    def number(self, unit: int, address: int) -> float:
        answer = self.client.read_input_registers(address, count=2, device_id=unit)
        assert not answer.isError(), answer
        return float(struct.unpack(">f", struct.pack(">2H", *answer.registers))[0])

    def write_number(self, unit: int, address: int, value: float) -> int:
        """The exception code; 0 when it was taken."""
        words = list(struct.unpack(">2H", struct.pack(">f", value)))
        answer = self.client.write_registers(address, words, device_id=unit)
        return answer.exception_code if answer.isError() else 0


@pytest.fixture(scope="module")
def process() -> Iterator[PanelProcess]:
    process = PanelProcess("--steady", "--port", "0", "--control-port", "0", *DEVICES)
    yield process
    assert process.stop() == (0, "")


@pytest.fixture
def site(process: PanelProcess) -> Iterator[Site]:
    with (
        SimulatedPanelControl(process.control_port) as control,
        ModbusTcpClient("127.0.0.1", port=process.port, retries=0) as client,
    ):
        yield Site(client, control)
        for unit in (2, 3, 4):
            control.fault("power_cycle", unit=unit, seconds=0)
        control.clear()


def test_all_is_behind_the_panels_meter(process: PanelProcess, site: Site) -> None:
    assert process.first_line.endswith("unit 1, 2 (thermostat), 3 (battery), 4 (charger)")
    total_kw = CIRCUITS_KW + ROOFTOP_KW + CHARGER_KW
    assert site.number(1, 0) == pytest.approx(total_kw, abs=0.01)
    assert site.number(2, 2) == pytest.approx(ROOFTOP_KW, abs=0.01)
    assert site.number(3, 0) == 0.0
    assert site.number(4, 0) == pytest.approx(CHARGER_KW)


def test_a_setpoint_two_degrees_up_is_in_the_very_next_reading(site: Site) -> None:
    assert site.write_number(2, 0, 25.0) == 0
    assert site.number(2, 2) == pytest.approx(0.4)
    assert site.number(1, 0) == pytest.approx(CIRCUITS_KW + 0.4 + CHARGER_KW, abs=0.01)
    assert site.write_number(2, 0, 40.0) == 3
    assert site.control.state(unit=2)["setpoint_c"] == 25.0


def test_a_battery_discharges_when_it_is_told(site: Site) -> None:
    assert site.write_number(3, 0, -4.0) == 0
    assert site.number(3, 0) == 0.0  # nobody gave it away yet
    site.client.write_coil(0, True, device_id=3)
    assert site.number(3, 0) == -4.0
    site.control.change(3, "soc_percent", 5.0)
    assert site.number(3, 0) == 0.0
    site.control.change(3, "soc_percent", 60.0)


def test_a_charger_takes_6_to_16_amps_or_none(site: Site) -> None:
    for amps, code in ((6, 0), (5, 3), (0, 0), (16, 0), (17, 3)):
        answer = site.client.write_register(0, amps, device_id=4)
        assert (answer.exception_code if answer.isError() else 0) == code
    assert site.control.state(unit=4)["refused_count"] == 2
    site.client.write_coil(0, False, device_id=4)
    assert site.number(4, 0) == 0.0
    words = site.client.read_input_registers(6, count=4, device_id=4).registers
    assert words == [1, 0, 0, 0]


def test_the_surroundings_can_be_changed(site: Site) -> None:
    site.control.change(2, "zone_c", 30.0)
    assert site.number(2, 2) == pytest.approx(4.4)
    site.control.change(2, "zone_c", 23.56)
    site.control.change(4, "plugged", 0)
    assert site.number(4, 0) == 0.0
    site.control.change(4, "plugged", 1)
    for unit, name, value, hint in (
        (1, "zone_c", 20, "unit 1 is a panel"),
        (2, "soc_percent", 20, "outdoor_c, zone_c"),
        (2, "zone_c", 99, "from -10 to 60"),
    ):
        with pytest.raises(SimulatedPanelControlError, match=hint):
            site.control.change(unit, name, value)
    with pytest.raises(
        SimulatedPanelControlError, match="unit 2 is a thermostat: it has no circuits"
    ):
        site.control.fault("stuck_contactor", unit=2, circuit="ev1")


def test_a_fault_of_one_device_is_its_own(site: Site) -> None:
    site.control.fault("reading", unit=4, register="input", address=0, words=["0x8000", 0])
    site.control.fault("illegal_read", unit=3, register="input", address=2)
    assert site.number(4, 0) == -0.0
    assert site.client.read_input_registers(0, count=8, device_id=3).exception_code == 2
    assert site.number(2, 2) == pytest.approx(ROOFTOP_KW, abs=0.02)
    assert site.number(1, 8) == 85.0


def test_a_power_cut_takes_the_commands_away(site: Site) -> None:
    site.write_number(2, 0, 26.0)
    site.client.write_register(0, 6, device_id=4)
    for unit in (2, 4):
        site.control.fault("power_cycle", unit=unit, seconds=0)
    assert site.control.state(unit=2)["setpoint_c"] == 23.0
    assert site.control.state(unit=4)["most_amps"] == 16


def test_the_same_over_bacnet() -> None:
    from bacpypes3.basetypes import BinaryPV
    from bacpypes3.primitivedata import Null
    from test_simulator_bacnet_client import Master, spoken

    async def talk(client: Master, control: SimulatedPanelControl) -> None:
        assert await client.read("analog-input,201", "object-name") == "power_kw_2"
        assert await client.read("analog-output,200", "relinquish-default") == 23.0
        await client.write("analog-output,200", 25.0, 10)
        assert await client.read("analog-input,201", "present-value") == pytest.approx(0.4)
        control.bms("cooling_setpoint_c_2", 21.0)
        await client.write("analog-output,200", Null(()), 10)
        assert control.state(unit=2)["setpoint_c"] == 21.0

        await client.write("analog-output,300", -4.0, 10)
        await client.write("binary-output,300", BinaryPV("active"), 10)
        assert await client.read("analog-input,300", "present-value") == -4.0
        total_kw = await client.read("analog-input,0", "present-value")
        state = control.state(unit=2)
        assert total_kw == pytest.approx(
            CIRCUITS_KW + state["power_kw"] - 4.0 + CHARGER_KW, abs=0.02
        )
        await client.write("analog-output,400", 6.0, 10)
        assert await client.read("analog-input,400", "present-value") == pytest.approx(4.14)

    spoken(talk, *DEVICES)


def test_over_bacnet_one_controller_answers_for_all() -> None:
    with bacnet_panel(*DEVICES) as (_, control):
        with pytest.raises(SimulatedPanelControlError, match="as one"):
            control.fault("slow", unit=2, seconds=1)
        control.fault("illegal_read", unit=2, register="input", address=0)
