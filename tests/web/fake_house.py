"""The circuits of the site that moves (fake_site.py): a usual house, and a large one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass
class FakeCircuit:
    id: str
    name: str
    type: str
    breaker_amps: float
    draw_kw: float
    priority: int
    control: str = "switch"
    critical: bool = False
    enabled: bool = True
    shed: dict[str, Any] | None = None
    reason: str = ""

    def demand_kw(self, now: float) -> float:
        wave = 1.0 + 0.04 * math.sin(now / (7.0 + len(self.id)) + self.breaker_amps)
        return self.draw_kw * wave

    def power_kw(self, now: float) -> float:
        if not self.enabled:
            return 0.0
        power_kw = self.demand_kw(now)
        return power_kw if self.shed is None else min(power_kw, self.shed["final_kw"])


def house() -> list[FakeCircuit]:
    return [
        FakeCircuit("hvac1", "HVAC", "hvac", 30, 4.2, 1, "limit", critical=True),
        FakeCircuit("heater1", "Water Heater", "heater", 30, 4.5, 5),
        FakeCircuit("ev1", "EV Charger", "ev", 50, 7.2, 4, "limit"),
        FakeCircuit("dryer1", "Dryer", "dryer", 30, 3.0, 5),
        FakeCircuit("range1", "Electric Range", "range", 40, 1.8, 3),
        FakeCircuit("lights1", "Lighting Circuits", "lights", 15, 0.8, 2, "limit"),
        FakeCircuit("outlets1", "General Outlets", "outlets", 20, 0.9, 3),
        FakeCircuit("fridge1", "Refrigerator", "fridge", 15, 0.2, 1, critical=True),
    ]


HOSTILE = "<img src=x onerror=\"document.title='taken'\"> " + "W" * 90
"""A circuit's name as long as may be, that would like to be HTML."""


def large_house() -> list[FakeCircuit]:
    """80 circuits, the first with a hostile name."""
    kinds = ("hvac", "lights", "outlets", "ev", "pump")
    return [
        FakeCircuit(
            f"c{number:02d}",
            f"Floor {number // 10} {kinds[number % 5]} {number}" if number else HOSTILE,
            kinds[number % 5],
            20,
            0.1 + number % 7 / 5,
            1 + number % 5,
            "none" if number % 20 == 4 else "limit" if number % 5 == 3 else "switch",
            critical=number % 5 == 0,
        )
        for number in range(80)
    ]


HOUSES = {"usual": house, "large": large_house, "none": list}
