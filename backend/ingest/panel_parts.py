"""Panels whose telemetry comes in parts: put together, so that a site is known whole."""

from __future__ import annotations

from collections.abc import Iterable

from backend.ingest.ingest_records import IngestLoadsRecord, IngestTelemetryRecord, LoadSetKey

_MOST_PANELS = 20_000


class PanelParts:
    """The newest part of each number, by VEN.

    The parts of one telemetry may be in two batches, or reach two instances: a part stands until a
    newer one of its number came.
    """

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, IngestTelemetryRecord]] = {}
        self._keys: dict[tuple[LoadSetKey, ...], LoadSetKey] = {}
        """The same panel is one object, for whoever compares by identity."""

    def whole(self, records: Iterable[IngestTelemetryRecord]) -> dict[str, IngestTelemetryRecord]:
        """Put in `records` (whole ones are left out); by VEN of them the newest telemetry, with the
        loads of all parts that were seen."""
        touched = set()
        for one in records:
            if one.parts > 1:
                self._put(one)
                touched.add(one.ven_id)
        return {ven_id: self._together(ven_id) for ven_id in touched}

    def _put(self, one: IngestTelemetryRecord) -> None:
        if len(self._parts) >= _MOST_PANELS and one.ven_id not in self._parts:
            self._parts.clear()
        parts = self._parts.setdefault(one.ven_id, {})
        if any(other.parts != one.parts for other in parts.values()):
            parts.clear()  # another panel
        known = parts.get(one.part)
        if known is None or one.timestamp >= known.timestamp:
            parts[one.part] = one

    def _together(self, ven_id: str) -> IngestTelemetryRecord:
        parts = self._parts[ven_id]
        newest = max(parts.values(), key=lambda one: (one.timestamp, one.seq))
        newest = newest._replace(received=max(one.received for one in parts.values()))
        loads = [one.loads for _, one in sorted(parts.items()) if one.loads is not None]
        if not loads:
            return newest
        keys = tuple(each.key for each in loads)
        if len(self._keys) >= _MOST_PANELS:
            self._keys.clear()
        key = self._keys.setdefault(keys, tuple(load for part in keys for load in part))
        whole = IngestLoadsRecord(
            key,
            [watts for each in loads for watts in each.power_w],
            [watts for each in loads for watts in each.shed_w],
            "".join(each.enabled for each in loads),
        )
        return newest._replace(loads=whole)
