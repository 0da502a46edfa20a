"""One value for one point of the building."""

from __future__ import annotations

from dataclasses import dataclass

from VenAgent.dr.companion_point import CompanionPoint


@dataclass(frozen=True)
class PointWrite:
    """`value` True closes the circuit; with `inverted` the relay itself is then off."""

    circuit_id: str
    point: str
    value: float | bool
    inverted: bool = False
    relinquish: bool = False
    """Instead of writing `value`, give the point back to whoever had it before us."""
    rounding: float = 0.0
    """The device keeps what it is sent to its own step: off by less than this is as written."""
    register_unit: float | None = None
    """What one unit of the register was taken for when `value` was made; None: as the configuration
    says when it is written."""
    companion: CompanionPoint | None = None
    """What is written with it."""
