"""What must hold after any writes at any times."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.moment import Moment
from simulator.panel_loads import HousePanelLoads
from simulator.panel_registers import PanelRegisters
from simulator.register_table import RegisterTable
from simulator.simulated_circuit import CIRCUIT_COUNT, CIRCUITS, SimulatedCircuitControl
from simulator.simulated_panel import SimulatedPanel
from tests.support.example_count import example_count

WRITES = st.lists(
    st.tuples(
        st.sampled_from([RegisterTable.COIL, RegisterTable.HOLDING]),
        st.integers(0, CIRCUIT_COUNT - 1),
        st.integers(0, 100),
        st.floats(0.0, 30.0),
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=example_count(50))
@given(writes=WRITES)
def test_whatever_is_written_the_readings_agree(
    writes: Sequence[tuple[RegisterTable, int, int, float]],
) -> None:
    panel = SimulatedPanel(HousePanelLoads(seed=1), Moment(0.0, 0.0))
    registers = PanelRegisters(panel)
    now_sec = 0.0
    for table, address, value, wait_sec in writes:
        now_sec += wait_sec
        moment = Moment(now_sec, now_sec)
        value = value % 2 if table is RegisterTable.COIL else value
        registers.write(table, address, [value], moment)
        assert registers.read(table, address, 1, moment) == [value]
        meter = panel.meter()
        assert meter.total_kw == pytest.approx(sum(meter.powers_kw))
        assert meter.current_amps == pytest.approx(meter.total_kw * 1000 / meter.voltage)
        for index, (circuit, power_kw) in enumerate(zip(CIRCUITS, meter.powers_kw, strict=True)):
            if not panel.contactors_closed[index]:
                assert power_kw == 0.0
            elif circuit.control is SimulatedCircuitControl.LIMIT:
                assert power_kw <= panel.limits_percent[index] / 100 * circuit.breaker_kw + 1e-9
