"""How long a plan takes on a panel of 1,000 circuits, for requests of all sizes.

The floor is one pass that sums what the circuits could give; no planner can do with less.

    scripts/benchmark.sh planner
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, quantile
from VenAgent.dr.circuit_selection import circuit_selection_candidates, select_circuits
from VenAgent.dr.panel import (
    Panel,
    PanelCircuit,
    PanelCircuitControl,
    PanelCircuitReading,
    PanelLimitScale,
    PanelLimitUnit,
    PanelReading,
)

CIRCUITS, ROUNDS = 1_000, 50
BREAKER_AMPS, VOLTAGE = 50.0, 240.0
SHARES = (0.01, 0.1, 0.5, 0.9)
"""Requests, as a share of all that could be shed."""


def panel_of(count: int) -> tuple[Panel, PanelReading]:
    """A panel with a fifth of limit circuits, of all priorities but 1, and draws of all sizes."""
    scale = PanelLimitScale(PanelLimitUnit.PERCENT, BREAKER_AMPS * VOLTAGE / 1000.0, VOLTAGE)
    circuits, readings = [], {}
    for number in range(count):
        limited = random.random() < 0.2
        name = f"c{number}"
        circuits.append(
            PanelCircuit(
                id=name,
                name=name,
                type="load",
                breaker_amps=BREAKER_AMPS,
                voltage=VOLTAGE,
                priority=random.randint(2, 5),
                control=PanelCircuitControl.LIMIT if limited else PanelCircuitControl.SWITCH,
                limit=scale if limited else None,
            )
        )
        readings[name] = PanelCircuitReading(random.uniform(0.1, 9.0), True, 100.0)
    return Panel(9_999.0, VOLTAGE, tuple(circuits)), PanelReading(0.0, None, readings)


def milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def main() -> None:
    """Print the table."""
    random.seed(7)
    panel, reading = panel_of(CIRCUITS)
    total_kw = sum(c.max_shed_kw for c in circuit_selection_candidates(panel, reading))
    table = Table(title=f"A plan on {CIRCUITS} circuits, {ROUNDS} rounds, ms ({machine()})")
    for heading in ("request", "p50", "p99", "p50 / floor", "to reach"):
        table.add_column(heading, justify="right")
    floor = quantile(
        [
            milliseconds(lambda: sum(r.power_kw or 0.0 for r in reading.circuits.values()))
            for _ in range(ROUNDS)
        ],
        0.5,
    )
    for share in SHARES:
        times = [
            milliseconds(
                lambda share=share: select_circuits(
                    circuit_selection_candidates(panel, reading), share * total_kw
                )
            )
            for _ in range(ROUNDS)
        ]
        p50, p99 = quantile(times, 0.5), quantile(times, 0.99)
        table.add_row(f"{share:.0%}", f"{p50:.2f}", f"{p99:.2f}", f"{p50 / floor:.0f}", "< 5")
    Console().print(table)


if __name__ == "__main__":
    main()
