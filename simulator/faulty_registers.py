"""What can be wrong with a device, and a register map that has it wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.moment import Moment
from simulator.panel_registers import INPUT_WORD_COUNT, PanelRegisters
from simulator.register_map import ILLEGAL_ADDRESS, RegisterError, RegisterTable
from simulator.simulated_circuit import CIRCUITS
from simulator.simulated_panel import SimulatedPanel

_Spot = tuple[RegisterTable, int]


class RequestUnanswered(Exception):
    """The device stays silent: the master runs into its own time-out."""


@dataclass
class DeviceFaults:
    """The faults that are on; `SimulatedPanel.stuck_contactors` is the panel's own."""

    silent: set[_Spot] = field(default_factory=set)
    silent_on_write: set[_Spot] = field(default_factory=set)
    """Can be read, but a write gets no answer and changes nothing."""
    illegal: set[_Spot] = field(default_factory=set)
    frozen_words: list[int] | None = None
    refused: bool = False

    def clear(self) -> None:
        """Everything works again."""
        self.silent.clear()
        self.silent_on_write.clear()
        self.illegal.clear()
        self.frozen_words = None
        self.refused = False


class FaultyRegisters:
    """The register map with its faults in front. Without any, it changes nothing."""

    def __init__(self, panel: SimulatedPanel) -> None:
        self.panel = panel
        self.faults = DeviceFaults()
        self._registers = PanelRegisters(panel)

    def read(self, table: RegisterTable, address: int, count: int, moment: Moment) -> list[int]:
        """As `PanelRegisters.read`, or silence, or an old reading."""
        self._may_be_silent(table, address, count)
        values = self._registers.read(table, address, count, moment)
        if table is RegisterTable.INPUT and self.faults.frozen_words is not None:
            return self.faults.frozen_words[address : address + count]
        return values

    def write(
        self, table: RegisterTable, address: int, values: Sequence[int], moment: Moment
    ) -> None:
        """As `PanelRegisters.write`, or silence, or an exception; then nothing was written."""
        self._may_be_silent(table, address, len(values))
        if _touches(self.faults.silent_on_write, table, address, len(values)):
            raise RequestUnanswered
        if _touches(self.faults.illegal, table, address, len(values)):
            raise RegisterError(ILLEGAL_ADDRESS)
        self._registers.write(table, address, values, moment)

    def freeze_meter(self, moment: Moment) -> None:
        """From now on the input registers keep this moment's values."""
        self.faults.frozen_words = self._registers.read(
            RegisterTable.INPUT, 0, INPUT_WORD_COUNT, moment
        )

    def clear(self) -> None:
        """All faults off, the stuck contactors' too."""
        self.faults.clear()
        self.panel.stuck_contactors.clear()

    def list_faults(self) -> list[dict[str, Any]]:
        """The faults that are on, in the words of the control port."""
        stuck = [
            {"kind": "stuck_contactor", "circuit": CIRCUITS[index].circuit_id}
            for index in sorted(self.panel.stuck_contactors)
        ]
        spots = [
            {"kind": kind, "register": table.value, "address": address}
            for kind, where in (
                ("timeout", self.faults.silent),
                ("write_timeout", self.faults.silent_on_write),
                ("illegal", self.faults.illegal),
            )
            for table, address in sorted(where)
        ]
        frozen = [{"kind": "frozen_meter"}] if self.faults.frozen_words is not None else []
        refused = [{"kind": "refuse"}] if self.faults.refused else []
        return [*stuck, *spots, *frozen, *refused]

    def _may_be_silent(self, table: RegisterTable, address: int, count: int) -> None:
        # A connection accepted in the instant the socket closed must not be served either.
        if self.faults.refused or _touches(self.faults.silent, table, address, count):
            raise RequestUnanswered


def _touches(spots: set[_Spot], table: RegisterTable, address: int, count: int) -> bool:
    return bool(spots) and any((table, each) in spots for each in range(address, address + count))
