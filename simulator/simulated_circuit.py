"""The panel's name-plate: its circuits, in the order of their registers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

NOMINAL_VOLTAGE = 240.0


class SimulatedCircuitControl(str, Enum):
    """How a circuit is shed: opened by its contactor, or held below a limit."""

    SWITCH = "switch"
    LIMIT = "limit"


@dataclass(frozen=True)
class SimulatedCircuit:
    """One circuit. `steady_kw` is what it draws with `--steady`, and near the start without it."""

    circuit_id: str
    name: str
    breaker_amps: int
    control: SimulatedCircuitControl
    critical: bool
    steady_kw: float

    @property
    def breaker_kw(self) -> float:
        """Rated power in kW: a limit register's percentage is a percentage of this."""
        return self.breaker_amps * NOMINAL_VOLTAGE / 1000.0


CIRCUITS: tuple[SimulatedCircuit, ...] = (
    SimulatedCircuit("hvac1", "HVAC", 30, SimulatedCircuitControl.LIMIT, True, 3.5),
    SimulatedCircuit("heater1", "Water Heater", 30, SimulatedCircuitControl.SWITCH, False, 4.5),
    SimulatedCircuit("ev1", "EV Charger", 50, SimulatedCircuitControl.LIMIT, False, 7.2),
    SimulatedCircuit("dryer1", "Dryer", 30, SimulatedCircuitControl.SWITCH, False, 3.0),
    SimulatedCircuit("range1", "Electric Range", 40, SimulatedCircuitControl.SWITCH, False, 2.4),
    SimulatedCircuit("lights1", "Lighting Circuits", 15, SimulatedCircuitControl.LIMIT, False, 0.6),
    SimulatedCircuit("outlets1", "General Outlets", 20, SimulatedCircuitControl.SWITCH, False, 1.2),
    SimulatedCircuit("fridge1", "Refrigerator", 15, SimulatedCircuitControl.SWITCH, True, 0.2),
)
CIRCUIT_COUNT = len(CIRCUITS)
INDEX_BY_ID = {circuit.circuit_id: index for index, circuit in enumerate(CIRCUITS)}
