"""Points that could not be given back: what stood there before is written in turn with the null.

Many BACnet values take no null, and which do is known only where the priority arrays could be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from VenAgent.dr.point_write import PointWrite
from VenAgent.site.device_requests import DeviceRequestFailure

REFUSALS = 2
"""So often a null is refused before anything else is tried: one may be refused by chance."""


class RefusedNulls:
    """Of one agent's writes. A device that does not answer has refused nothing, and one whose
    priority array was read takes a null: its slot would be held for ever by a value."""

    def __init__(self, is_commandable: Callable[[str], bool]) -> None:
        """`is_commandable`: whether the priority array of a point (`device/point`) was read."""
        self._is_commandable = is_commandable
        self._refused: dict[str, int] = {}
        """By point: how often a try to give it back was refused."""

    def in_turn(self, writes: Iterable[PointWrite]) -> list[PointWrite]:
        """`writes`, with the earlier value where it is its turn."""
        return [
            replace(write, relinquish=False) if self._is_values_turn(write) else write
            for write in writes
        ]

    def _is_values_turn(self, write: PointWrite) -> bool:
        refused = self._refused.get(write.point, 0)
        if not write.relinquish or self._is_commandable(write.point):
            return False
        return refused >= REFUSALS and refused % 2 == 0

    def ended(
        self, writes: Iterable[PointWrite], failures: Mapping[str, DeviceRequestFailure]
    ) -> None:
        """What became of `writes`, as they were given to `in_turn`."""
        for write in writes:
            failure = failures.get(write.circuit_id)
            if not write.relinquish:
                continue
            if failure is not None and failure.may_be_alone:
                self._refused[write.point] = self._refused.get(write.point, 0) + 1
            elif failure is None and not self._is_values_turn(write):
                self._refused.pop(write.point, None)
