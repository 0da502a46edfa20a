"""Panel, heartbeat and register map with a time made of numbers."""

from __future__ import annotations

import struct

import pytest

from simulator.faulty_registers import FaultyRegisters
from simulator.moment import Moment
from simulator.panel_loads import HousePanelLoads, SteadyPanelLoads
from simulator.panel_registers import PanelRegisters
from simulator.register_table import RegisterTable, RegisterTableError
from simulator.simulated_circuit import CIRCUIT_COUNT, CIRCUITS, SimulatedCircuitControl
from simulator.simulated_panel import SimulatedPanel
from tests.support.each_case import each_case

HVAC, HEATER, EV = 0, 1, 2
WALL_START = 1_700_000_000.0


def at(sec: float) -> Moment:
    """`sec` after the start, on both clocks."""
    return Moment(mono_sec=500.0 + sec, wall_ts=WALL_START + sec)


def steady_panel(speed: float = 1.0) -> SimulatedPanel:
    return SimulatedPanel(SteadyPanelLoads(), at(0), speed)


def beating_panel(timeout_sec: int = 120) -> tuple[SimulatedPanel, PanelRegisters]:
    """A panel with EV limited and heater open, whose first heartbeat came at 10 s."""
    panel = steady_panel()
    registers = PanelRegisters(panel)
    registers.write(RegisterTable.HOLDING, 101, [timeout_sec], at(1))
    registers.write(RegisterTable.COIL, HEATER, [0], at(2))
    registers.write(RegisterTable.HOLDING, EV, [25], at(3))
    registers.write(RegisterTable.HOLDING, 100, [1], at(10))
    return panel, registers


# -- contactors, limits, meter


def test_an_open_contactor_draws_nothing() -> None:
    panel = steady_panel()
    panel.write_contactors(HEATER, [False], at(1))
    assert panel.powers_kw()[HEATER] == 0.0
    assert panel.meter().total_kw == pytest.approx(22.6 - 4.5)


def test_a_limit_is_a_percentage_of_the_breaker_rating() -> None:
    panel = steady_panel()
    panel.write_limits(EV, [25], at(1))
    assert panel.powers_kw()[EV] == pytest.approx(0.25 * 50 * 240 / 1000)
    panel.write_limits(EV, [90], at(2))  # 10.8 kW: more than it wants
    assert panel.powers_kw()[EV] == 7.2


def test_a_switch_circuit_keeps_a_limit_but_does_not_obey_it() -> None:
    panel = steady_panel()
    panel.write_limits(0, [0] * CIRCUIT_COUNT, at(1))
    for circuit, power_kw in zip(CIRCUITS, panel.powers_kw(), strict=True):
        obeys = circuit.control is SimulatedCircuitControl.LIMIT
        assert power_kw == (0.0 if obeys else circuit.steady_kw)
    assert panel.limits_percent == [0] * CIRCUIT_COUNT


def test_changed_ts_tells_the_last_change_and_not_the_last_write() -> None:
    panel = steady_panel()
    assert panel.contactor_changed_ts[HEATER] is None
    panel.write_contactors(HEATER, [False], at(5))
    panel.write_contactors(HEATER, [False], at(6))
    panel.write_limits(EV, [40], at(7))
    assert panel.contactor_changed_ts[HEATER] == WALL_START + 5
    assert panel.limit_changed_ts[EV] == WALL_START + 7
    assert panel.limit_changed_ts[HVAC] is None
    assert panel.write_count == 3


def test_the_meter_integrates_what_was_drawn_between_the_writes() -> None:
    panel = steady_panel()
    panel.advance(at(1800))
    panel.write_contactors(0, [False] * CIRCUIT_COUNT, at(1800))
    panel.advance(at(3600))
    assert panel.meter().imported_kwh == pytest.approx(11.3)


def test_energy_does_not_depend_on_how_often_one_looks() -> None:
    seldom, often = steady_panel(), steady_panel()
    for tenth in range(1, 1001):
        often.advance(at(tenth * 0.1))
    seldom.advance(at(100))
    assert often.meter().imported_kwh == pytest.approx(seldom.meter().imported_kwh)


def test_a_seed_gives_one_history_however_often_one_looks() -> None:
    seldom, often = (SimulatedPanel(HousePanelLoads(seed=5), at(0)) for _ in range(2))
    for each in range(1, 401):
        often.advance(at(each * 0.25))
    seldom.advance(at(100))
    assert seldom.powers_kw() == often.powers_kw()


def test_speed_accelerates_energy() -> None:
    panel = steady_panel(speed=60.0)
    panel.advance(at(60))
    assert panel.meter().imported_kwh == pytest.approx(22.6)


def test_a_clock_that_stands_still_changes_nothing() -> None:
    panel = steady_panel()
    panel.advance(at(10))
    before = panel.meter()
    panel.advance(at(10))
    panel.advance(at(9))
    assert panel.meter() == before


# -- heartbeat


@pytest.mark.long
def test_the_watch_sleeps_until_the_first_heartbeat() -> None:
    panel = steady_panel()
    panel.write_contactors(HEATER, [False], at(1))
    panel.advance(at(100_000))
    assert not panel.contactors_closed[HEATER]
    assert not panel.heartbeat.armed


def test_a_silent_master_gives_everything_back() -> None:
    panel, _ = beating_panel()
    panel.advance(at(129.9))
    assert not panel.contactors_closed[HEATER]
    panel.advance(at(130.0))
    assert panel.contactors_closed == [True] * CIRCUIT_COUNT
    assert panel.limits_percent == [100] * CIRCUIT_COUNT
    assert panel.heartbeat.expired_count == 1


def test_a_watch_noticed_late_still_acted_in_time() -> None:
    panel, _ = beating_panel()
    panel.advance(at(10))
    before_kwh = panel.meter().imported_kwh
    panel.advance(at(250))  # 120 s shed, then 120 s with everything back
    shed_kw = 22.6 - 4.5 - (7.2 - 3.0)
    expected_kwh = (120 * shed_kw + 120 * 22.6) / 3600
    assert panel.meter().imported_kwh - before_kwh == pytest.approx(expected_kwh)
    assert panel.contactor_changed_ts[HEATER] == pytest.approx(WALL_START + 130, abs=1e-3)


def test_any_heartbeat_renews_the_watch() -> None:
    panel, registers = beating_panel()
    registers.write(RegisterTable.HOLDING, 100, [1], at(100))  # the same value counts too
    panel.advance(at(219))
    assert not panel.contactors_closed[HEATER]
    panel.advance(at(220))
    assert panel.contactors_closed[HEATER]
    assert panel.heartbeat.count == 2


def test_after_firing_the_watch_waits_for_a_new_first_heartbeat() -> None:
    panel, registers = beating_panel()
    panel.advance(at(130))
    registers.write(RegisterTable.COIL, HEATER, [0], at(131))
    panel.advance(at(10_000))
    assert not panel.contactors_closed[HEATER]
    registers.write(RegisterTable.HOLDING, 100, [2], at(10_000))
    panel.advance(at(10_120))
    assert panel.contactors_closed[HEATER]
    assert panel.heartbeat.expired_count == 2


@pytest.mark.long
def test_a_time_out_of_zero_switches_the_watch_off() -> None:
    panel, _ = beating_panel(timeout_sec=0)
    panel.advance(at(100_000))
    assert not panel.contactors_closed[HEATER]


def test_a_time_out_shortened_into_the_past_acts_now_and_not_before() -> None:
    panel, registers = beating_panel()
    registers.write(RegisterTable.HOLDING, 101, [5], at(60))
    panel.advance(at(61))
    assert panel.contactors_closed[HEATER]
    assert panel.contactor_changed_ts[HEATER] == pytest.approx(WALL_START + 60, abs=1e-3)


def test_the_watch_runs_on_real_time_also_when_the_house_is_accelerated() -> None:
    panel = steady_panel(speed=100.0)
    registers = PanelRegisters(panel)
    registers.write(RegisterTable.COIL, HEATER, [0], at(1))
    registers.write(RegisterTable.HOLDING, 100, [1], at(1))
    panel.advance(at(120))
    assert not panel.contactors_closed[HEATER]
    panel.advance(at(121))
    assert panel.contactors_closed[HEATER]


def test_writing_the_time_out_is_no_heartbeat() -> None:
    panel = steady_panel()
    PanelRegisters(panel).write(RegisterTable.HOLDING, 101, [5], at(1))
    assert not panel.heartbeat.armed


def test_a_stuck_contactor_does_not_move_for_the_watch_either() -> None:
    panel, _ = beating_panel()
    panel.stuck_contactors.add(HEATER)
    panel.advance(at(130))
    assert not panel.contactors_closed[HEATER]


# -- registers


def test_inputs_are_big_endian_floats_high_word_first() -> None:
    words = PanelRegisters(steady_panel()).read(RegisterTable.INPUT, 0, 26, at(0))
    numbers = struct.unpack(">13f", struct.pack(">26H", *words))
    steady_kw = [circuit.steady_kw for circuit in CIRCUITS]
    expected = [22.6, 240.0, 22600 / 240, 0.0, 85.0, *steady_kw]
    assert list(numbers) == pytest.approx(expected)


@each_case(
    ("table", "address", "count"),
    [
        (RegisterTable.COIL, 8, 1),
        (RegisterTable.COIL, 7, 2),
        (RegisterTable.HOLDING, 8, 1),
        (RegisterTable.HOLDING, 99, 2),
        (RegisterTable.HOLDING, 101, 2),
        (RegisterTable.INPUT, 26, 1),
        (RegisterTable.INPUT, 25, 2),
    ],
)
def test_addresses_that_do_not_exist_are_exception_2(
    table: RegisterTable, address: int, count: int
) -> None:
    registers = PanelRegisters(steady_panel())
    with pytest.raises(RegisterTableError) as reading:
        registers.read(table, address, count, at(0))
    with pytest.raises(RegisterTableError) as writing:
        registers.write(table, address, [1] * count, at(0))
    assert reading.value.exception_code == writing.value.exception_code == 2


def test_a_write_with_one_bad_limit_writes_none() -> None:
    panel = steady_panel()
    with pytest.raises(RegisterTableError) as caught:
        PanelRegisters(panel).write(RegisterTable.HOLDING, 0, [50, 101, 50], at(1))
    assert caught.value.exception_code == 3
    assert panel.limits_percent == [100] * CIRCUIT_COUNT
    assert panel.write_count == 0


def test_without_faults_the_faulty_register_map_is_the_register_map() -> None:
    panel = steady_panel()
    plain, faulty = PanelRegisters(panel), FaultyRegisters(PanelRegisters(panel))
    assert faulty.read(RegisterTable.INPUT, 0, 26, at(1)) == plain.read(
        RegisterTable.INPUT, 0, 26, at(1)
    )
    faulty.write(RegisterTable.HOLDING, EV, [30], at(2))
    assert plain.read(RegisterTable.HOLDING, EV, 1, at(2)) == [30]
    assert faulty.list_faults(at(2)) == []
