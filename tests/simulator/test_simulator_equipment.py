"""Rooftop unit, battery and charger: their physics, without a clock."""

from __future__ import annotations

import math

import pytest

from simulator.battery_storage import BatteryStorage
from simulator.equipment_registers import EquipmentRegisters
from simulator.ev_charger import CHARGING, CONNECTED, NO_CAR, EvCharger
from simulator.moment import Moment
from simulator.panel_loads import SteadyPanelLoads
from simulator.register_table import RegisterTable, RegisterTableError
from simulator.rooftop_unit import DEFAULT_SETPOINT_C, RooftopUnit
from simulator.simulated_panel import SimulatedPanel
from simulator.site_equipment import SiteEquipment
from tests.support.each_case import each_case

HOUR_SEC = 3600
CIRCUITS_KW = 22.6


def pass_time(equipment: SiteEquipment, duration_sec: int) -> None:
    for _ in range(duration_sec):
        equipment.step(1.0)


def at(second: float) -> Moment:
    return Moment(second, 1_000.0 + second)


# -- a room and what cools it


def test_a_room_in_balance_stays_as_it_is() -> None:
    unit = RooftopUnit()
    zone_c, power_kw = unit.zone_c, unit.power_kw
    pass_time(unit, HOUR_SEC)
    assert unit.zone_c == pytest.approx(zone_c)
    assert unit.power_kw == pytest.approx(power_kw)
    assert power_kw == pytest.approx(2.64)
    assert DEFAULT_SETPOINT_C < zone_c < DEFAULT_SETPOINT_C + unit.BAND_C


def test_a_setpoint_two_degrees_up_leaves_the_fan_until_the_room_is_warm() -> None:
    unit = RooftopUnit()
    balance_kw = unit.power_kw
    unit.set_setpoint(DEFAULT_SETPOINT_C + 2.0)
    assert unit.power_kw == unit.FAN_KW
    minutes = 0
    while unit.cooling == 0.0:
        pass_time(unit, 60)
        minutes += 1
    assert 20 <= minutes <= 60
    pass_time(unit, 12 * HOUR_SEC)
    assert unit.zone_c == pytest.approx(unit.balance_c(), abs=0.01)
    assert unit.FAN_KW < unit.power_kw < balance_kw  # warmer inside: less leaks in


def test_without_cooling_the_room_follows_the_weather_with_its_time_constant() -> None:
    unit = RooftopUnit()
    unit.may_run = False
    start_c = unit.zone_c
    end_c = unit.outdoor_c + unit.GAINS_KW * 4.0 / unit.HEAT_CAPACITY_KWH_PER_C
    pass_time(unit, 4 * HOUR_SEC)  # one time constant
    assert unit.power_kw == 0.0
    share = (unit.zone_c - start_c) / (end_c - start_c)
    assert share == pytest.approx(1.0 - math.exp(-1.0), abs=0.001)


def test_afterwards_it_works_harder_than_before() -> None:
    unit = RooftopUnit()
    balance_kw = unit.power_kw
    unit.set_setpoint(26.0)
    pass_time(unit, HOUR_SEC)
    unit.power_up()
    assert unit.setpoint_c == DEFAULT_SETPOINT_C
    assert unit.power_kw > balance_kw + 1.0
    assert unit.power_kw <= unit.FAN_KW + unit.COMPRESSOR_KW


@each_case("setpoint_c", [15.9, 32.1, math.nan])
def test_a_setpoint_that_no_thermostat_takes(setpoint_c: float) -> None:
    unit = RooftopUnit()
    with pytest.raises(ValueError, match="16 to 32"):
        unit.set_setpoint(setpoint_c)
    assert unit.setpoint_c == DEFAULT_SETPOINT_C


# -- a battery


def test_what_goes_in_comes_out_less_the_losses() -> None:
    battery = BatteryStorage(soc_percent=50.0)
    battery.remote = True
    battery.set_setpoint(4.0)
    pass_time(battery, HOUR_SEC)
    battery.set_setpoint(-3.6)  # 90 % of it
    pass_time(battery, HOUR_SEC)
    assert battery.soc_percent == pytest.approx(50.0)


def test_it_stops_where_it_is_full_and_where_it_is_empty() -> None:
    battery = BatteryStorage(soc_percent=99.0)
    battery.remote = True
    battery.set_setpoint(5.0)
    pass_time(battery, HOUR_SEC)
    assert (battery.soc_percent, battery.power_kw) == (100.0, 0.0)
    battery.set_setpoint(-5.0)
    assert battery.power_kw == -5.0
    pass_time(battery, 4 * HOUR_SEC)
    assert battery.soc_percent == pytest.approx(battery.LOWEST_SOC_PERCENT)
    assert battery.power_kw == 0.0


def test_a_battery_with_a_watchdog_goes_back_to_its_own_programme_when_nobody_writes() -> None:
    battery = BatteryStorage()
    battery.settings["watchdog_sec"].write(60.0)
    battery.settings["own_kw"].write(0.5)
    write = {point.name: point.write for point in battery.points if point.write is not None}
    write["setpoint_kw"](-3.0)
    write["remote"](1.0)
    for _ in range(3):
        pass_time(battery, 50)
        assert battery.power_kw == -3.0
        write["setpoint_kw"](-3.0)
    pass_time(battery, 60)
    assert (battery.power_kw, battery.state()["remote"]) == (0.5, False)
    battery.settings["watchdog_sec"].write(0.0)
    write["remote"](1.0)
    pass_time(battery, HOUR_SEC)
    assert battery.power_kw == -3.0


def test_without_remote_control_its_own_programme_rules() -> None:
    battery = BatteryStorage()
    battery.settings["own_kw"].write(1.5)
    battery.set_setpoint(-5.0)
    assert battery.power_kw == 1.5
    battery.remote = True
    assert battery.power_kw == -5.0
    battery.power_up()
    assert (battery.power_kw, battery.setpoint_kw) == (1.5, 0.0)
    with pytest.raises(ValueError, match="-5 to 5 kW"):
        battery.set_setpoint(5.1)


def test_energy_below_its_reserve_is_not_lost() -> None:
    battery = BatteryStorage(soc_percent=2.0)
    battery.remote = True
    battery.set_setpoint(-5.0)
    pass_time(battery, 60)
    assert battery.soc_percent == pytest.approx(2.0)


# -- a car


def test_amps_times_phases_times_voltage() -> None:
    charger = EvCharger()
    assert charger.power_kw == pytest.approx(16 * 3 * 0.23)
    charger.set_most_amps(6)
    assert charger.power_kw == pytest.approx(4.14)
    charger.set_phases(1)
    assert charger.power_kw == pytest.approx(1.38)
    assert charger.phase_amps == (6.0, 0.0, 0.0)


@each_case("amps", [1, 5, 17, -1])
def test_currents_that_cannot_be_signalled_are_refused_and_counted(amps: int) -> None:
    charger = EvCharger()
    with pytest.raises(ValueError, match="6 to 16 A"):
        charger.set_most_amps(amps)
    assert (charger.most_amps, charger.refused_count) == (16, 1)
    with pytest.raises(ValueError, match="1 or 3"):
        charger.set_phases(2)


def test_a_car_takes_what_it_wants_and_no_more() -> None:
    charger = EvCharger(wanted_kwh=5.0)
    pass_time(charger, HOUR_SEC)
    assert charger.session_kwh == pytest.approx(5.0)
    assert (charger.status, charger.power_kw) == (CONNECTED, 0.0)
    charger.settings["wanted_kwh"].write(10.0)
    assert charger.status == CHARGING
    charger.settings["plugged"].write(0.0)
    assert (charger.status, charger.power_kw, charger.session_kwh) == (NO_CAR, 0.0, 0.0)


def test_both_ways_to_pause() -> None:
    charger = EvCharger()
    charger.set_most_amps(0)
    assert (charger.status, charger.power_kw) == (CONNECTED, 0.0)
    charger.set_most_amps(10)
    charger.allowed = False
    assert (charger.status, charger.power_kw) == (CONNECTED, 0.0)
    charger.power_up()
    assert (charger.most_amps, charger.status) == (16, CHARGING)


# -- behind the panel's meter


def test_what_is_behind_the_meter_is_in_its_total_and_passes_time_with_it() -> None:
    panel = SimulatedPanel(SteadyPanelLoads(), at(0), speed=60.0)
    battery, charger = BatteryStorage(soc_percent=50.0), EvCharger()
    registers = EquipmentRegisters(battery, panel, 2)
    EquipmentRegisters(charger, panel, 3)
    assert panel.meter().total_kw == pytest.approx(CIRCUITS_KW + 11.04)
    registers.write(RegisterTable.COIL, 0, [1], at(0))
    registers.write(RegisterTable.HOLDING, 0, [0xC0A0, 0], at(0))  # -5 kW
    assert panel.meter().total_kw == pytest.approx(CIRCUITS_KW + 11.04 - 5.0)
    registers.advance(at(60))
    assert panel.meter().imported_kwh == pytest.approx(CIRCUITS_KW + 11.04 - 5.0)
    assert battery.soc_percent < 15.0
    assert charger.session_kwh == pytest.approx(11.04)


def test_what_is_fed_in_is_not_subtracted_from_what_was_imported() -> None:
    panel = SimulatedPanel(SteadyPanelLoads(), at(0))
    panel.write_contactors(0, [False] * 8, at(0))
    battery = BatteryStorage()
    registers = EquipmentRegisters(battery, panel, 2)
    battery.settings["own_kw"].write(-5.0)
    registers.advance(at(600))
    assert panel.meter().total_kw == -5.0
    assert panel.meter().imported_kwh == 0.0


def test_a_write_is_whole_or_not_at_all() -> None:
    charger = EvCharger()
    registers = EquipmentRegisters(charger, SimulatedPanel(SteadyPanelLoads(), at(0)), 2)
    with pytest.raises(RegisterTableError) as refused:
        registers.write(RegisterTable.HOLDING, 0, [10, 2], at(1))  # 2 phases: there is no such way
    assert refused.value.exception_code == 3
    assert charger.most_amps == 16
    registers.write(RegisterTable.HOLDING, 0, [10, 1], at(1))
    assert registers.read(RegisterTable.HOLDING, 0, 2, at(2)) == [10, 1]


@each_case(
    ("table", "address", "words"),
    [
        (RegisterTable.HOLDING, 0, [0]),  # half a float
        (RegisterTable.HOLDING, 1, [0, 0]),
        (RegisterTable.HOLDING, 0, [0, 0, 0]),
        (RegisterTable.INPUT, 0, [0, 0]),
        (RegisterTable.COIL, 1, [0]),
    ],
)
def test_addresses_that_cannot_be_written_are_exception_2(
    table: RegisterTable, address: int, words: list[int]
) -> None:
    registers = EquipmentRegisters(BatteryStorage(), SimulatedPanel(SteadyPanelLoads(), at(0)), 2)
    with pytest.raises(RegisterTableError) as refused:
        registers.write(table, address, words, at(1))
    assert refused.value.exception_code == 2
