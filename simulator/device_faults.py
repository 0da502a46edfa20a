"""What can be wrong with a device. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from simulator.moment import Moment
from simulator.register_table import RegisterTable

RegisterSpot = tuple[RegisterTable, int]


@dataclass
class DeviceFaultFalseReading:
    """Words that a register shows in place of its own; `times_left` readings long, or always."""

    table: RegisterTable
    address: int
    words: tuple[int, ...]
    times_left: int | None = None

    def overlaps(self, table: RegisterTable, address: int, count: int) -> bool:
        """Whether a request for these addresses sees it."""
        end = self.address + len(self.words)
        return table is self.table and address < end and self.address < address + count


@dataclass
class DeviceFaults:
    """The faults that are on. What a panel's circuits do wrong, its SimulatedPanel knows."""

    silent: set[RegisterSpot] = field(default_factory=set)
    silent_on_write: set[RegisterSpot] = field(default_factory=set)
    """Can be read, but a write gets no answer and changes nothing."""
    illegal: set[RegisterSpot] = field(default_factory=set)
    """Can be read, but a write is refused with exception 2."""
    illegal_on_read: set[RegisterSpot] = field(default_factory=set)
    false_readings: list[DeviceFaultFalseReading] = field(default_factory=list)
    frozen_words: dict[int, int] | None = None
    refused: bool = False
    lost_every: int = 0
    """Every so many requests one is lost; 0 = none."""
    request_count: int = 0
    delay_sec: float = 0.0
    readback_lag_sec: float = 0.0
    away_until_sec: float | None = None
    """On the clock of `Moment.mono_sec`."""
    power_cycled: bool = False
    """It is away because its supply is."""

    def is_away(self, moment: Moment) -> bool:
        """Whether nothing answers now; the end of an absence is noticed here."""
        if self.away_until_sec is not None and moment.mono_sec >= self.away_until_sec:
            self.away_until_sec = None
            self.power_cycled = False
        return self.away_until_sec is not None

    def request_is_lost(self) -> bool:
        """Count one request; whether it is one of those that get lost."""
        if not self.lost_every:
            return False
        self.request_count += 1
        return self.request_count % self.lost_every == 0

    def listed(self, moment: Moment) -> list[dict[str, Any]]:
        """The faults that are on, in the words of the control port."""
        return [*self._spots(), *self._readings(), *self._whole_device(moment)]

    def _spots(self) -> Iterable[dict[str, Any]]:
        for kind, where in (
            ("timeout", self.silent),
            ("write_timeout", self.silent_on_write),
            ("illegal", self.illegal),
            ("illegal_read", self.illegal_on_read),
        ):
            for table, address in sorted(where):
                yield {"kind": kind, "register": table.value, "address": address}

    def _readings(self) -> Iterable[dict[str, Any]]:
        for each in self.false_readings:
            yield {
                "kind": "reading",
                "register": each.table.value,
                "address": each.address,
                "words": list(each.words),
                "times": each.times_left,
            }

    def _whole_device(self, moment: Moment) -> Iterable[dict[str, Any]]:
        if self.frozen_words is not None:
            yield {"kind": "frozen_meter"}
        if self.refused:
            yield {"kind": "refuse"}
        if self.lost_every:
            yield {"kind": "lost", "every": self.lost_every}
        if self.delay_sec:
            yield {"kind": "slow", "seconds": self.delay_sec}
        if self.readback_lag_sec:
            yield {"kind": "slow_readback", "seconds": self.readback_lag_sec}
        if self.is_away(moment) and self.away_until_sec is not None:
            kind = "power_cycle" if self.power_cycled else "away"
            yield {"kind": kind, "seconds": self.away_until_sec - moment.mono_sec}
