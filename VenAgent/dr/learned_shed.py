"""What moving a setpoint has brought at this site: learned from its own events.

How much a thermostat saves depends on the unit, the room and the weather; no data sheet has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

LEARNED_SHED_FACT = "learned_shed"
"""The name under which the journal keeps it."""
LEARNED_RISE_FACT = "learned_rise"
"""The same of what moving it the other way has brought, for more load."""
SHEDS_KEPT = 20
LEARNED_FROM = 3
"""From so many sheds on it is used in place of what is configured."""


@dataclass(frozen=True)
class LearnedShed:
    """Of one circuit; kW."""

    sheds: int
    mean_kw: float
    spread_kw: float
    """Standard deviation."""

    @property
    def is_enough(self) -> bool:
        return self.sheds >= LEARNED_FROM

    @property
    def counted_on_kw(self) -> float:
        """What a plan counts on: the mean less the spread, which five of six sheds reach."""
        return max(0.0, self.mean_kw - self.spread_kw)


class LearnedSheds:
    """Of sheds, or of rises; by circuit, the point that sheds it and what its power is read from:
    another point is another thermostat, and another scale another power."""

    def __init__(self, fact: Mapping[str, Any] | None = None) -> None:
        self._sheds_kw: dict[str, list[float]] = {
            str(key): [float(kw) for kw in known] for key, known in (fact or {}).items()
        }

    def note(self, circuit_id: str, point: str, shed_kw: float, measured_by: str = "") -> None:
        """One has settled and brought so much; less than nothing counts as nothing."""
        known = self._sheds_kw.setdefault(_key(circuit_id, point, measured_by), [])
        known.append(max(0.0, round(shed_kw, 4)))
        del known[:-SHEDS_KEPT]

    def of(self, circuit_id: str, point: str, measured_by: str = "") -> LearnedShed | None:
        known = self._sheds_kw.get(_key(circuit_id, point, measured_by))
        if not known:
            return None
        return LearnedShed(len(known), fmean(known), pstdev(known))

    def as_fact(self) -> dict[str, Sequence[float]]:
        return {key: list(known) for key, known in self._sheds_kw.items()}


def _key(circuit_id: str, point: str, measured_by: str) -> str:
    return f"{circuit_id} {point} {measured_by}".rstrip()
