"""What messages say of loads: their powers, and the panel, which stays the same. Pure."""

from __future__ import annotations

import hashlib
from operator import attrgetter
from typing import Any

import msgspec

from backend.ingest.ingest_message import IngestMessageRefused
from backend.ingest.ingest_records import IngestLoadsRecord, LoadSetKey
from backend.ingest.message_fields import LoadMessageFields
from backend.ingest.plausible_values import MAX_POWER_W, plausible_kw, plausible_w

MAX_LOADS = 2_000
MAX_PRIORITY = 1_000_000
_MOST_PANELS = 100_000
_fixed_of = attrgetter("loadId", "id", "name", "type", "capacityKw", "priority")
_Fixed = tuple[tuple[Any, ...], ...]
"""These of each load, as they came."""


class KnownPanels:
    """What is fixed of each VEN's loads, as it was the last time.

    It is the same in nearly every message: to compare costs a quarter of checking it anew, and the
    same panel is one object, whoever has it.
    """

    def __init__(self) -> None:
        self._of_ven: dict[str, tuple[_Fixed, LoadSetKey]] = {}
        self._known: dict[_Fixed, tuple[_Fixed, LoadSetKey]] = {}

    def key(self, ven_id: str, fixed: _Fixed) -> LoadSetKey:
        """The load set that `fixed` is. Raises Refused for what cannot be stored."""
        last = self._of_ven.get(ven_id)
        if last is not None and last[0] == fixed:
            return last[1]
        if max(len(self._known), len(self._of_ven)) >= _MOST_PANELS:
            self._known.clear()
            self._of_ven.clear()
        known = self._known.get(fixed)
        if known is None:
            known = self._known[fixed] = (fixed, _load_set_key(fixed))
        self._of_ven[ven_id] = known
        return known[1]


def read_known_panel_loads(
    entries: list[LoadMessageFields], ven_id: str, panels: KnownPanels
) -> IngestLoadsRecord:
    """What `entries` say. Raises Refused for what cannot be stored."""
    if len(entries) > MAX_LOADS:
        raise IngestMessageRefused(f"{len(entries)} loads are more than {MAX_LOADS}")
    try:
        # Nearly always every number is there: asking for each would cost a third of the reading.
        powers_w: list[int | None] = [
            round(load.currentPowerKw * 1000.0)  # type: ignore[operator]
            for load in entries
        ]
        shed_w: list[int | None] = [
            round(load.shedCapabilityKw * 1000.0)  # type: ignore[operator]
            for load in entries
        ]
        every: Any = powers_w + shed_w
        usual = max(every) <= MAX_POWER_W and min(every) >= -MAX_POWER_W
    except (TypeError, ValueError, OverflowError):  # none, NaN, infinity
        usual = False
    if not usual:
        powers_w = [plausible_w(load.currentPowerKw, load.currentKw) for load in entries]
        shed_w = [plausible_w(load.shedCapabilityKw, None) for load in entries]
    enabled = "".join([_ENABLED[load.enabled] for load in entries])
    return IngestLoadsRecord(
        panels.key(ven_id, tuple(map(_fixed_of, entries))), powers_w, shed_w, enabled
    )


_ENABLED = {True: "t", False: "f", None: "?"}


def _load_set_key(fixed: _Fixed) -> LoadSetKey:
    return tuple([_checked(*one) for one in fixed])


def _checked(
    load_id: str | int | None,
    other_id: str | int | None,
    name: str | None,
    kind: str | None,
    capacity_kw: float | None,
    priority: int | None,
) -> tuple[str, str | None, str | None, float | None, int | None]:
    """What is fixed of a load, as it is stored. Raises Refused."""
    load_id = other_id if load_id is None else load_id
    if load_id is None:
        raise IngestMessageRefused("a load without loadId")
    if priority is not None and not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise IngestMessageRefused(f"a load's priority {priority} is out of range")
    return (str(load_id), name, kind, plausible_kw(capacity_kw, None, "capacityKw"), priority)


def known_panel_digest(key: LoadSetKey) -> bytes:
    """The name of a load set: the same panel has the same on every instance."""
    return hashlib.blake2b(msgspec.json.encode(key), digest_size=16).digest()
