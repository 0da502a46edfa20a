"""How one circuit can be let draw more, or generate less: the mirror of a shed.

A charger or heater with a limit below its full scale that draws up to it, a thermostat moved the
other way, a battery that charges; for a limit of what the site feeds in also an inverter that
generates less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from VenAgent.dr.circuit_selection import DRAWS_NOTHING_KW, CircuitSelectionAction
from VenAgent.dr.panel import (
    PanelCircuit,
    PanelCircuitControl,
    PanelCircuitReading,
    PanelLimitScale,
)
from VenAgent.dr.shed_circuit import ShedCircuit

DRAWS_ITS_LIMIT = 0.9
"""A device that draws this part of its limit is held back by it."""


@dataclass(frozen=True)
class CircuitRaise:
    """One circuit, as it was read and as the event has it (None: not yet)."""

    circuit: PanelCircuit
    read: PanelCircuitReading
    held: ShedCircuit | None
    now: float
    at_least: bool = False
    """A limit asks for it: a register's step more rather than less."""

    @property
    def whole(self) -> bool:
        """Whether it is moved as a whole or not at all."""
        return self.circuit.power_scale is None

    def by(self, most_kw: float, lasting_sec: float) -> ShedCircuit | None:
        """As it is to be, drawing up to `most_kw` more (one that is `whole`: however much it
        brings), for `lasting_sec`; None if it cannot draw more now."""
        circuit, guard = self.circuit, self.circuit.guard
        if self.read.closed is False or (self.held is not None and not self.held.counts):
            return None
        if self.read.is_paused and self.held is None:
            return None  # switched off by whoever paused it; its register is theirs, too
        if guard is not None and not guard.may_be_shed(self.read.guard):
            return None
        if circuit.generates:
            return self._generating_less(most_kw)
        if circuit.storage is not None:
            return self._charging(most_kw, lasting_sec)
        if circuit.control is PanelCircuitControl.SETPOINT:
            return self._setpoint_moved()
        return self._limit_raised(most_kw)

    # ---- its kinds -----------------------------------------------------------------------

    def _limit_raised(self, most_kw: float) -> ShedCircuit | None:
        circuit, read, scale = self.circuit, self.read, self.circuit.limit
        is_limit = circuit.control is PanelCircuitControl.LIMIT
        if not is_limit or scale is None or read.power_kw is None or read.limit is None:
            return None
        present = scale.limit_of(read.limit)
        if present is None:
            return None
        allowed_kw = scale.kw_of(present)
        if read.power_kw < DRAWS_ITS_LIMIT * allowed_kw:
            return None  # its limit is not what holds it back
        full_kw = min(scale.full_scale_kw, circuit.rating_kw)
        most_kw = min(read.power_kw + most_kw, full_kw)
        steps = self._steps((most_kw - allowed_kw) / scale.step_kw)
        if scale.kw_of(present + steps * scale.step) > full_kw + 1e-6:
            steps -= 1
        value = round(present + steps * scale.step, 6)
        if steps < 1 or value in scale.unlimited:
            return None
        if value < scale.lowest:  # a charger takes no 1 to 5 A
            return None
        return self._as(value, scale.kw_of(value))

    def _charging(self, most_kw: float, lasting_sec: float) -> ShedCircuit | None:
        storage, read = self.circuit.storage, self.read
        if storage is None or read.limit is None or read.power_kw is None:
            return None
        if self.circuit.kept_fraction >= 1.0:
            return None
        highest_kw = storage.chargeable_kw(read.soc_percent, lasting_sec)
        wanted_kw = min(read.power_kw + most_kw, highest_kw)
        steps = self._steps(wanted_kw / storage.step_kw)
        value = storage.value_at(steps * storage.step_kw)
        final_kw = storage.kw_of(value)
        if final_kw - read.power_kw < max(DRAWS_NOTHING_KW, 0.5 * storage.step_kw):
            return None
        if self.held is not None and storage.kw_of(float(self.held.value)) >= final_kw:
            return None  # it was told so already, and charges with less
        return self._as(value, final_kw)

    def _setpoint_moved(self) -> ShedCircuit | None:
        """It is moved once: another time would only undo what the first brings."""
        circuit, read, setpoint = self.circuit, self.read, self.circuit.setpoint
        if setpoint is None or read.limit is None or self.held is not None:
            return None
        if circuit.kept_fraction > 0.0:
            return None
        value = setpoint.raise_setpoint(read.limit)
        more_kw = setpoint.expected_raise_kw(read.power_kw, circuit.rating_kw)
        if value is None or more_kw <= DRAWS_NOTHING_KW:
            return None
        return self._as(value, (read.power_kw or 0.0) + more_kw)

    def _generating_less(self, most_kw: float) -> ShedCircuit | None:
        circuit, read = self.circuit, self.read
        generated_kw = 0.0 if read.power_kw is None else -read.power_kw
        if generated_kw <= DRAWS_NOTHING_KW or not circuit.can_feed_in_less:
            return None
        if circuit.control is PanelCircuitControl.SWITCH:
            return self._as(False, 0.0) if self.held is None else None
        if circuit.limit is None or read.limit is None:
            return None
        value = circuit_raise_generation_limit(circuit.limit, generated_kw - most_kw)
        present = circuit.limit.limit_of(read.limit)
        if present is not None and value >= present:
            return None  # it is told so already, and has not followed yet
        return self._as(value, -circuit.limit.kw_of(value))

    def _steps(self, exact: float) -> int:
        return math.ceil(exact - 1e-6) if self.at_least else math.floor(exact + 1e-6)

    def _as(self, value: float | bool, final_kw: float) -> ShedCircuit:
        """Held already, or for the first time."""
        if self.held is not None:
            return self.held.rewritten(value, final_kw)
        circuit, read = self.circuit, self.read
        is_switch = circuit.control is PanelCircuitControl.SWITCH
        before: float | bool | None = True if is_switch else read.limit
        before = before if read.slot is None else read.slot
        assert before is not None, "what was not read is not written"
        power_kw = final_kw if read.power_kw is None else read.power_kw
        if circuit.setpoint is not None and read.power_kw is None:
            power_kw = 0.0
        action = CircuitSelectionAction(circuit.id, circuit.control, value, power_kw, final_kw)
        relinquish = read.relinquish and read.slot is None
        return ShedCircuit.newly_shed(
            *(action, circuit, before, self.now),
            relinquish=relinquish,
            register_unit=read.register_unit,
        )


def circuit_raise_generation_limit(scale: PanelLimitScale, generated_kw: float) -> float:
    """The register value that lets an inverter generate no more than `generated_kw`."""
    steps = math.floor(max(0.0, generated_kw) / scale.step_kw + 1e-6)
    value = round(steps * scale.step, 6)
    if value < scale.lowest:
        value = 0.0
    return max(scale.step, scale.lowest) if value in scale.unlimited else value
