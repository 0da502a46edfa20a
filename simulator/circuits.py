"""The panel's name-plate: its circuits, in the order of their registers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

NOMINAL_VOLTAGE = 240.0


class Control(str, Enum):
    """How a circuit is shed: opened by its contactor, or held below a limit."""

    SWITCH = "switch"
    LIMIT = "limit"


@dataclass(frozen=True)
class Circuit:
    """One circuit. `steady_kw` is what it draws with `--steady`, and near the start without it."""

    circuit_id: str
    name: str
    breaker_amps: int
    control: Control
    critical: bool
    steady_kw: float

    @property
    def breaker_kw(self) -> float:
        """Rated power in kW: a limit register's percentage is a percentage of this."""
        return self.breaker_amps * NOMINAL_VOLTAGE / 1000.0


CIRCUITS: tuple[Circuit, ...] = (
    Circuit("hvac1", "HVAC", 30, Control.LIMIT, True, 3.5),
    Circuit("heater1", "Water Heater", 30, Control.SWITCH, False, 4.5),
    Circuit("ev1", "EV Charger", 50, Control.LIMIT, False, 7.2),
    Circuit("dryer1", "Dryer", 30, Control.SWITCH, False, 3.0),
    Circuit("range1", "Electric Range", 40, Control.SWITCH, False, 2.4),
    Circuit("lights1", "Lighting Circuits", 15, Control.LIMIT, False, 0.6),
    Circuit("outlets1", "General Outlets", 20, Control.SWITCH, False, 1.2),
    Circuit("fridge1", "Refrigerator", 15, Control.SWITCH, True, 0.2),
)
CIRCUIT_COUNT = len(CIRCUITS)
INDEX_BY_ID = {circuit.circuit_id: index for index, circuit in enumerate(CIRCUITS)}
